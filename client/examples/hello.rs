//! Creates a topic, sends a record, reads everything back.
//!
//! ```sh
//! cargo run -p fidelog-client --example hello -- 127.0.0.1:9094
//! ```

use std::error::Error;

use fidelog_client::{Client, NewTopic, Reason, Record};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9094".into());
    let client = Client::connect([address]).await?;

    match client.admin().create_topic(NewTopic::new("hello")).await {
        Ok(topic) => println!("created topic {} with {} partitions", topic.name, topic.partitions.len()),
        Err(error) if error.reason() == Some(Reason::TopicExists) => println!("topic hello exists"),
        Err(error) => return Err(error.into()),
    }

    let producer = client.producer("hello").open().await?;
    let receipt = producer.send(Record::new("hello, log").key("greeting")).await?.await?;
    let offset =
        receipt.offset.map_or_else(|| "an earlier offset".to_owned(), |offset| format!("offset {offset}"));
    println!("stored in partition {} at {offset}, synced by {} brokers", receipt.partition, receipt.replicas);
    producer.close().await?;

    let mut consumer = client.consumer("hello").stop_at_end().open().await?;
    while let Some(record) = consumer.next().await {
        let record = record?;
        let value = record.value.unwrap_or_default();
        println!("{}/{}: {}", record.partition, record.offset, String::from_utf8_lossy(&value));
    }
    Ok(())
}
