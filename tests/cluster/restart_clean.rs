//! SIGTERM: a stop that drains, says so, and leaves nothing to repair.

use crate::harness::Cluster;
use crate::workload::{Workload, Writer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_broker_in_turn_is_restarted_under_load() {
    let mut cluster = Cluster::start("rolling").await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;
    let mut workload = Workload::new("orders");
    workload.write(&client, Writer::new(1));
    workload.write(&client, Writer::hasty(2));
    workload.read(&client);

    for id in 1..=3 {
        workload.acknowledged(200).await;
        let status = cluster.broker(id).terminate();
        assert_eq!(
            status.code(),
            Some(0),
            "broker {id} did not stop cleanly:\n{}",
            cluster.broker(id).log_tail()
        );
        cluster.broker(id).start();
        cluster.ready().await;
        cluster.in_sync(&client, "orders").await;
    }
    workload.acknowledged(200).await;
    workload.finish(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_cluster_stops_and_starts_again_clean() {
    let mut cluster = Cluster::start("all-stop").await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;
    let mut workload = Workload::new("orders");
    workload.write(&client, Writer::new(1));
    workload.acknowledged(500).await;

    for broker in cluster.brokers() {
        assert_eq!(broker.terminate().code(), Some(0), "broker {}:\n{}", broker.id, broker.log_tail());
    }
    for broker in cluster.brokers() {
        let before = broker.log().len();
        broker.start();
        broker.wait_for_log(before, "clean=true");
    }
    cluster.ready().await;
    workload.acknowledged(200).await;
    workload.finish(&client).await;
}
