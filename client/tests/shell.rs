//! The SDK against brokers that misbehave on request: lost answers, new leaders, restarts, credit, fencing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "shell/damage.rs"]
mod damage;
#[path = "shell/failover.rs"]
mod failover;
#[path = "shell/growth.rs"]
mod growth;
#[path = "shell/lag.rs"]
mod lag;
#[path = "shell/partial.rs"]
mod partial;
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fidelog_client::{
    Client, CommitError, ConsumeError, DeliveryError, Event, Fetch, Producer, Reason, Record, SendCause,
    StartAt, WhenFull, WhenOutOfRange,
};
use parking_lot::Mutex;
use support::{Partitions, TOPIC, TestBroker};

/// Long enough for anything but a hang.
const PATIENCE: Duration = Duration::from_secs(30);

async fn cluster(partitions: usize) -> (Arc<Partitions>, TestBroker, Client) {
    let shared = Partitions::new(partitions);
    let broker = TestBroker::start(1, &shared);
    let client = Client::connect([broker.address()]).await.unwrap();
    (shared, broker, client)
}

async fn send_numbers(producer: &Producer, numbers: std::ops::Range<u32>) -> Vec<u64> {
    let mut deliveries = Vec::new();
    for number in numbers {
        deliveries.push(producer.send_to(0, Record::new(number.to_string())).await.unwrap());
    }
    let mut offsets = Vec::new();
    for delivery in deliveries {
        let receipt = tokio::time::timeout(PATIENCE, delivery).await.expect("an answer").unwrap();
        offsets.push(receipt.offset.unwrap().0);
    }
    offsets
}

fn numbers(range: std::ops::Range<u32>) -> Vec<Bytes> {
    range.map(|number| Bytes::from(number.to_string())).collect()
}

#[tokio::test]
async fn every_record_gets_the_receipt_of_its_own_offset() {
    let (shared, _broker, client) = cluster(1).await;
    let producer = client.producer(TOPIC).open().await.unwrap();
    let offsets = send_numbers(&producer, 0..1_000).await;
    assert_eq!(offsets, (0..1_000).collect::<Vec<u64>>());
    assert_eq!(shared.values(0), numbers(0..1_000));
    let receipt = producer.send(Record::new("x")).await.unwrap().await.unwrap();
    assert_eq!((receipt.replicas, receipt.synced_by.len(), receipt.duplicate), (2, 2, false));
    assert!(shared.batch_count(0) < 500, "records that wait together travel together");
}

#[tokio::test]
async fn keys_decide_the_partition_as_everywhere() {
    let (_shared, _broker, client) = cluster(10).await;
    let producer = client.producer(TOPIC).open().await.unwrap();
    let delivery = producer.send(Record::new("v").key("abc")).await.unwrap();
    assert_eq!(delivery.partition(), 7);
    let keyless: BTreeSet<u32> = {
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            seen.insert(producer.send(Record::new("v")).await.unwrap().await.unwrap().partition.0);
        }
        seen
    };
    assert_eq!(keyless.len(), 10, "records without a key go round, a batch each");
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_nothing_is_stored_twice() {
    let (shared, _broker, client) = cluster(1).await;
    let producer = client.producer(TOPIC).batch_bytes_max(1024).open().await.unwrap();
    shared.lose_answers(3);
    send_numbers(&producer, 0..500).await;
    assert_eq!(shared.values(0), numbers(0..500));
}

#[tokio::test]
async fn without_idempotence_a_lost_answer_is_told_as_unknown() {
    let (shared, _broker, client) = cluster(1).await;
    let producer = client.producer(TOPIC).idempotence(false).open().await.unwrap();
    shared.lose_answers(1);
    let error = producer.send(Record::new("x")).await.unwrap().await.unwrap_err();
    assert!(matches!(error, DeliveryError::OutcomeUnknown { .. }), "{error}");
    assert_eq!(shared.values(0).len(), 1, "and indeed it is stored");
    assert!(producer.flush().await.is_err());
    send_numbers(&producer, 0..3).await;
}

#[tokio::test]
async fn a_refused_batch_is_told_and_the_rest_arrives_in_order() {
    let (shared, _broker, client) = cluster(1).await;
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = events.clone();
    let listening =
        Client::builder([_broker.address()]).on_event(move |event| heard.lock().push(event.clone()));
    let producer =
        listening.connect().await.unwrap().producer(TOPIC).batch_bytes_max(1024).open().await.unwrap();
    drop(client);
    shared.refuse(&[Reason::InvalidBatch]);
    shared.hold(true);
    let first = producer.send_to(0, Record::new("refused")).await.unwrap();
    shared.until(|shared| shared.requests() == 1).await;
    let mut rest = Vec::new();
    for number in 0..200_u32 {
        rest.push(producer.send_to(0, Record::new(number.to_string())).await.unwrap());
    }
    shared.hold(false);
    let error = first.await.unwrap_err();
    assert!(error.is_definite() && error.reason() == Some(Reason::InvalidBatch), "{error}");
    for delivery in rest {
        delivery.await.unwrap();
    }
    assert_eq!(shared.values(0), numbers(0..200));
    let raised = events.lock().iter().any(|event| matches!(event, Event::ProducerEpochRaised { .. }));
    assert!(raised, "{:?}", events.lock());
}

#[tokio::test]
async fn a_new_leader_is_found_and_order_is_kept() {
    let (shared, _first, client) = cluster(1).await;
    let _second = TestBroker::start(2, &shared);
    let producer = client.producer(TOPIC).batch_bytes_max(1024).open().await.unwrap();
    send_numbers(&producer, 0..100).await;
    shared.lead(2);
    send_numbers(&producer, 100..300).await;
    assert_eq!(shared.values(0), numbers(0..300));
}

#[tokio::test]
async fn a_broker_that_restarts_is_met_again_by_producer_and_consumer() {
    let (shared, broker, client) = cluster(1).await;
    let producer = client.producer(TOPIC).open().await.unwrap();
    let mut consumer = client.consumer(TOPIC).open().await.unwrap();
    send_numbers(&producer, 0..10).await;
    for expected in 0..10 {
        assert_eq!(consumer.next().await.unwrap().unwrap().offset, expected);
    }
    let address = tokio::task::spawn_blocking(|| broker.stop()).await.unwrap();
    let delivery = producer.send_to(0, Record::new("10")).await.unwrap();
    let _broker = TestBroker::start_at(1, &shared, address);
    tokio::time::timeout(PATIENCE, delivery).await.expect("an answer").unwrap();
    let record = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a record").unwrap().unwrap();
    assert_eq!((record.offset, record.value), (10, Some(Bytes::from("10"))));
}

#[tokio::test]
async fn with_nobody_there_the_budget_ends_definitely() {
    let (_shared, broker, client) = cluster(1).await;
    let producer = client.producer(TOPIC).delivery_budget(Duration::from_millis(300)).open().await.unwrap();
    tokio::task::spawn_blocking(|| broker.stop()).await.unwrap();
    let error = producer.send(Record::new("x")).await.unwrap().await.unwrap_err();
    assert!(error.is_definite(), "{error}");
}

#[tokio::test]
async fn memory_is_bounded_and_a_refused_record_comes_back() {
    let (shared, _broker, client) = cluster(1).await;
    let producer =
        client.producer(TOPIC).memory_bytes_max(64 * 1024).when_full(WhenFull::Error).open().await.unwrap();
    shared.hold(true);
    let record = Record::new(vec![7; 10_000]);
    let mut deliveries = Vec::new();
    let refused = loop {
        match producer.send(record.clone()).await {
            Ok(delivery) => deliveries.push(delivery),
            Err(refused) => break refused,
        }
    };
    assert_eq!(deliveries.len(), 6);
    assert!(matches!(refused.cause(), SendCause::Full { .. }), "{refused}");
    assert_eq!(refused.into_record(), record);
    shared.hold(false);
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    producer.close().await.unwrap();
    assert!(matches!(producer.send(record).await.unwrap_err().cause(), SendCause::Closed));
}

#[tokio::test]
async fn a_waiting_sender_goes_on_when_there_is_room() {
    let (shared, _broker, client) = cluster(1).await;
    let producer = client.producer(TOPIC).memory_bytes_max(64 * 1024).open().await.unwrap();
    for _ in 0..500 {
        let _delivered_later = producer.send_to(0, Record::new(vec![1; 5_000])).await.unwrap();
    }
    producer.flush().await.unwrap();
    assert_eq!(shared.values(0).len(), 500);
}

#[tokio::test]
async fn what_was_handed_over_is_delivered_although_the_producer_is_dropped() {
    let (shared, _broker, client) = cluster(3).await;
    let producer = client.producer(TOPIC).open().await.unwrap();
    let mut deliveries = Vec::new();
    for number in 0..100_u32 {
        deliveries.push(producer.send(Record::new(number.to_string())).await.unwrap());
    }
    drop(producer);
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    assert_eq!((0..3).map(|partition| shared.values(partition).len()).sum::<usize>(), 100);
}

#[tokio::test]
async fn a_consumer_reads_all_partitions_to_their_end_within_its_credit() {
    let (shared, _broker, client) = cluster(3).await;
    let producer = client.producer(TOPIC).batch_bytes_max(8 * 1024).open().await.unwrap();
    for partition in 0..3 {
        for number in 0..300_u32 {
            let value = format!("{number:01000}");
            let _delivered_later = producer.send_to(partition, Record::new(value)).await.unwrap();
        }
    }
    producer.flush().await.unwrap();
    let buffer = 64 * 1024;
    let mut consumer =
        client.consumer(TOPIC).buffer_bytes(buffer).fetch_bytes(4_096).stop_at_end().open().await.unwrap();
    // Nothing is taken: the broker may send what was granted, and one batch more.
    shared.until(|shared| shared.credit().0 >= buffer as u64).await;
    let (sent, granted) = shared.credit();
    assert!(granted == buffer as u64 && sent < granted + 9 * 1024, "{sent} sent of {granted} granted");
    let mut next = [0; 3];
    while let Some(record) = consumer.next().await {
        let record = record.unwrap();
        let expected = &mut next[record.partition as usize];
        assert_eq!(record.offset, *expected);
        *expected += 1;
    }
    assert_eq!(next, [300; 3]);
}

#[tokio::test]
async fn a_consumer_follows_the_leader_without_a_gap_or_a_repeat() {
    let (shared, _first, client) = cluster(1).await;
    let _second = TestBroker::start(2, &shared);
    let producer = client.producer(TOPIC).open().await.unwrap();
    let mut consumer = client.consumer(TOPIC).open().await.unwrap();
    let mut read = Vec::new();
    for round in 0..6_u32 {
        send_numbers(&producer, round * 10..round * 10 + 10).await;
        shared.lead(round % 2 + 1);
        while read.len() < (round as usize + 1) * 10 {
            let batch = tokio::time::timeout(PATIENCE, consumer.next_batch())
                .await
                .expect("records")
                .unwrap()
                .unwrap();
            read.extend(batch.records().map(|record| record.unwrap().value.unwrap()));
        }
    }
    assert_eq!(read, numbers(0..60));
}

#[tokio::test]
async fn a_group_goes_on_where_it_committed_and_fences_the_reader_before() {
    let (_shared, _broker, client) = cluster(1).await;
    let producer = client.producer(TOPIC).open().await.unwrap();
    send_numbers(&producer, 0..20).await;
    let mut first = client.consumer(TOPIC).group("billing").open().await.unwrap();
    for _ in 0..7 {
        first.next().await.unwrap().unwrap();
    }
    first.commit_processed().await.unwrap();
    for _ in 7..9 {
        first.next().await.unwrap().unwrap();
    }
    let mut second = client.consumer(TOPIC).group("billing").open().await.unwrap();
    assert_eq!(second.next().await.unwrap().unwrap().offset, 7);
    let error = first.commit_processed().await.unwrap_err();
    assert!(matches!(error, CommitError::Fenced { generation, .. } if generation.0 == 1), "{error}");
    assert!(matches!(first.next().await, Some(Err(ConsumeError::Fenced { .. }))));
    assert!(first.next().await.is_none());
    second.commit_processed().await.unwrap();
}

#[tokio::test]
async fn an_offset_that_does_not_exist_is_told_or_reset_as_asked() {
    let (_shared, _broker, client) = cluster(1).await;
    let producer = client.producer(TOPIC).open().await.unwrap();
    send_numbers(&producer, 0..5).await;
    let consumer = || client.consumer(TOPIC).from(StartAt::Offset(50));
    let error = consumer().open().await.unwrap().next().await.unwrap().unwrap_err();
    assert!(matches!(error, ConsumeError::OutOfRange { offset: 50, start: 0, end: 5, .. }), "{error}");
    let mut reset = consumer().when_out_of_range(WhenOutOfRange::Start).open().await.unwrap();
    assert_eq!(reset.next().await.unwrap().unwrap().offset, 0);
}

#[tokio::test]
async fn a_fetch_and_the_lag_of_a_group_tell_the_same_story() {
    let (_shared, _broker, client) = cluster(1).await;
    let producer = client.producer(TOPIC).open().await.unwrap();
    send_numbers(&producer, 0..8).await;
    let fetched = client.fetch(Fetch::new(TOPIC, 0, 3)).await.unwrap();
    assert_eq!(fetched.records().map(|record| record.unwrap().offset).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    let lag = client.admin().lag("nobody", TOPIC).await.unwrap();
    let lag = lag[&0].as_ref().unwrap();
    assert_eq!((lag.position, lag.records, lag.committed_end), (None, 8, 8));
}

#[tokio::test]
async fn an_unknown_topic_and_a_dead_address_are_told_apart() {
    let (_shared, broker, client) = cluster(1).await;
    let error = client.producer("other").open().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::UnknownTopic));
    let address = tokio::task::spawn_blocking(|| broker.stop()).await.unwrap();
    let dead =
        Client::builder([address.to_string()]).request_timeout(Duration::from_millis(100)).connect().await;
    assert!(matches!(dead, Err(fidelog_client::RequestError::Unreachable { .. })), "{dead:?}");
}

/// A wrong address, and a cluster that is not there, were told after the whole request timeout.
#[tokio::test]
async fn whoever_refuses_is_named_soon() {
    let shared = Partitions::new(1);
    let brokers = [1, 2].map(|id| TestBroker::start(id, &shared));
    let addresses = tokio::task::spawn_blocking(|| brokers.map(|broker| broker.stop().to_string()));
    let addresses = addresses.await.unwrap();
    // It ends long before that, or this test does not.
    let patient = |addresses: &[String]| {
        Client::builder(addresses.to_vec()).request_timeout(Duration::from_secs(600)).connect()
    };
    let refused = patient(&addresses).await.unwrap_err().to_string();
    for address in &addresses {
        assert_eq!(refused.matches(&format!("no connection to {address}")).count(), 1, "{refused}");
    }
    let wrong = patient(&[addresses[0].clone(), "localhost".to_owned()]).await;
    assert!(matches!(wrong, Err(fidelog_client::RequestError::Invalid(_))), "{wrong:?}");
}
