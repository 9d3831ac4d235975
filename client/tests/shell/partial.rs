//! Leaders that are away: what the others know is told, and who is missing is named.

use std::time::Duration;

use crate::support::{Partitions, TOPIC, TestBroker};
use fidelog_client::{Client, ConsumeError, Consumer, OffsetAt, Record, WhenOutOfRange};

/// Three partitions of four records each.
async fn filled() -> (std::sync::Arc<Partitions>, TestBroker, Client) {
    let partitions = Partitions::new(3);
    let broker = TestBroker::start(1, &partitions);
    let client = Client::builder([broker.address()]).request_timeout(Duration::from_millis(600));
    let client = client.connect().await.unwrap();
    let producer = client.producer(TOPIC).open().await.unwrap();
    for number in 0..12 {
        drop(producer.send_to(number % 3, Record::new(number.to_string())).await.unwrap());
    }
    producer.close().await.unwrap();
    (partitions, broker, client)
}

/// How many records come, and of which partitions errors.
async fn read_out(consumer: &mut Consumer) -> (usize, Vec<ConsumeError>) {
    let (mut records, mut errors) = (0, Vec::new());
    while let Some(next) = consumer.next().await {
        match next {
            Ok(_) => records += 1,
            Err(error) => errors.push(error),
        }
    }
    (records, errors)
}

#[tokio::test]
async fn offsets_and_lag_are_told_where_leaders_answer() {
    let (partitions, _broker, client) = filled().await;
    partitions.away([1]);
    let offsets = client.list_offsets_each(TOPIC, &[0, 1, 2], OffsetAt::End).await;
    let known: Vec<_> = offsets.values().map(|answer| answer.as_ref().ok().map(|it| it.offset)).collect();
    assert_eq!(known, [Some(4), None, Some(4)]);
    let lag = client.admin().lag("nobody", TOPIC).await.unwrap();
    let known: Vec<_> = lag.values().map(|answer| answer.as_ref().ok().map(|it| it.records)).collect();
    assert_eq!(known, [Some(4), None, Some(4)]);
}

#[tokio::test]
async fn reading_to_the_end_tells_which_partition_is_missing() {
    let (partitions, _broker, client) = filled().await;
    partitions.away([1]);
    let mut consumer = client.consumer(TOPIC).stop_at_end().open().await.unwrap();
    assert_eq!(consumer.partition_count(), 3);
    let (records, errors) = read_out(&mut consumer).await;
    assert_eq!(records, 8);
    assert!(matches!(errors[..], [ConsumeError::Unreachable { partition: 1, .. }]), "{errors:?}");
}

#[tokio::test]
async fn reading_on_begins_without_a_leader_and_takes_it_up_later() {
    let (partitions, _broker, client) = filled().await;
    partitions.away([1]);
    let mut consumer = client.consumer(TOPIC).open().await.unwrap();
    for _ in 0..8 {
        assert_ne!(consumer.next().await.unwrap().unwrap().partition, 1);
    }
    partitions.away([]);
    for offset in 0..4 {
        let record = consumer.next().await.unwrap().unwrap();
        assert_eq!((record.partition, record.offset), (1, offset));
    }
    assert_eq!(consumer.position().len(), 3);
}

#[tokio::test]
async fn a_leader_that_leaves_on_the_way_does_not_hold_up_the_end() {
    let (partitions, _broker, client) = filled().await;
    let builder = client.consumer(TOPIC).partitions([0, 1]).from(fidelog_client::StartAt::Offset(0));
    // Its end is known, and then it goes.
    let opening = builder.stop_at_end().buffer_bytes(1).open();
    let mut consumer = opening.await.unwrap();
    partitions.away([0, 1]);
    let (records, errors) = read_out(&mut consumer).await;
    assert!(records == 8 || !errors.is_empty(), "{records} {errors:?}");
}

/// `consume --from 99999 -e` printed nothing and ended well: an offset that does not exist was taken for the end.
#[tokio::test]
async fn an_offset_beyond_the_end_is_told_although_an_end_was_asked_for() {
    let (_partitions, _broker, client) = filled().await;
    let beyond = || client.consumer(TOPIC).partitions([2]).from(fidelog_client::StartAt::Offset(99));
    for builder in [beyond().stop_at_end(), beyond().until([(2, 4)])] {
        let mut consumer = builder.open().await.unwrap();
        let (records, errors) = read_out(&mut consumer).await;
        assert_eq!(records, 0);
        let told = matches!(errors[..], [ConsumeError::OutOfRange { offset: 99, start: 0, end: 4, .. }]);
        assert!(told, "{errors:?}");
    }
    let mut reset = beyond().stop_at_end().when_out_of_range(WhenOutOfRange::Start).open().await.unwrap();
    assert_eq!(read_out(&mut reset).await.0, 4);
}
