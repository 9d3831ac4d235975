//! A quorum that lost its majority for good is rebuilt from the one voter that is left, by hand, and what may be lost by it
//! is shown first.

use fidelog_client::{Client, NewTopic};

use crate::harness::directory::remove;
use crate::harness::{Cluster, LONG, wait_until};
use crate::workload::{Workload, Writer, read_to_end};

/// The hash of the plan that `fidelogd quorum rebuild` printed.
fn hash_in(plan: &str) -> String {
    let behind = plan.split("--agree ").nth(1).unwrap_or_else(|| panic!("no hash in:\n{plan}"));
    behind.trim().to_owned()
}

/// Broker `id`, which is stopped, becomes the only voter.
fn rebuild(cluster: &mut Cluster, id: u32) -> String {
    let broker = cluster.broker(id);
    let plan = broker.offline("quorum rebuild", &[]).expect("it has a plan");
    println!("{plan}");
    let refused = broker.offline("quorum rebuild", &["--agree", "00000000"]).expect_err("another plan");
    assert!(refused.contains("not the plan that was agreed to"), "{refused}");
    let rebuilt = broker.offline("quorum rebuild", &["--agree", &hash_in(&plan)]).expect("it is agreed to");
    println!("{rebuilt}");
    plan
}

/// Those whose disks were destroyed begin anew.
fn format_and_start(cluster: &mut Cluster, ids: [u32; 2]) {
    for id in ids {
        cluster.broker(id).format().expect("an empty directory is formatted");
        cluster.broker(id).start();
    }
}

async fn add(client: &Client, broker: u32) {
    wait_until(&format!("broker {broker} votes"), LONG, async || client.admin().add_voter(broker).await.ok())
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_voters_two_disks_are_destroyed_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::start("rebuild").await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;
    let mut workload = Workload::new("orders");
    workload.write(&client, Writer::new(1));
    workload.acknowledged(300).await;
    cluster.in_sync(&client, "orders").await;
    let recorder = workload.recorder.clone();
    workload.finish(&client).await;
    cluster.in_sync(&client, "orders").await;

    let running = cluster.broker(1).offline("quorum rebuild", &[]).expect_err("its daemon runs");
    assert!(running.contains("lock") || running.contains("in use"), "{running}");
    for id in 1..=3 {
        cluster.broker(id).kill();
    }
    for id in [2, 3] {
        remove(&cluster.broker(id).data_dir());
    }
    let plan = rebuild(&mut cluster, 1);
    assert!(plan.contains("broker 2 at") && plan.contains(", here"), "{plan}");

    cluster.broker(1).start();
    format_and_start(&mut cluster, [2, 3]);
    cluster.ready().await;
    let client = cluster.client().await;
    cluster.in_sync(&client, "orders").await;
    read_to_end(&client, "orders", &recorder).await;
    recorder.judge();
    for id in [2, 3] {
        add(&client, id).await;
    }

    // Three again: any one of them may go.
    cluster.broker(1).kill();
    let mut workload = Workload::new("orders");
    workload.recorder = recorder;
    workload.write(&client, Writer::new(2));
    workload.acknowledged(100).await;
    client
        .admin()
        .create_topic(NewTopic { replication_factor: 2, ..NewTopic::new("later") })
        .await
        .expect("two of three decide");
    cluster.broker(1).start();
    cluster.ready().await;
    cluster.in_sync(&client, "orders").await;
    workload.finish(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_saw_more_than_the_copy_holds_is_told_apart() {
    let roles = [None, None, None, None];
    let mut cluster = crate::harness::Builder::new("rebuild-behind").roles(&roles).start().await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;
    cluster.broker(1).kill();
    // Decided without the voter that is left in the end, and seen by broker 4.
    cluster.topic(&client, "later").await;
    wait_until("broker 4 has seen it", LONG, async || {
        let known = Client::connect([cluster.client_address(4).to_string()]).await.ok()?;
        known.admin().describe_topic("later").await.ok().map(drop)
    })
    .await;
    for id in 2..=4 {
        cluster.broker(id).kill();
    }
    for id in [2, 3] {
        remove(&cluster.broker(id).data_dir());
    }
    println!("{}", cluster.broker(4).offline("quorum show", &[]).expect("it tells what it has seen"));
    rebuild(&mut cluster, 1);
    cluster.broker(1).start();
    let (code, log) = cluster.broker(4).start_in_vain();
    assert!(code == Some(1) && log.to_lowercase().contains("metadata lost"), "{code:?} {log}");

    // What it holds counts, once an operator says so.
    let shown = cluster.broker(4).offline("quorum accept", &[]).expect("it shows what it has seen");
    cluster.broker(4).offline("quorum accept", &["--agree", &hash_in(&shown)]).expect("it is agreed to");
    cluster.broker(4).start();
    format_and_start(&mut cluster, [2, 3]);
    cluster.ready().await;
    let client = cluster.client().await;
    cluster.in_sync(&client, "orders").await;
    let names = client.admin().list_topics(false).await.expect("topics are listed");
    assert!(names.iter().all(|it| it.name != "later"), "that is what was lost: {names:?}");
}
