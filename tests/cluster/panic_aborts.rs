//! A bug stops the broker: a panic on any thread or task is logged, with where it was, and aborts the process.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::harness::Cluster;
use crate::workload::{Workload, Writer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_logged_and_aborts_the_daemon() {
    let mut cluster = Cluster::start("panic").await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;
    let mut workload = Workload::new("orders");
    workload.write(&client, Writer::new(1));
    workload.read(&client);

    for (id, place) in [(2, "thread"), (3, "task")] {
        workload.acknowledged(50).await;
        let broker = cluster.broker(id);
        broker.tell(&format!("panic {place}"));
        let status = broker.wait_for_exit();
        assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "it ended otherwise: {status}");
        let log = broker.log();
        assert!(log.contains(&format!("a {place} was asked to panic")), "the log does not tell why:\n{log}");
        assert!(log.contains("fidelogd_under_test.rs"), "the log does not tell where:\n{log}");
        assert!(!log.contains("went unnoticed"), "the runtime caught it:\n{log}");
        broker.start();
        cluster.ready().await;
    }
    workload.acknowledged(50).await;
    workload.finish(&client).await;
}
