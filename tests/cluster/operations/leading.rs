//! Leaders are chosen by people, and brokers restarted one after the other: leaderships are handed over first.

use super::scene::{Events, Scene};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_elected_leader_leads_until_the_preferred_one_is_wanted_back() {
    let scene = Scene::start("elect", 3, 3).await;
    let events = Events::follow(&scene.client).await;
    let before = scene.partition(0).await;
    let other = before.replicas[1];
    let elected =
        scene.fidelog.json(&["partition", "elect", "orders/0", "--broker", &other.to_string()]).await;
    assert_eq!(elected[0]["leader"], other, "{elected}");
    assert!(scene.partition(0).await.leader_epoch > before.leader_epoch);
    events.told("leader_changed", &format!("orders/0: broker {other} leads it")).await;
    scene.workload.acknowledged(100).await;
    // What an operator chose is not undone by itself.
    assert_eq!(scene.partition(0).await.leader, other);

    scene.fidelog.done(&["partition", "elect", "--preferred"]).await;
    scene.led_as_preferred().await;
    let nobody = scene.fidelog.run(&["partition", "elect", "orders/0", "--broker", "9"]).await;
    assert_eq!(nobody.code, Some(7), "{nobody:?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_are_restarted_one_by_one_and_no_produce_fails() {
    let mut scene = Scene::start("rolling", 3, 6).await;
    scene.led_as_preferred().await;
    for id in 1..=3 {
        let events = Events::follow(&scene.client).await;
        assert_eq!(scene.cluster.broker(id).terminate().code(), Some(0), "broker {id} did not stop cleanly");
        events.told("leader_changed", &format!("before it broker {id}")).await;
        scene.cluster.broker(id).start();
        scene.cluster.ready().await;
        scene.settled().await;
        scene.workload.acknowledged(100).await;
    }
    scene.led_as_preferred().await;
    scene.end().await;
}

/// It stopped and was back before the active controller looked again; its leaderships stayed with the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_back_at_once_leads_again_what_it_led() {
    let mut scene = Scene::start("back-at-once", 3, 6).await;
    scene.led_as_preferred().await;
    for id in [3, 2, 3] {
        assert_eq!(scene.cluster.broker(id).terminate().code(), Some(0), "broker {id} did not stop cleanly");
        scene.cluster.broker(id).start();
        scene.cluster.ready().await;
        scene.settled().await;
        scene.led_as_preferred().await;
    }
    scene.end().await;
}
