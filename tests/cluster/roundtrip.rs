//! What is produced is consumed: byte for byte, in order, with every codec, through every broker.

use bytes::Bytes;
use fidelog_client::{Codec, Header, HeaderName, Record, StartAt};

use crate::harness::Cluster;
use crate::workload::{Workload, Writer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_and_readers_see_one_history() {
    let cluster = Cluster::start("roundtrip").await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;

    let mut workload = Workload::new("orders");
    for (number, codec) in [(1, Codec::None), (2, Codec::Lz4), (3, Codec::Zstd)] {
        workload.write(&client, Writer { codec, ..Writer::new(number) });
    }
    workload.read(&client);
    workload.acknowledged(3_000).await;
    workload.finish(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_comes_back_as_it_was_with_a_receipt() {
    let cluster = Cluster::start("receipt").await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;
    cluster.in_sync(&client, "orders").await;
    let producer = client.producer("orders").open().await.expect("the topic is there");

    let mut sent = Vec::new();
    for record in odd_records() {
        let delivery = producer.send_to(1, record.clone()).await.expect("it is allowed");
        let receipt = delivery.await.expect("everybody is there");
        assert_eq!(receipt.synced_by.len(), 3, "all three are in sync");
        assert_eq!(
            receipt.synced_by[0].0,
            cluster.leader(&client, "orders", 1).await,
            "the leader comes first"
        );
        assert_eq!(
            receipt.offset.map(|offset| offset.0),
            Some(sent.len() as u64),
            "offsets are dense from 0"
        );
        sent.push(record);
    }

    for id in 1..=3 {
        let only =
            fidelog_client::Client::connect([cluster.addresses()[id - 1].clone()]).await.expect("it answers");
        let begin = StartAt::Start;
        let mut consumer =
            only.consumer("orders").partitions([1]).from(begin).stop_at_end().open().await.expect("open");
        for expected in &sent {
            let got = consumer.next().await.expect("there is one more").expect("it can be read");
            assert_eq!(
                (&got.key, &got.value, &got.headers),
                (&expected.key, &expected.value, &expected.headers)
            );
        }
        assert!(consumer.next().await.is_none(), "broker {id} has more than was sent");
    }
}

/// Null and empty, headers without values, every byte, a megabyte.
fn odd_records() -> Vec<Record> {
    let every_byte = Bytes::from_iter(0..=255);
    let mut headed = Record::new("headed");
    for (name, value) in [("b", Some(Bytes::from_static(b"2"))), ("a", None), ("c", Some(Bytes::new()))] {
        headed.headers.push(Header { name: HeaderName::from(name), value });
    }
    vec![
        Record::default(),
        Record::new(""),
        Record::new("").key(""),
        Record::new(every_byte.clone()).key(every_byte),
        headed,
        Record::new(vec![b'x'; (1 << 20) - 64]),
    ]
}
