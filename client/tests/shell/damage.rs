//! Records that are damaged at their leader: the others flow on, and these are read once they are mended.

use std::sync::Arc;

use fidelog_client::{Client, ConsumeError, Event, Reason, Record};
use parking_lot::Mutex;

use crate::PATIENCE;
use crate::support::{Partitions, TOPIC, TestBroker};

/// Two partitions of three records each, and what the client told.
async fn filled() -> (Arc<Partitions>, TestBroker, Client, Arc<Mutex<Vec<Event>>>) {
    let shared = Partitions::new(2);
    let broker = TestBroker::start(1, &shared);
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = events.clone();
    let client = Client::builder([broker.address()])
        .request_timeout(std::time::Duration::from_secs(1))
        .on_event(move |event| heard.lock().push(event.clone()));
    let client = client.connect().await.unwrap();
    let producer = client.producer(TOPIC).open().await.unwrap();
    for number in 0..6 {
        drop(producer.send_to(number % 2, Record::new(number.to_string())).await.unwrap());
    }
    producer.close().await.unwrap();
    (shared, broker, client, events)
}

/// A standing reader ended for good, and had to be opened again by its program.
#[tokio::test]
async fn a_reader_waits_for_damaged_records_to_be_mended_while_others_flow_on() {
    let (shared, _broker, client, events) = filled().await;
    shared.damage([1]);
    let mut consumer = client.consumer(TOPIC).open().await.unwrap();
    for offset in 0..3 {
        let record = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a record");
        let record = record.unwrap().unwrap();
        assert_eq!((record.partition, record.offset), (0, offset));
    }
    let mending = || {
        let told = |event: &&Event| matches!(event, Event::ConsumerWaiting { partition: 1, offset: 0, cause, .. } if cause.contains("mended"));
        events.lock().iter().filter(told).count()
    };
    // It was tried, refused and tried again, with records of the other between.
    let asked = shared.subscriptions();
    shared.until(|shared| shared.subscriptions() > asked + 2).await;
    assert_eq!(mending(), 1, "{:?}", events.lock());
    shared.damage([]);
    for offset in 0..3 {
        let record = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a record");
        let record = record.unwrap().unwrap();
        assert_eq!((record.partition, record.offset), (1, offset));
    }
    let resumed = |event: &Event| matches!(event, Event::ConsumerResumed { partition: 1, offset: 0, .. });
    assert!(events.lock().iter().any(resumed), "{:?}", events.lock());
    assert_eq!(mending(), 1);
}

#[tokio::test]
async fn whoever_reads_to_the_end_is_told_of_damage_that_lasts() {
    let (shared, _broker, client, _events) = filled().await;
    shared.damage([1]);
    let mut consumer = client.consumer(TOPIC).stop_at_end().open().await.unwrap();
    let (mut records, mut lost) = (0, 0);
    while let Some(next) = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("an end") {
        match next {
            Ok(_) => records += 1,
            Err(ConsumeError::Refused { partition: 1, refusal }) if refusal.reason == Reason::DataLoss => {
                lost += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((records, lost), (3, 1));
}
