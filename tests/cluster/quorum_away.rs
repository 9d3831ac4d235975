//! The leader of the quorum dies: metadata goes on with the next one, and so do groups, whoever kept their positions.

use std::collections::BTreeSet;

use fidelog_client::{Client, Consumer, NewTopic, Record};

use crate::harness::{Cluster, LONG, retry, wait_until};

const RECORDS: u64 = 40;
/// Enough for every partition of `__positions` to keep some.
const GROUPS: usize = 24;

async fn controller(client: &Client) -> u32 {
    wait_until("somebody leads the quorum", LONG, async || {
        let controller = client.admin().describe_cluster().await.ok()?.controller;
        (controller != 0).then_some(controller)
    })
    .await
}

async fn open(client: &Client, topic: &str, group: &str) -> Consumer {
    retry(&format!("{group} opens"), LONG, || {
        let builder = client.consumer(topic).group(group);
        async move { builder.open().await.ok() }
    })
    .await
}

async fn take(consumer: &mut Consumer, count: u64) -> Vec<u64> {
    let mut offsets = Vec::new();
    for _ in 0..count {
        offsets.push(consumer.next().await.expect("there are more").expect("it can be read").offset);
    }
    offsets
}

async fn fill(client: &Client, topic: &str) {
    let producer = client.producer(topic).open().await.expect("the topic is there");
    for number in 0..RECORDS {
        drop(producer.send(Record::new(number.to_string())).await.expect("there is memory"));
    }
    producer.close().await.expect("all are acknowledged");
}

/// One dead broker took every change of metadata, or every group it kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_and_groups_go_on_when_the_leader_of_the_quorum_dies() {
    let mut cluster = Cluster::start("quorum-away").await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    cluster.in_sync(&client, "orders").await;
    cluster.in_sync(&client, "__positions").await;
    // Who was not there yet when they were made gets its share back by itself.
    wait_until("each leads some of the positions", LONG, async || {
        let owners = client.admin().describe_topic("__positions").await.ok()?;
        let owners: BTreeSet<u32> = owners.partitions.iter().map(|partition| partition.leader).collect();
        (owners == BTreeSet::from([1, 2, 3])).then_some(())
    })
    .await;
    fill(&client, "orders").await;
    let groups: Vec<String> = (0..GROUPS).map(|number| format!("group-{number}")).collect();
    for group in &groups {
        let mut consumer = open(&client, "orders", group).await;
        assert_eq!(take(&mut consumer, 10).await, (0..10).collect::<Vec<_>>());
        consumer.commit_processed().await.expect("it counts");
    }

    let dead = controller(&client).await;
    cluster.broker(dead).kill();
    wait_until("another leads the quorum and has missed the dead one", LONG, async || {
        let described = client.admin().describe_topic("orders").await.ok()?;
        let told = client.admin().describe_cluster().await.ok()?;
        let partition = described.partitions.first()?;
        (![0, dead].contains(&told.controller) && partition.leader != 0 && !partition.isr.contains(&dead))
            .then_some(())
    })
    .await;
    // All go on where they had committed.
    for group in &groups {
        let mut consumer = open(&client, "orders", group).await;
        assert_eq!(take(&mut consumer, 5).await, (10..15).collect::<Vec<_>>(), "{group}");
        consumer.commit_processed().await.expect("its owner lives");
    }
    // And metadata changes: a topic for the two that are left, with a group of its own.
    let later = NewTopic { partitions: 1, replication_factor: 2, ..NewTopic::new("later") };
    client.admin().create_topic(later).await.expect("two brokers and a quorum are left");
    fill(&client, "later").await;
    let mut consumer = open(&client, "later", "later-group").await;
    assert_eq!(take(&mut consumer, RECORDS).await, (0..RECORDS).collect::<Vec<_>>());

    // The dead one comes back and learns all that.
    cluster.broker(dead).start();
    cluster.ready().await;
    for topic in ["orders", "later", "__positions"] {
        cluster.in_sync(&client, topic).await;
    }
    for group in &groups {
        let stored = client.admin().fetch_positions(group, "orders").await.expect("its owner lives");
        assert_eq!(stored.first().and_then(|position| position.offset), Some(15), "{group}");
    }
}
