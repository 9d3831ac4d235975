//! Leaders that die, hang and are cut off: writing and reading go on at the new one by themselves (G4, G10).
//!
//! In each of these, whoever waited for the silent broker to answer would wait until the test's patience ends: the
//! acknowledgement timeout is a minute.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fidelog_client::{Client, Event, Producer, Reason, Record};
use parking_lot::Mutex;

use crate::support::{Partitions, TOPIC, TestBroker};
use crate::{PATIENCE, numbers, send_numbers};

struct Scene {
    shared: Arc<Partitions>,
    brokers: Vec<TestBroker>,
    client: Client,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Scene {
    /// Three brokers, of which the first leads.
    async fn new() -> Self {
        let shared = Partitions::new(1);
        let brokers: Vec<TestBroker> = (1..=3).map(|id| TestBroker::start(id, &shared)).collect();
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = events.clone();
        let client = Client::builder(brokers.iter().map(TestBroker::address))
            .on_event(move |event| heard.lock().push(event.clone()));
        Self { client: client.connect().await.unwrap(), shared, brokers, events }
    }

    async fn producer(&self) -> Producer {
        let producer = self.client.producer(TOPIC).batch_bytes_max(1024).ack_timeout(Duration::from_secs(60));
        producer.open().await.unwrap()
    }

    fn heard(&self, what: impl Fn(&Event) -> bool) -> bool {
        self.events.lock().iter().any(what)
    }
}

/// Sends these records beside the caller.
fn send_beside(producer: &Producer, range: std::ops::Range<u32>) -> tokio::task::JoinHandle<Vec<u64>> {
    let producer = producer.clone();
    tokio::spawn(async move { send_numbers(&producer, range).await })
}

async fn done<T>(task: tokio::task::JoinHandle<T>) -> T {
    tokio::time::timeout(PATIENCE, task).await.expect("it ended").unwrap()
}

#[tokio::test]
async fn a_leader_that_hangs_is_left_for_the_new_one() {
    let scene = Scene::new().await;
    let producer = scene.producer().await;
    send_numbers(&producer, 0..50).await;
    let _frozen = scene.brokers[0].freeze();
    let sending = send_beside(&producer, 50..250);
    scene.shared.lead(2);
    done(sending).await;
    assert_eq!(scene.shared.values(0), numbers(0..250));
    let leader = |event: &Event| matches!(event, Event::LeaderChanged { leader, .. } if leader.0 == 2);
    assert!(scene.heard(leader), "{:?}", scene.events.lock());
}

#[tokio::test]
async fn a_leader_that_is_cut_off_and_believes_in_itself_is_left_and_nothing_is_stored_twice() {
    let scene = Scene::new().await;
    let producer = scene.producer().await;
    send_numbers(&producer, 0..50).await;
    scene.shared.isolate(1);
    let before = scene.shared.requests();
    let sending = send_beside(&producer, 50..250);
    // It has stored some of them, which the new leader finds in its log.
    scene.shared.until(|shared| shared.requests() > before).await;
    scene.shared.lead(3);
    done(sending).await;
    assert_eq!(scene.shared.values(0), numbers(0..250));
    assert!(scene.heard(|event| matches!(event, Event::BatchRetried { .. })), "{:?}", scene.events.lock());
}

#[tokio::test]
async fn an_idle_partition_follows_what_its_neighbour_learned() {
    let shared = Partitions::new(2);
    let brokers = [1, 2].map(|id| TestBroker::start(id, &shared));
    let client = Client::connect(brokers.iter().map(TestBroker::address)).await.unwrap();
    let producer = client.producer(TOPIC).ack_timeout(Duration::from_secs(60)).open().await.unwrap();
    for partition in [0, 1] {
        producer.send_to(partition, Record::new("before")).await.unwrap().await.unwrap();
    }
    shared.isolate(1);
    shared.lead(2);
    for partition in [0, 1] {
        let delivery = producer.send_to(partition, Record::new("after")).await.unwrap();
        tokio::time::timeout(PATIENCE, delivery).await.expect("an answer").unwrap();
        assert_eq!(shared.values(partition as usize), ["before", "after"].map(Bytes::from));
    }
}

#[tokio::test]
async fn a_leader_that_dies_while_all_is_in_flight_keeps_order_at_the_new_one() {
    let mut scene = Scene::new().await;
    let producer = scene.producer().await;
    send_numbers(&producer, 0..50).await;
    scene.shared.hold(true);
    let before = scene.shared.requests();
    let sending = send_beside(&producer, 50..250);
    scene.shared.until(|shared| shared.requests() > before).await;
    let first = scene.brokers.remove(0);
    tokio::task::spawn_blocking(|| first.stop()).await.unwrap();
    scene.shared.hold(false);
    scene.shared.lead(2);
    done(sending).await;
    assert_eq!(scene.shared.values(0), numbers(0..250));
}

#[tokio::test]
async fn a_consumer_of_a_leader_that_hangs_goes_on_at_the_new_one() {
    let scene = Scene::new().await;
    let producer = scene.producer().await;
    let mut consumer = scene.client.consumer(TOPIC).open().await.unwrap();
    send_numbers(&producer, 0..10).await;
    let mut read = Vec::new();
    let _frozen = loop {
        let record = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a record");
        read.push(record.unwrap().unwrap().value.unwrap());
        if read.len() == 10 {
            break scene.brokers[0].freeze();
        }
    };
    scene.shared.lead(2);
    send_numbers(&producer, 10..20).await;
    while read.len() < 20 {
        let record = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a record");
        read.push(record.unwrap().unwrap().value.unwrap());
    }
    assert_eq!(read, numbers(0..20));
}

#[tokio::test]
async fn a_silent_broker_holds_up_neither_questions_nor_changes() {
    let scene = Scene::new().await;
    let producer = scene.producer().await;
    send_numbers(&producer, 0..5).await;
    let mut consumer = scene.client.consumer(TOPIC).group("billing").open().await.unwrap();
    consumer.next().await.unwrap().unwrap();
    consumer.commit_processed().await.unwrap();
    // Whoever was asked so far, one of the three does not answer any more. The budget is shorter than its silence.
    for index in 0..3 {
        let frozen = scene.brokers[index].freeze();
        let asking = async {
            let positions = scene.client.admin().fetch_positions("billing", TOPIC).await.unwrap();
            assert_eq!(positions.len(), usize::from(index == 0));
            assert_eq!(
                scene.client.admin().delete_group("billing", None).await.unwrap(),
                u32::from(index == 0)
            );
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("answers");
        drop(frozen);
    }
}

#[tokio::test]
async fn a_commit_waits_for_the_owner_of_positions_to_be_there_again() {
    let scene = Scene::new().await;
    let producer = scene.producer().await;
    send_numbers(&producer, 0..5).await;
    let mut consumer = scene.client.consumer(TOPIC).group("billing").open().await.unwrap();
    for _ in 0..5 {
        consumer.next().await.unwrap().unwrap();
    }
    scene.shared.refuse_commits(&[Reason::LeaderNotAvailable, Reason::OutcomeUnknown, Reason::NotLeader]);
    consumer.commit_processed().await.unwrap();
    let stored = scene.client.admin().fetch_positions("billing", TOPIC).await.unwrap();
    assert_eq!(stored[0].offset, Some(5));
}
