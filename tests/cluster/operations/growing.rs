//! A topic gets more partitions, more and fewer copies; a cluster gets a further broker.

use fidelog_client::{NewTopic, Record};

use super::scene::{Scene, TOPIC};
use crate::harness::Builder;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_gets_more_partitions() {
    let scene = Scene::start("partitions", 3, 2).await;
    scene.fidelog.done(&["topic", "alter", TOPIC, "--partitions", "5", "--yes"]).await;
    scene.settled().await;
    let all = scene.partitions().await;
    assert_eq!(all.iter().filter(|it| it.topic == TOPIC && it.leader != 0).count(), 5);
    let fewer = scene.fidelog.run(&["topic", "alter", TOPIC, "--partitions", "4", "--yes"]).await;
    assert_ne!(fewer.code, Some(0), "partitions are only ever added: {fewer:?}");

    // Who opens now knows all of them.
    scene
        .client
        .admin()
        .create_topic(NewTopic { partitions: 1, ..NewTopic::new("grown") })
        .await
        .expect("it is new");
    scene.fidelog.done(&["topic", "alter", "grown", "--partitions", "3", "--yes"]).await;
    scene.settled().await;
    let producer = scene.client.producer("grown").open().await.expect("the topic is there");
    assert_eq!(producer.partition_count(), 3);
    let mut used = std::collections::BTreeSet::new();
    for number in 0..60 {
        let record = Record::new("v").key(format!("key-{number}"));
        let delivery = producer.send(record).await.expect("there is memory");
        used.insert(delivery.await.expect("every partition takes it").partition.0);
    }
    assert_eq!(used.len(), 3);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_gets_more_copies_and_fewer() {
    let cluster = Builder::new("factor").start().await;
    let topic = NewTopic { partitions: 3, replication_factor: 2, ..NewTopic::new(TOPIC) };
    let scene = Scene::on(cluster, topic).await;
    for factor in [3_usize, 2, 3] {
        let wanted = factor.to_string();
        scene
            .fidelog
            .done(&["topic", "alter", TOPIC, "--replication-factor", &wanted, "--yes", "--wait"])
            .await;
        scene.settled().await;
        let all = scene.partitions().await;
        assert!(all.iter().filter(|it| it.topic == TOPIC).all(|it| it.replicas.len() == factor), "{all:?}");
        scene.workload.acknowledged(100).await;
    }
    let alone = ["topic", "alter", TOPIC, "--replication-factor", "1", "--yes"];
    let refused = scene.fidelog.run(&alone).await;
    assert_ne!(refused.code, Some(0), "one copy must be asked for in so many words: {refused:?}");
    scene.end().await;
}

/// The others have never heard of it: not even their configurations name it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fourth_broker_joins_a_cluster_at_work() {
    let mut cluster = Builder::new("fourth").roles(&[None; 4]).last_joins_later().prepare();
    for broker in &mut cluster.brokers()[..3] {
        broker.format().expect("a new directory is formatted");
        broker.start();
    }
    cluster.ready().await;
    let topic = NewTopic { partitions: 4, ..NewTopic::new(TOPIC) };
    let mut scene = Scene::on(cluster, topic).await;
    let fourth = scene.cluster.broker(4);
    fourth.format().expect("a new directory is formatted");
    fourth.start();
    scene.cluster.ready().await;
    assert_eq!(scene.held_by(4).await, 0);
    scene.fidelog.done(&["cluster", "rebalance", "--yes", "--wait"]).await;
    assert!(scene.held_by(4).await > 0);
    scene.fidelog.done(&["partition", "elect", "--preferred"]).await;
    scene.settled().await;
    let leads = scene.partitions().await.iter().filter(|it| it.leader == 4).count();
    assert!(leads > 0, "it leads as others do");

    // And it is worth as much as any: with it, one of the others may go for good.
    scene.fidelog.done(&["broker", "drain", "3", "--wait"]).await;
    scene.cluster.broker(3).kill();
    scene.workload.acknowledged(100).await;
    scene.cluster.broker(3).start();
    scene.cluster.ready().await;
    scene.end().await;
}
