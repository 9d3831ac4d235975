//! A broker is emptied, stopped, and takes part again.

use super::scene::{Events, Scene};

fn moves(plan: &serde_json::Value) -> usize {
    plan["moves"].as_array().expect("a plan has moves").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_broker_holds_nothing_and_can_go_and_come_back() {
    let mut scene = Scene::start("drain", 4, 6).await;
    let events = Events::follow(&scene.client).await;
    let held = scene.held_by(2).await;
    assert!(held > 0, "a broker of four holds some of so many replicas");

    let planned = scene.fidelog.json(&["broker", "drain", "2", "--dry-run"]).await;
    assert_eq!((moves(&planned), scene.held_by(2).await), (held, held), "a dry run changes nothing");
    scene.fidelog.done(&["broker", "drain", "2", "--wait"]).await;
    assert_eq!(scene.held_by(2).await, 0);
    let shown = scene.fidelog.json(&["broker", "ls"]).await;
    let drained = shown.as_array().expect("a list").iter().find(|it| it["id"] == 2).expect("it is there");
    assert_eq!((&drained["draining"], &drained["leads"]), (&true.into(), &0.into()), "{drained}");
    events.told("broker_draining", "broker 2").await;

    assert_eq!(scene.cluster.broker(2).terminate().code(), Some(0));
    scene.workload.acknowledged(100).await;
    scene.cluster.broker(2).start();
    scene.cluster.ready().await;
    assert_eq!(scene.held_by(2).await, 0, "it is drained still");
    scene.fidelog.done(&["broker", "resume", "2"]).await;
    events.told("broker_resumed", "broker 2").await;

    let planned = scene.fidelog.json(&["cluster", "rebalance", "--dry-run"]).await;
    assert!(moves(&planned) > 0, "{planned}");
    assert_eq!(scene.held_by(2).await, 0, "a dry run changes nothing");
    let begun = scene.fidelog.json(&["cluster", "rebalance", "--yes", "--wait"]).await;
    assert_eq!(begun, planned, "what was shown is what was done");
    assert!(scene.held_by(2).await > 0);
    let again = scene.fidelog.json(&["cluster", "rebalance", "--dry-run"]).await;
    assert_eq!(moves(&again), 0, "{again}");
    scene.settled().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_drained_of_its_leaderships_keeps_its_replicas() {
    let scene = Scene::start("drain-leaders", 3, 3).await;
    let held = scene.held_by(1).await;
    scene.fidelog.done(&["broker", "drain", "1", "--keep-replicas", "--wait"]).await;
    let all = scene.partitions().await;
    assert!(all.iter().all(|it| it.leader != 1 && it.leader != 0), "{all:?}");
    assert!(all.iter().all(|it| it.isr.contains(&1)), "it goes on following: {all:?}");
    assert_eq!(scene.held_by(1).await, held);
    scene.workload.acknowledged(100).await;
    scene.fidelog.done(&["broker", "resume", "1"]).await;
    scene.led_as_preferred().await;
    scene.end().await;
}

/// One that drains is not taken into an in-sync set (N8). It was named with every other that caught up, and all of them
/// were refused: restarted one after the other, no two were in sync, and nothing was taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_drains_keeps_no_other_from_joining() {
    let mut scene = Scene::start("drain-restarts", 3, 3).await;
    scene.fidelog.done(&["broker", "drain", "3", "--keep-replicas", "--wait"]).await;
    scene.cluster.broker(3).terminate();
    scene.workload.acknowledged(100).await;
    scene.cluster.broker(3).start();
    scene.cluster.ready().await;
    scene.workload.acknowledged(100).await;
    scene.cluster.broker(2).terminate();
    scene.cluster.broker(2).start();
    scene.workload.acknowledged(300).await;
    let all = scene.partitions().await;
    assert!(all.iter().all(|it| !it.isr.contains(&3)), "it drains still: {all:?}");
    let health = scene.fidelog.run(&["cluster", "health"]).await;
    assert!(health.out.contains("not taken back before these are resumed"), "{health:?}");
    scene.fidelog.done(&["broker", "resume", "3"]).await;
    scene.settled().await;
    scene.end().await;
}
