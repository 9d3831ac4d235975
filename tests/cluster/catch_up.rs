//! A follower that was away while much was written: it catches up on the stream for that while live pushes go on, is in
//! sync again, and every replica holds the same bytes.

use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::RealDisk;
use fidelog_log::{OfflineDir, Piece};

use crate::harness::Builder;
use crate::workload::{Workload, Writer};

/// More than a follower may be behind on the stream of live pushes, 4 MiB.
const AWAY_RECORDS: usize = 1_500;
const FILLING_BYTES: usize = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_far_behind_catches_up_beside_live_pushes_and_holds_the_same_bytes() {
    // Several times as fast as a writer with one record in flight, who goes on beside it.
    let builder = Builder::new("catch-up").set("log.replica_lag_max_ms", 1_000);
    let mut cluster = builder.set("limits.catch_up_bytes_per_s", 64 << 20).prepare();
    for broker in cluster.brokers() {
        broker.environment("FIDELOGD_LOG_LEVEL", "info,fidelog_broker::rpc::peer=debug");
        broker.format().expect("a new directory is formatted");
        broker.start();
    }
    cluster.ready().await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    cluster.in_sync(&client, "orders").await;

    let mut workload = Workload::new("orders");
    workload.write(&client, Writer { filling_bytes: FILLING_BYTES, unanswered_max: 1, ..Writer::new(1) });
    workload.acknowledged(100).await;
    let leader = cluster.leader(&client, "orders", 0).await;
    let away = if leader == 3 { 2 } else { 3 };
    cluster.broker(away).kill();
    workload.acknowledged(AWAY_RECORDS).await;
    cluster.broker(away).start();
    cluster.ready().await;
    workload.acknowledged(100).await;
    cluster.in_sync(&client, "orders").await;
    workload.acknowledged(100).await;
    workload.finish(&client).await;

    let mut moved = |to: &str| {
        let said = format!("follower={away} lane={to}");
        cluster.brokers().iter().any(|broker| broker.log().contains(&said))
    };
    assert!(moved("CatchUp"), "nobody sent broker {away} to the stream for catching up");
    assert!(moved("Live"), "nobody brought broker {away} back");
    for broker in cluster.brokers() {
        assert_eq!(broker.terminate().code(), Some(0));
    }
    let held: Vec<_> = cluster.brokers().iter().map(|broker| batches(&broker.data_dir())).collect();
    assert!(held[0].iter().map(Vec::len).sum::<usize>() > AWAY_RECORDS * FILLING_BYTES);
    for (index, replica) in held.iter().enumerate().skip(1) {
        assert!(*replica == held[0], "broker {} holds something else than broker 1", index + 1);
    }
}

/// The stored batches of every partition, byte for byte, in order of the directories.
fn batches(data_dir: &Path) -> Vec<Vec<u8>> {
    let found = OfflineDir::open(Arc::new(RealDisk), data_dir).expect("a stopped broker's logs are found");
    let mut all = Vec::new();
    for partition in found.partitions() {
        let mut bytes = Vec::new();
        for segment in &partition.segments {
            let mut walk = found.walk(partition, segment).expect("the partition is known by its path");
            while let Some(piece) = walk.step().expect("the disk is read") {
                let Piece::Batch(batch) = piece else { panic!("damage in {}", segment.path.display()) };
                bytes.extend_from_slice(&batch.bytes);
            }
        }
        all.push(bytes);
    }
    all
}
