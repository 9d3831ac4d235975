//! A follower that was away while much was written: it catches up on the stream for that while live pushes go on, is in
//! sync again, and every replica holds the same bytes.

use crate::harness::{Builder, stop_and_compare};
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
    let bytes = stop_and_compare(cluster.brokers());
    assert!(bytes > AWAY_RECORDS * FILLING_BYTES);
}
