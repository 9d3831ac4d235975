//! Positions of groups: committed is kept over kills, reading goes on there, and a second reader fences the first.

use fidelog_client::{Client, CommitError, Consumer, Record};

use crate::harness::Cluster;

const RECORDS: u64 = 300;

async fn reader(client: &Client) -> Consumer {
    client.consumer("orders").group("billing").open().await.expect("the group opens")
}

async fn take(consumer: &mut Consumer, count: u64) -> Vec<u64> {
    let mut offsets = Vec::new();
    for _ in 0..count {
        offsets.push(consumer.next().await.expect("there are more").expect("it can be read").offset);
    }
    offsets
}

async fn filled(cluster: &Cluster) -> Client {
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    let producer = client.producer("orders").open().await.expect("the topic is there");
    for number in 0..RECORDS {
        drop(producer.send(Record::new(number.to_string())).await.expect("there is memory"));
    }
    producer.close().await.expect("all are acknowledged");
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_committed_position_outlives_a_kill_of_every_broker() {
    let mut cluster = Cluster::start("positions").await;
    let client = filled(&cluster).await;
    let mut consumer = reader(&client).await;
    assert_eq!(take(&mut consumer, 100).await, (0..100).collect::<Vec<_>>());
    consumer.commit_processed().await.expect("it counts");
    // Read and not committed: read again afterwards.
    take(&mut consumer, 50).await;
    drop(consumer);

    for broker in cluster.brokers() {
        broker.kill();
    }
    for broker in cluster.brokers() {
        broker.start();
    }
    cluster.ready().await;
    cluster.in_sync(&client, "orders").await;

    let mut consumer = reader(&client).await;
    assert_eq!(take(&mut consumer, 200).await, (100..RECORDS).collect::<Vec<_>>());
    consumer.commit_processed().await.expect("it counts");
    let lag = client.admin().lag("billing", "orders").await.expect("the lag is told");
    let lag = lag[&0].as_ref().expect("its leader answers");
    assert_eq!((lag.position, lag.records), (Some(RECORDS), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_reader_fences_the_first() {
    let cluster = Cluster::start("fencing").await;
    let client = filled(&cluster).await;
    let mut first = reader(&client).await;
    take(&mut first, 10).await;
    first.commit_processed().await.expect("it counts");

    let mut second = reader(&client).await;
    take(&mut first, 10).await;
    let fenced = first.commit_processed().await.expect_err("somebody else took over");
    assert!(matches!(fenced, CommitError::Fenced { .. }), "{fenced}");

    assert_eq!(take(&mut second, 5).await, (10..15).collect::<Vec<_>>(), "the late commit counted");
    second.commit_processed().await.expect("it counts");
    let positions = client.admin().fetch_positions("billing", "orders").await.expect("positions are told");
    assert_eq!(positions[0].offset, Some(15));
}
