//! A partition moves to other brokers: the new ones are added first. A move is cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fidelog_client::Client;

use super::scene::{Events, Scene, TOPIC, partitions};
use crate::harness::{LONG, wait_until};

/// The broker of four that has no replica of this partition.
fn outsider(replicas: &[u32]) -> u32 {
    (1..=4).find(|id| !replicas.contains(id)).expect("three of four have one")
}

fn ids(brokers: &[u32]) -> String {
    brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Looks again and again until told to stop: however the partition is seen, it has either all its old replicas or
/// those it is to have, and never fewer in sync than its minimum. Tells how often it was seen on its way.
async fn watch(client: Client, (from, to): (Vec<u32>, Vec<u32>), stop: Arc<AtomicBool>) -> usize {
    let mut on_its_way = 0;
    while !stop.load(Ordering::Relaxed) {
        let all = partitions(&client).await;
        let seen = all.iter().find(|it| it.topic == TOPIC).expect("it is there");
        let keeps_old = from.iter().all(|id| seen.replicas.contains(id));
        assert!(keeps_old || seen.replicas == to, "N15: added first, removed in one step: {seen:?}");
        assert!(seen.isr.len() >= 2, "{seen:?}");
        on_its_way += usize::from(!seen.targets.is_empty());
    }
    on_its_way
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_moves_by_adding_first() {
    let scene = Scene::start("move", 4, 1).await;
    let events = Events::follow(&scene.client).await;
    let from = scene.partition(0).await.replicas;
    let new = outsider(&from);
    let to = vec![new, from[1], from[2]];
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn(watch(scene.client.clone(), (from.clone(), to.clone()), Arc::clone(&stop)));

    let begun = scene.fidelog.json(&["partition", "move", "orders/0", "--to", &ids(&to), "--wait"]).await;
    assert_eq!(begun[0]["targets"], serde_json::json!(to), "{begun}");
    let moved = scene.partition(0).await;
    assert_eq!((&moved.replicas, moved.isr.len(), moved.targets.len()), (&to, 3, 0));
    stop.store(true, Ordering::Relaxed);
    println!("seen on its way {} times", watcher.await.expect("what it sees is as it must be"));
    let all = [&from[..], &[new]].concat();
    let added = events.told("replicas_changed", &format!("{} -> {}", ids(&from), ids(&all))).await;
    let removed = events.told("replicas_changed", &format!("{} -> {}", ids(&all), ids(&to))).await;
    assert!(added < removed);

    let again = scene.fidelog.run(&["partition", "move", "orders/0", "--to", &ids(&to)]).await;
    assert_ne!(again.code, Some(0), "it is there already: {again:?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_move_ends_where_it_began() {
    let mut scene = Scene::start("cancel-move", 4, 1).await;
    let from = scene.partition(0).await.replicas;
    let new = outsider(&from);
    let to = vec![new, from[1], from[2]];
    // Whom it is to move to stands still, so that it does not get there; begun before that is noticed.
    wait_until("a move begins to a broker that then stands still", LONG, async || {
        scene.cluster.broker(new).pause();
        let begun = scene.client.admin().move_replicas(TOPIC, 0, &to).await;
        if begun.is_err() {
            scene.cluster.broker(new).resume();
        }
        begun.ok()
    })
    .await;
    let moving = scene.partition(0).await;
    assert_eq!((moving.targets, moving.replicas.len()), (to.clone(), 4));
    scene.workload.acknowledged(100).await;
    let refused = scene.fidelog.run(&["partition", "move", "orders/0", "--to", &ids(&to)]).await;
    assert_ne!(refused.code, Some(0), "one move at a time: {refused:?}");

    scene.fidelog.done(&["partition", "cancel-move", "orders/0"]).await;
    let back = scene.partition(0).await;
    assert_eq!((back.replicas, back.targets.len()), (from, 0));
    scene.cluster.broker(new).resume();
    let refused = scene.fidelog.run(&["partition", "cancel-move", "orders/0"]).await;
    assert_ne!(refused.code, Some(0), "there is nothing to cancel: {refused:?}");
    scene.settled().await;
    scene.end().await;
}
