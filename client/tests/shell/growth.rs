//! A topic gets more partitions while it is read and written.

use std::sync::Arc;
use std::time::Duration;

use fidelog_client::{Client, Consumer, Event, Record, StartAt};
use tokio::sync::mpsc;

use crate::PATIENCE;
use crate::support::{Partitions, TOPIC, TestBroker};

struct Scene {
    shared: Arc<Partitions>,
    broker: TestBroker,
    /// Looks for new partitions often.
    client: Client,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Scene {
    async fn new(partitions: usize) -> Self {
        let shared = Partitions::new(partitions);
        let broker = TestBroker::start(1, &shared);
        let (heard, events) = mpsc::unbounded_channel();
        let client = Client::builder([broker.address()])
            .routes_age_max(Duration::from_millis(20))
            .on_event(move |event| drop(heard.send(event.clone())));
        Self { client: client.connect().await.unwrap(), shared, broker, events }
    }

    async fn told_of_growth(&mut self) -> (u32, u32) {
        let told = async {
            loop {
                if let Event::PartitionsGrew { from, to, .. } = self.events.recv().await.expect("an event") {
                    return (from, to);
                }
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("the growth is told")
    }

    /// Writes one record to each of these partitions, from another program.
    async fn write(&self, partitions: std::ops::Range<u32>) {
        let client = Client::connect([self.broker.address()]).await.unwrap();
        let producer = client.producer(TOPIC).open().await.unwrap();
        for partition in partitions {
            producer.send_to(partition, Record::new("x")).await.unwrap().await.unwrap();
        }
    }
}

/// The partitions and offsets of the next records, sorted.
async fn next(consumer: &mut Consumer, count: usize) -> Vec<(u32, u64)> {
    let mut read = Vec::new();
    while read.len() < count {
        let record = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a record");
        let record = record.unwrap().unwrap();
        read.push((record.partition, record.offset));
    }
    read.sort_unstable();
    read
}

/// A standing reader of all partitions never read those that were added.
#[tokio::test]
async fn a_standing_consumer_reads_new_partitions_from_their_start() {
    let mut scene = Scene::new(1).await;
    scene.write(0..1).await;
    let mut consumer = scene.client.consumer(TOPIC).from(StartAt::End).open().await.unwrap();
    scene.shared.grow(3);
    scene.write(0..3).await;
    assert_eq!(next(&mut consumer, 3).await, [(0, 1), (1, 0), (2, 0)]);
    assert_eq!(scene.told_of_growth().await, (1, 3));
    assert_eq!(consumer.partition_count(), 3);
    scene.shared.grow(4);
    scene.write(3..4).await;
    assert_eq!(next(&mut consumer, 1).await, [(3, 0)]);
}

#[tokio::test]
async fn a_group_goes_on_in_new_partitions_and_commits_there() {
    let scene = Scene::new(1).await;
    scene.write(0..1).await;
    let mut consumer = scene.client.consumer(TOPIC).group("billing").open().await.unwrap();
    assert_eq!(next(&mut consumer, 1).await, [(0, 0)]);
    scene.shared.grow(3);
    scene.write(1..3).await;
    assert_eq!(next(&mut consumer, 2).await, [(1, 0), (2, 0)]);
    consumer.commit_processed().await.unwrap();
    let mut stored = scene.client.admin().fetch_positions("billing", TOPIC).await.unwrap();
    stored.sort_by_key(|position| position.partition);
    let stored: Vec<_> = stored.iter().map(|position| (position.partition, position.offset)).collect();
    assert_eq!(stored, [(0, Some(1)), (1, Some(1)), (2, Some(1))]);
}

/// Whoever was superseded learns of the growth as well, and must not fence its successor.
#[tokio::test]
async fn a_reader_that_was_superseded_takes_up_nothing() {
    let mut scene = Scene::new(1).await;
    let former = scene.client.consumer(TOPIC).group("billing").owner("former").open().await.unwrap();
    let other = Client::connect([scene.broker.address()]).await.unwrap();
    let mut successor = other.consumer(TOPIC).group("billing").owner("successor").open().await.unwrap();
    let asked = scene.shared.position_reads();
    scene.shared.grow(2);
    assert_eq!(scene.told_of_growth().await, (1, 2));
    scene.shared.until(|shared| shared.position_reads() > asked).await;
    // It looked, and looks no more; what it would open is opened by whoever comes next.
    scene.write(0..2).await;
    assert_eq!(next(&mut successor, 1).await, [(0, 0)]);
    successor.commit_processed().await.unwrap();
    let stored = scene.client.admin().fetch_positions("billing", TOPIC).await.unwrap();
    assert_eq!(stored.len(), 1, "nobody opened the new partition: {stored:?}");
    drop(former);
}

#[tokio::test]
async fn named_partitions_are_all_that_is_read() {
    let mut scene = Scene::new(2).await;
    let mut named = scene.client.consumer(TOPIC).partitions([0, 1]).open().await.unwrap();
    let _growing = scene.client.consumer(TOPIC).open().await.unwrap();
    scene.shared.grow(3);
    assert_eq!(scene.told_of_growth().await, (2, 3));
    scene.write(0..3).await;
    scene.write(0..2).await;
    assert_eq!(next(&mut named, 4).await, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    assert_eq!(named.partition_count(), 2);
}

/// Producers opened before and after a growth sent a key to different partitions for ever.
#[tokio::test]
async fn producers_opened_before_and_after_send_a_key_to_the_same_partition() {
    let scene = Scene::new(3).await;
    let old = scene.client.producer(TOPIC).open().await.unwrap();
    let keyed = || Record::new("v").key("abc");
    let before = old.send(keyed()).await.unwrap();
    scene.shared.grow(10);
    let taken_up = async {
        while old.partition_count() < 10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, taken_up).await.expect("the new partitions are taken up");
    let new = scene.client.producer(TOPIC).open().await.unwrap();
    for producer in [&old, &new] {
        let delivery = producer.send(keyed()).await.unwrap();
        assert_eq!(delivery.partition(), 7);
        delivery.await.unwrap();
    }
    assert!(before.partition() < 3);
    before.await.unwrap();
    old.close().await.unwrap();
    assert!(old.send(keyed()).await.is_err());
}
