//! Followers gone: acknowledgements go on with a majority in sync, are refused without, and come back by themselves.

use std::time::Duration;

use fidelog_client::{Reason, Record};

use crate::harness::{Builder, LONG, wait_until};
use crate::history::{Outcome, Value};
use crate::workload::{Workload, Writer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_too_few_in_sync_a_produce_is_definitely_refused_until_they_return() {
    // One voter, which leads the topic and stays: it has to agree that a follower left. Without a quorum a leader could
    // not know whom to count on, and outcomes would stay unknown.
    let roles = [Some("both"), Some("broker"), Some("broker")];
    let mut cluster = Builder::new("follower-down").roles(&roles).start().await;
    let client = cluster.client().await;
    let topic = cluster.topic_led_by(&client, "orders", 1).await;
    cluster.in_sync(&client, &topic).await;

    let mut workload = Workload::new(&topic);
    workload.write(&client, Writer::new(1));
    workload.read(&client);
    workload.acknowledged(100).await;

    let impatient = client.producer(&topic).delivery_budget(Duration::from_millis(300));
    let impatient = impatient.open().await.expect("somebody grants an identity");

    cluster.broker(2).kill();
    // One follower less: two are enough.
    workload.acknowledged(100).await;

    cluster.broker(3).kill();
    let mut counter = 0;
    let refusal = wait_until("a produce is refused for want of replicas", LONG, async || {
        let value = Value { producer: 99, counter };
        counter += 1;
        let place = workload.recorder.sending(value, 0);
        let delivery = impatient.send(Record::new(value.to_string())).await.expect("there is memory");
        let error = delivery.await.expect_err("nobody can acknowledge it");
        if error.is_definite() {
            workload.recorder.sent(place, Outcome::NotStored);
        }
        (error.is_definite() && error.reason() == Some(Reason::NotEnoughReplicas)).then_some(error)
    })
    .await;
    println!("refused: {refusal}");

    for id in [2, 3] {
        cluster.broker(id).start();
    }
    cluster.ready().await;
    cluster.in_sync(&client, &topic).await;
    workload.acknowledged(100).await;
    workload.finish(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_follower_and_a_paused_leader_lose_nothing() {
    let mut cluster = Builder::new("paused").set("log.replica_lag_max_ms", 1_000).start().await;
    let client = cluster.client().await;
    cluster.topic(&client, "orders").await;
    cluster.in_sync(&client, "orders").await;
    let mut workload = Workload::new("orders");
    workload.write(&client, Writer::new(1));
    workload.write(&client, Writer::hasty(2));
    workload.read(&client);

    for id in [3, 2, 1] {
        workload.acknowledged(100).await;
        let before = workload.recorder.counts();
        cluster.broker(id).pause();
        // Until the pause was felt: something ended without an acknowledgement.
        wait_until("the pause is felt", LONG, async || {
            let now = workload.recorder.counts();
            (now.not_stored + now.unknown > before.not_stored + before.unknown + 32).then_some(())
        })
        .await;
        cluster.broker(id).resume();
        cluster.ready().await;
        cluster.in_sync(&client, "orders").await;
    }
    workload.finish(&client).await;
}
