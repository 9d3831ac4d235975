//! A sync that fails is final: the broker acknowledges nothing more, says why, ends with exit code 9, and after a restart
//! everything acknowledged is there.

use crate::harness::{Cluster, lacks, shim};
use crate::workload::{Workload, Writer};

/// The exit code of a data directory that failed.
const EXIT_DISK: i32 = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nothing_is_acknowledged_and_nothing_is_lost() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let Some(library) = shim::compile("failing_sync", scratch.path()) else {
        lacks("failing_sync", "a C compiler, `cc`");
        return;
    };
    let mut cluster = Cluster::start("failing-sync").await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;
    cluster.in_sync(&client, "orders").await;
    let mut workload = Workload::new("orders");
    workload.write(&client, Writer::new(1));
    workload.write(&client, Writer::hasty(2));
    workload.read(&client);

    for (id, skip) in [(3, 0), (2, 3), (1, 7)] {
        let trigger = scratch.path().join(format!("trigger-{id}"));
        let broker = cluster.broker(id);
        assert_eq!(broker.terminate().code(), Some(0), "{}", broker.log_tail());
        broker.environment("LD_PRELOAD", library.display());
        broker.environment("FAILING_SYNC_BELOW", broker.data_dir().display());
        broker.environment("FAILING_SYNC_TRIGGER", trigger.display());
        broker.environment("FAILING_SYNC_SKIP", skip);
        broker.start();
        cluster.ready().await;
        cluster.in_sync(&client, "orders").await;
        workload.acknowledged(100).await;

        std::fs::write(&trigger, "").expect("the trigger is written");
        let broker = cluster.broker(id);
        let status = broker.wait_for_exit();
        let log = broker.log();
        assert_eq!(status.code(), Some(EXIT_DISK), "broker {id} ended otherwise:\n{}", broker.log_tail());
        assert!(log.contains("the data directory failed"), "broker {id} does not say why:\n{log}");
        std::fs::remove_file(&trigger).expect("the trigger is removed");
        broker.start();
        cluster.ready().await;
        cluster.in_sync(&client, "orders").await;
    }
    workload.acknowledged(100).await;
    workload.finish(&client).await;
}
