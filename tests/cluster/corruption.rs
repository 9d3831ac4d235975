//! A flipped bit in an old segment: what it hit is never served and is called lost; the rest is served.

use std::path::PathBuf;

use fidelog_client::{Fetch, Record};

use crate::harness::Cluster;

const RECORDS: u64 = 400;

/// Segment files of the only partition that holds megabytes, oldest first.
fn segments(data_dir: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![data_dir.join("topics")];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory is read") {
            let path = entry.expect("an entry is read").path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|it| it == "log")
                && path.metadata().expect("it is there").len() > 1 << 20
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn flip_a_bit_in_the_middle(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).expect("a segment is read");
    let middle = 1 << 20;
    bytes[middle] ^= 0x10;
    std::fs::write(path, bytes).expect("a segment is written");
}

fn value(number: u64) -> String {
    format!("{number} {}", "x".repeat(20_000))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_a_sealed_segment_is_never_served() {
    let mut cluster = Cluster::start("corruption").await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    cluster.in_sync(&client, "orders").await;
    let producer = client.producer("orders").open().await.expect("the topic is there");
    for number in 0..RECORDS {
        let delivery = producer.send(Record::new(value(number))).await.expect("there is memory");
        delivery.await.expect("it is acknowledged");
    }
    let leader = cluster.leader(&client, "orders", 0).await;
    let broker = cluster.broker(leader);
    assert_eq!(broker.terminate().code(), Some(0));
    let segments = segments(&broker.data_dir());
    assert!(segments.len() >= 3, "the log did not roll: {segments:?}");
    flip_a_bit_in_the_middle(&segments[1]);
    broker.start();
    cluster.ready().await;

    let (mut served, mut lost) = (Vec::new(), None);
    for offset in 0..RECORDS {
        let fetch = Fetch { bytes_max: 1, ..Fetch::new("orders", 0, offset) };
        match client.fetch(fetch).await {
            Ok(batch) => {
                let record = batch.records().next().expect("at least one comes").expect("it can be read");
                assert_eq!(
                    record.value.as_deref(),
                    Some(value(offset).as_bytes()),
                    "a damaged record was served"
                );
                served.push(offset);
            }
            Err(error) => lost = Some((offset, error.to_string())),
        }
    }
    let (at, why) = lost.expect("the damage went unnoticed");
    assert!(why.contains("DATA_LOSS"), "offset {at}: {why}");
    assert!(served.contains(&0), "what lies before the damage is served");
    assert!(served.contains(&(RECORDS - 1)), "what lies behind the damage is served");
}
