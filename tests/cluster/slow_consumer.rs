//! A consumer that takes nothing: the broker buffers what it was allowed to and no more, and everybody else goes on.

use crate::harness::Cluster;
use crate::workload::{Workload, Writer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_stops_taking_disturbs_nobody_and_misses_nothing() {
    let cluster = Cluster::start("slow-consumer").await;
    let client = cluster.client().await;
    cluster.topic_of(&client, "orders", 1, &[]).await;
    let mut workload = Workload::new("orders");
    workload.write(&client, Writer { filling_bytes: 20_000, ..Writer::new(1) });
    workload.read(&client);
    workload.acknowledged(10).await;
    let mut slow = client.consumer("orders").buffer_bytes(64 << 10).open().await.expect("it opens");
    let first = slow.next().await.expect("there is one").expect("it can be read");

    // Many times what the slow one lets the broker send ahead.
    workload.acknowledged(500).await;
    for expected in first.offset + 1..first.offset + 500 {
        let record = slow.next().await.expect("there is one").expect("it can be read");
        assert_eq!(record.offset, expected);
    }
    drop(slow);
    workload.finish(&client).await;
}
