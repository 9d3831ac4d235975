//! Copies of data directories (N13): a directory that comes back older than it was known, or twice, is recognised by the
//! generation found in it, is out of every in-sync set from that moment on, and is refilled before it counts again.

use std::path::{Path, PathBuf};

use fidelog_client::{Fetch, NewTopic, Record};

use crate::directories::{UnderLoad, led_by_another};
use crate::harness::directory::remove;
use crate::harness::{Builder, LONG, wait_until};

/// What a broker logs when it registered a directory older than known.
const RECOGNISED: &str = "data=RolledBack";

const RECORDS: u64 = 30;

/// Broker 1 alone votes: what comes back older, or twice, are brokers.
async fn one_voter(name: &'static str) -> UnderLoad {
    UnderLoad::on(Builder::new(name).roles(&[Some("both"), Some("broker"), Some("broker")])).await
}

/// Kills broker 3 and puts the older copy in the place of its directory.
fn roll_back_3(scene: &mut UnderLoad, older: PathBuf) {
    let broker = scene.cluster.broker(3);
    broker.kill();
    remove(&broker.data_dir());
    std::fs::rename(older, broker.data_dir()).expect("the older copy takes its place");
}

/// Starts broker 3, which is recognised as rolled back.
async fn recognised(scene: &mut UnderLoad) {
    let broker = scene.cluster.broker(3);
    let from = broker.log().len();
    broker.start();
    scene.cluster.ready().await;
    scene.cluster.broker(3).wait_for_log(from, RECOGNISED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_rolled_back_leads_nothing_until_it_was_refilled_though_it_was_the_last() {
    let mut scene = one_voter("rolled-back").await;
    let pairs = NewTopic { partitions: 3, replication_factor: 2, ..NewTopic::new("pairs") };
    let pairs = scene.client.admin().create_topic(pairs).await.expect("two of three hold each partition");
    let at = pairs.partitions.iter().find(|it| !it.replicas.contains(&1)).expect("replicas are spread");
    let at = at.partition;
    let older = scene.copy_of_3().await;
    scene.cluster.in_sync(&scene.client, "pairs").await;
    let producer = scene.client.producer("pairs").open().await.expect("the topic is there");
    let delivery = producer.send_to(at, Record::new("later than the copy")).await.expect("there is memory");
    let offset = delivery.await.expect("it is acknowledged").offset.expect("it was not stored before").0;

    // First the other replica dies, so that broker 3 is the last to lead; then its directory is older.
    scene.cluster.broker(2).kill();
    wait_until("broker 3 leads", LONG, async || {
        let described = scene.client.admin().describe_topic("pairs").await.ok()?;
        (described.partitions.iter().find(|it| it.partition == at)?.leader == 3).then_some(())
    })
    .await;
    roll_back_3(&mut scene, older);
    recognised(&mut scene).await;
    wait_until("broker 3 is in no set", LONG, async || {
        let described = scene.client.admin().describe_topic("pairs").await.ok()?;
        let partition = described.partitions.iter().find(|it| it.partition == at)?;
        let trusted = partition.isr.contains(&3) || partition.eligible.contains(&3);
        (partition.leader == 0 && !trusted).then_some(())
    })
    .await;

    // Who has everything leads, and refills it.
    scene.cluster.broker(2).start();
    scene.all_in_sync().await;
    scene.cluster.in_sync(&scene.client, "pairs").await;
    let read = scene.client.fetch(Fetch::new("pairs", at, offset)).await.expect("it is served");
    let record = read.records().next().expect("it is there").expect("it can be read");
    assert_eq!(record.value.as_deref(), Some(&b"later than the copy"[..]));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_rolled_back_is_replaced_and_refilled_and_may_lead_again() {
    let mut scene = one_voter("rolled-back-leader").await;
    let led = scene.cluster.topic_led_by(&scene.client, "led", 3).await;
    scene.cluster.in_sync(&scene.client, &led).await;
    let older = scene.copy_of_3().await;
    lead_again(&scene, &led).await;
    let producer = scene.client.producer(&led).open().await.expect("the topic is there");
    for number in 0..RECORDS {
        drop(producer.send(Record::new(number.to_string())).await.expect("there is memory"));
    }
    producer.close().await.expect("all are acknowledged");

    roll_back_3(&mut scene, older);
    led_by_another(&scene.client, &led, 3).await;
    recognised(&mut scene).await;
    scene.all_in_sync().await;
    scene.cluster.in_sync(&scene.client, &led).await;
    lead_again(&scene, &led).await;
    let mut consumer = scene.client.consumer(&led).open().await.expect("it is served");
    for number in 0..RECORDS {
        let record = consumer.next().await.expect("there are more").expect("it can be read");
        let (offset, value) = (record.offset, record.value.as_deref().map(<[u8]>::to_vec));
        assert_eq!((offset, value), (number, Some(number.to_string().into_bytes())));
    }
    scene.finish().await;
}

/// Has broker 3 elected for `topic`: after an absence too short to be seen nobody else asks for it.
async fn lead_again(scene: &UnderLoad, topic: &str) {
    wait_until(&format!("broker 3 leads {topic} again"), LONG, async || {
        scene.client.admin().elect_leaders(&[(topic.to_owned(), 0)], Some(3)).await.ok()?;
        let described = scene.client.admin().describe_topic(topic).await.ok()?;
        (described.partitions.first()?.leader == 3).then_some(())
    })
    .await;
}

/// The generation in a data directory's file `identity`: a line that describes it, then JSON.
fn generation(data_dir: &Path) -> u64 {
    let text = std::fs::read_to_string(data_dir.join("identity")).expect("it has an identity");
    let (_, json) = text.split_once('\n').expect("a line describes it");
    let identity: serde_json::Value = serde_json::from_str(json).expect("it is JSON");
    identity["generation"].as_u64().expect("it has a generation")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_with_one_identity_the_second_waits_and_is_not_trusted() {
    let mut scene = one_voter("cloned").await;
    // The very same directory.
    let data = scene.cluster.broker(3).data_dir();
    let (code, said) = scene.cluster.broker(3).double(&data).start_in_vain();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is in use by another process"), "{said}");

    // A copy of it, while the first process lives.
    let older = scene.copy_of_3().await;
    let mut clone = scene.cluster.broker(3).double(&older);
    let copied = generation(&older);
    let mut from = 0;
    for start in 0..5 {
        if start > 0 {
            clone.kill(); // Before it was judged: its next start must find no trace of this one.
        }
        from = clone.log().len();
        clone.start();
        clone.wait_for_log(from, "waiting for the session of the former process of this broker to end");
        assert_eq!(generation(&older), copied, "start {start} raised what it found before it was judged");
    }
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
    scene.counts_again(3).await;
    scene.finish().await;
}
