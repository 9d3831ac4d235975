//! Copies of data directories (N13): a directory that comes back older than it was known, or twice, is recognised by the
//! generation found in it, is out of every in-sync set from that moment on, and is refilled before it counts again.

use crate::directories::{UnderLoad, serves_none_of_what_it_lost};
use crate::harness::directory::remove;
use crate::harness::{LONG, wait_until};

/// What a broker logs when it registered a directory older than known.
const RECOGNISED: &str = "data=RolledBack";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_rolled_back_is_out_of_every_set_until_it_was_refilled() {
    let mut scene = UnderLoad::start("rolled-back").await;
    let older = scene.copy_of_3().await;
    // The leader first: nobody is there to take the follower out of the set, or to bring it up to date.
    scene.cluster.broker(2).kill();
    let rolled_back = scene.cluster.broker(3);
    rolled_back.kill();
    scene.cluster.in_sync_are(&scene.client, &scene.topic, &[1, 2, 3]).await;
    let rolled_back = scene.cluster.broker(3);
    let data = rolled_back.data_dir();
    remove(&data);
    std::fs::rename(&older, &data).expect("the older copy takes its place");
    let from = rolled_back.log().len();
    rolled_back.start();
    scene.cluster.ready().await;
    scene.cluster.broker(3).wait_for_log(from, RECOGNISED);
    scene.cluster.in_sync_are(&scene.client, &scene.topic, &[1, 2]).await;

    scene.cluster.broker(2).start();
    scene.all_in_sync().await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_rolled_back_says_so_and_serves_none_of_what_it_has() {
    let mut scene = UnderLoad::start("rolled-back-leader").await;
    let led = scene.cluster.topic_led_by(&scene.client, "led", 3).await;
    scene.cluster.in_sync(&scene.client, &led).await;
    let older = scene.copy_of_3().await;
    let rolled_back = scene.cluster.broker(3);
    rolled_back.kill();
    let data = rolled_back.data_dir();
    remove(&data);
    std::fs::rename(&older, &data).expect("the older copy takes its place");
    let from = rolled_back.log().len();
    rolled_back.start();
    // What it only follows is filled again from its leader.
    scene.all_in_sync().await;
    scene.cluster.broker(3).wait_for_log(from, RECOGNISED);
    serves_none_of_what_it_lost(&scene.client, &led, 3).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_with_one_identity_the_second_waits_and_is_not_trusted() {
    let mut scene = UnderLoad::start("cloned").await;
    // The very same directory.
    let data = scene.cluster.broker(3).data_dir();
    let (code, said) = scene.cluster.broker(3).double(&data).start_in_vain();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is in use by another process"), "{said}");

    // A copy of it, while the first process lives.
    let older = scene.copy_of_3().await;
    let mut clone = scene.cluster.broker(3).double(&older);
    let from = clone.log().len();
    clone.start();
    clone.wait_for_log(from, "waiting for the session of the former process of this broker to end");
    scene.workload.acknowledged(200).await;
    scene.cluster.in_sync_are(&scene.client, &scene.topic, &[1, 2, 3]).await;
    assert!(
        !clone.log()[from..].contains("registered"),
        "two processes are one broker:\n{}",
        clone.log_tail()
    );
    assert!(clone.is_running() && scene.cluster.broker(3).is_running());

    // With the first gone the clone is let in as what it is.
    scene.cluster.broker(3).kill();
    clone.wait_for_log(from, RECOGNISED);
    scene.all_in_sync().await;
    scene.workload.acknowledged(100).await;

    // And the first directory is now the older of the two.
    clone.kill();
    let first = scene.cluster.broker(3);
    let from = first.log().len();
    first.start();
    first.wait_for_log(from, RECOGNISED);
    scene.all_in_sync().await;
    wait_until("the first directory's syncs count again", LONG, async || {
        let receipts = scene.workload.recorder.receipts();
        receipts.last().is_some_and(|receipt| receipt.by.contains(&3)).then_some(())
    })
    .await;
    scene.finish().await;
}
