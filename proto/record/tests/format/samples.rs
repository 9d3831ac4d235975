//! What the tests of this crate share: a place, records of every shape, and the way through the door.

use bytes::Bytes;
use fidelog_record::door::{self, DoorError, DoorLimits};
use fidelog_record::types::limits::RECORD_BYTES_MAX;
use fidelog_record::types::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition};
use fidelog_record::{BatchBuilder, Codec, EncodedBatch, Header, Placement, ProducerStamp, Record};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// The broker's clock in these tests, Unix milliseconds.
pub(crate) const NOW_MS: u64 = 1_750_000_000_000;

/// The partition everything here is placed in.
pub(crate) const HERE: TopicPartition =
    TopicPartition { topic: TopicId::from_bytes(*b"fidelog-test-id!"), partition: PartitionIndex(7) };

/// A place in [`HERE`] from `base` on.
pub(crate) fn placement(base: u64) -> Placement {
    Placement {
        topic_partition: HERE,
        base_offset: Offset(base),
        leader_epoch: LeaderEpoch(3),
        append_time_ms: NOW_MS,
        committed_below: Offset(base.saturating_sub(5)),
    }
}

/// All of `records` in one batch.
pub(crate) fn encode(codec: Codec, producer: ProducerStamp, records: &[Record]) -> EncodedBatch {
    let mut builder = BatchBuilder::new(codec);
    for record in records {
        builder.try_push_record(record).unwrap();
    }
    builder.finish(producer).unwrap()
}

/// What a broker with the format's own limits answers.
pub(crate) fn at_the_door(batch: &EncodedBatch) -> Result<(), DoorError> {
    let mut expanded = Vec::new();
    let answer =
        door::check(batch, &DoorLimits { record_bytes_max: RECORD_BYTES_MAX, now_ms: NOW_MS }, &mut expanded);
    let stated = batch.header().expanded_bytes as usize;
    assert!(expanded.capacity() <= stated, "{} bytes allocated for {stated} stated", expanded.capacity());
    answer
}

pub(crate) fn codecs() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::None), Just(Codec::Lz4), Just(Codec::Zstd)]
}

/// One to `count_max` records: nulls, empty parts, headers, times in any order.
pub(crate) fn records(count_max: usize) -> impl Strategy<Value = Vec<Record>> {
    vec(record(), 1..=count_max)
}

fn record() -> impl Strategy<Value = Record> {
    let part = |bytes_max| option::of(vec(0u8..4, 0..bytes_max).prop_map(Bytes::from));
    let header_values = vec(("[a-zß ]{0,5}", part(12)), 0..5);
    (part(20), part(200), header_values, 0..=NOW_MS).prop_map(|(key, value, headers, timestamp_ms)| {
        // The index keeps the names apart.
        let named = |(index, (name, value)): (usize, (String, _))| Header {
            name: format!("{name}{index}").into(),
            value,
        };
        Record { key, value, headers: headers.into_iter().enumerate().map(named).collect(), timestamp_ms }
    })
}
