use std::collections::BTreeMap;

use fidelog_record::batch::Placement;
use fidelog_record::types::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use fidelog_record::{BatchBuilder, Codec, ProducerStamp, Record};

use super::*;
use crate::error::Leader;
use fidelog_record::types::BrokerId;

fn at() -> TopicPartition {
    TopicPartition { topic: TopicId::from_bytes([3; 16]), partition: PartitionIndex(0) }
}

/// An answer with one batch of `count` records from `base` on.
fn answer(base: u64, count: u64) -> FetchResponse {
    let mut builder = BatchBuilder::new(Codec::None);
    for index in 0..count {
        builder.try_push_record(&Record::new(format!("{}", base + index))).unwrap();
    }
    let placement = Placement {
        topic_partition: at(),
        base_offset: Offset(base),
        leader_epoch: LeaderEpoch(1),
        append_time_ms: 1,
        committed_below: Offset(0),
    };
    let batches = builder.finish(ProducerStamp::NONE).unwrap().place(placement).to_bytes();
    let topic_id = bytes::Bytes::copy_from_slice(at().topic.as_bytes());
    FetchResponse {
        next_offset: base + count,
        topic_id,
        batches,
        committed_end: base + count,
        ..Default::default()
    }
}

fn refusal(reason: Reason) -> Box<Refusal> {
    let details: BTreeMap<String, String> =
        [("start", "5"), ("end", "9")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Box::new(Refusal { reason, message: String::new(), details, retry_after: None, leader: None })
}

fn reading(next: u64, end: Option<u64>, policy: WhenOutOfRange) -> Cursor {
    let mut cursor = Cursor::new(at(), next, end, policy);
    cursor.subscribed(1, 1);
    cursor
}

#[test]
fn a_batch_that_begins_earlier_is_yielded_from_the_offset_wanted() {
    let mut cursor = reading(12, None, WhenOutOfRange::Error);
    let Move::Deliver(batch) = cursor.records(answer(10, 5), 0, 0) else { panic!("records") };
    let offsets: Vec<u64> = batch.records().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, [12, 13, 14]);
    assert_eq!(cursor.next(), 15);
}

#[test]
fn reading_stops_exactly_at_the_end_asked_for() {
    let mut cursor = reading(10, Some(13), WhenOutOfRange::Error);
    let Move::Deliver(batch) = cursor.records(answer(10, 5), 0, 0) else { panic!("records") };
    assert_eq!(batch.records().count(), 3);
    assert!(cursor.is_over());
}

#[test]
fn a_hole_is_never_passed_over() {
    let mut cursor = reading(8, None, WhenOutOfRange::Error);
    for _ in 1..UNFIT_MAX {
        assert!(matches!(cursor.records(answer(10, 5), 0, 0), Move::Refresh));
        cursor.subscribed(1, 1);
    }
    let Move::Fail(error) = cursor.records(answer(10, 5), 0, 0) else { panic!("failure") };
    assert!(
        matches!(*error, ConsumeError::Unfit { cause: Unfit::Hole { expected: 8, found: 10 }, .. }),
        "{error}"
    );
    assert_eq!(cursor.next(), 8);
}

#[test]
fn damage_is_noticed_wherever_it_is() {
    let good = answer(10, 3);
    for index in 0..good.batches.len() {
        let mut bytes = good.batches.to_vec();
        bytes[index] ^= 0x40;
        let damaged = FetchResponse { batches: bytes.into(), ..good.clone() };
        let mut cursor = reading(10, None, WhenOutOfRange::Error);
        assert!(matches!(cursor.records(damaged, 0, 0), Move::Refresh), "byte {index}");
        assert_eq!(cursor.next(), 10);
    }
}

#[test]
fn an_offset_out_of_range_is_an_error_unless_a_reset_was_asked_for() {
    let mut cursor = reading(3, None, WhenOutOfRange::Error);
    let Move::Fail(error) = cursor.ended(refusal(Reason::OffsetOutOfRange), 0, 0) else { panic!("failure") };
    assert!(matches!(*error, ConsumeError::OutOfRange { offset: 3, start: 5, end: 9, .. }));

    for (policy, expected) in [(WhenOutOfRange::Start, 5), (WhenOutOfRange::End, 9)] {
        let mut cursor = reading(3, None, policy);
        let moved = cursor.ended(refusal(Reason::OffsetOutOfRange), 0, 0);
        assert!(matches!(moved, Move::Reset { from: 3, to } if to == expected));
        assert_eq!((cursor.next(), cursor.resting_until_ms()), (expected, Some(0)));
    }
}

#[test]
fn a_new_leader_is_asked_at_once_for_exactly_the_next_offset() {
    let mut cursor = reading(10, None, WhenOutOfRange::Error);
    let _delivered = cursor.records(answer(10, 2), 0, 0);
    let mut hint = refusal(Reason::NotLeader);
    hint.leader = Some(Leader { broker: BrokerId(2), address: "b:1".into(), epoch: LeaderEpoch(2) });
    assert!(matches!(cursor.ended(hint, 77, 0), Move::Nothing));
    assert_eq!((cursor.next(), cursor.resting_until_ms()), (12, Some(77)));
}

fn damaged() -> Box<Refusal> {
    let mut refusal = refusal(Reason::DataLoss);
    refusal.details.insert("mendable".to_owned(), "true".to_owned());
    refusal
}

/// A reader died for good of damage that was mended seconds later.
#[test]
fn damage_that_is_being_mended_is_waited_for_and_read_on_from() {
    let mut cursor = reading(10, None, WhenOutOfRange::Error);
    let mut now_ms = 0;
    for _ in 0..50 {
        assert!(matches!(cursor.ended(damaged(), now_ms, 0), Move::Refresh));
        let until_ms = cursor.resting_until_ms().unwrap();
        assert!((now_ms + 1..=now_ms + 1_000).contains(&until_ms), "{until_ms} at {now_ms}");
        now_ms = until_ms;
        cursor.subscribed(1, 1);
    }
    assert!(matches!(cursor.records(answer(10, 2), now_ms, 0), Move::Deliver(_)));
    assert_eq!(cursor.next(), 12);
    assert!(cursor.give_up(now_ms + 60_000, 1).is_none(), "nothing is waited for");
}

#[test]
fn whoever_reads_to_the_end_is_told_of_damage_that_is_not_mended_in_time() {
    let mut cursor = reading(10, Some(20), WhenOutOfRange::Error);
    let _rests = cursor.ended(damaged(), 0, 0);
    assert!(cursor.give_up(99, 100).is_none());
    let error = cursor.give_up(100, 100).unwrap();
    assert!(
        matches!(&error, ConsumeError::Refused { refusal, .. } if refusal.reason == Reason::DataLoss),
        "{error}"
    );
    assert!(cursor.is_over());
}

#[test]
fn a_leader_that_has_not_heard_of_its_partition_yet_is_given_a_moment() {
    let mut cursor = reading(0, None, WhenOutOfRange::Error);
    assert!(matches!(cursor.ended(refusal(Reason::UnknownPartition), 500, 0), Move::Refresh));
    cursor.subscribed(1, 1);
    assert!(matches!(cursor.ended(refusal(Reason::UnknownPartition), 2_400, 0), Move::Refresh));
    cursor.subscribed(1, 1);
    assert!(matches!(cursor.ended(refusal(Reason::UnknownPartition), 2_500, 0), Move::Fail(_)));
}

#[test]
fn what_cannot_be_mended_ends_the_partition() {
    for reason in [Reason::StaleTopicId, Reason::DataLoss] {
        let mut cursor = reading(10, None, WhenOutOfRange::Error);
        assert!(matches!(cursor.ended(refusal(reason), 0, 0), Move::Fail(_)));
        assert!(cursor.is_over());
    }
}
