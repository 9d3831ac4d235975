//! The door: each thing that is checked, on a batch that is wrong in that alone.

use bytes::Bytes;

use super::*;
use crate::batch::{BatchBuilder, ProducerStamp};
use crate::checksum::body_crc;
use crate::record::RecordRef;
use crate::types::limits::RECORD_BYTES_MAX_DEFAULT;
use crate::types::{LeaderEpoch, Offset};

const NOW_MS: u64 = 1_700_000_000_000;
const LIMITS: DoorLimits = DoorLimits { record_bytes_max: 100, now_ms: NOW_MS };

/// A record of nothing, at the batch's base time and this offset.
fn nothing(delta: u8) -> Vec<u8> {
    vec![6, 0, 0, delta, 0, 0, 0]
}

/// A batch over a section of the test's own: whole, its body checksum right, `change` made before that.
fn forged(section: &[u8], record_count: u32, change: impl FnOnce(&mut BatchHeader)) -> EncodedBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.try_push(RecordRef { timestamp_ms: NOW_MS, ..RecordRef::default() }).unwrap();
    let mut header = *builder.finish(ProducerStamp::NONE).unwrap().header();
    header.length = u32::try_from(HEADER_BYTES + section.len()).unwrap();
    header.expanded_bytes = u32::try_from(section.len()).unwrap();
    header.record_count = record_count;
    change(&mut header);
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend_from_slice(section);
    header.body_crc = body_crc(&bytes[HEAD_BYTES..]);
    bytes[..HEAD_BYTES].copy_from_slice(&header.head_to_bytes());
    EncodedBatch::from_bytes(bytes.into()).unwrap()
}

fn answer(batch: &EncodedBatch) -> Result<(), DoorError> {
    check(batch, &LIMITS, &mut Vec::new())
}

fn record(index: u32, fault: RecordFault) -> Result<(), DoorError> {
    Err(DoorError::Record { index, fault })
}

#[test]
fn an_honest_batch_passes() {
    assert_eq!(answer(&forged(&[nothing(0), nothing(1)].concat(), 2, |_| ())), Ok(()));
}

#[test]
fn every_flipped_bit_behind_the_head_is_damage() {
    let bytes = forged(&[nothing(0), nothing(1)].concat(), 2, |_| ()).into_bytes();
    for bit in 8 * HEAD_BYTES..8 * bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // A flip in the header may already be refused there.
        if let Ok(batch) = EncodedBatch::from_bytes(Bytes::from(damaged)) {
            assert!(matches!(answer(&batch), Err(DoorError::Damaged(Misfit::BodyCrc { .. }))), "bit {bit}");
        }
    }
}

type Change = fn(&mut BatchHeader);

#[test]
fn what_only_a_leader_sets_is_refused() {
    let changes: [(&str, Change); 6] = [
        ("base_offset", |header| header.base_offset = Offset(1)),
        ("end_offset", |header| header.end_offset = Offset(1)),
        ("leader_epoch", |header| header.leader_epoch = LeaderEpoch(1)),
        ("head_crc", |header| header.head_crc = 1),
        ("append_time_ms", |header| header.append_time_ms = 1),
        ("committed_below", |header| header.committed_below = Offset(1)),
    ];
    for (field, change) in changes {
        assert_eq!(answer(&forged(&nothing(0), 1, change)), Err(DoorError::HeadSet { field, value: 1 }));
    }
}

#[test]
fn a_count_that_disagrees_with_the_records_is_refused() {
    let two = [nothing(0), nothing(1)].concat();
    assert_eq!(answer(&forged(&two, 3, |_| ())), Err(DoorError::CountTooHigh { stated: 3, found: 2 }));
    assert_eq!(answer(&forged(&two, 1, |_| ())), Err(DoorError::CountTooLow { stated: 1, bytes: 7 }));
}

#[test]
fn offsets_that_are_not_dense_are_refused() {
    for delta in [0, 2] {
        let section = [nothing(0), nothing(delta)].concat();
        let fault = RecordFault::OffsetDelta { delta: u64::from(delta) };
        assert_eq!(answer(&forged(&section, 2, |_| ())), record(1, fault));
    }
    assert_eq!(answer(&forged(&nothing(1), 1, |_| ())), record(0, RecordFault::OffsetDelta { delta: 1 }));
}

#[test]
fn a_record_is_limited_by_the_topic() {
    let sized = |bytes: usize| {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.try_push(RecordRef { timestamp_ms: NOW_MS, ..RecordRef::default() }).unwrap();
        builder.try_push(RecordRef { value: Some(&vec![0; bytes]), ..RecordRef::default() }).unwrap();
        builder.finish(ProducerStamp::NONE).unwrap()
    };
    assert_eq!(answer(&sized(100)), Ok(()));
    assert_eq!(answer(&sized(101)), record(1, RecordFault::TooLarge { bytes: 101, bytes_max: 100 }));
}

#[test]
fn a_record_that_is_none_is_refused_by_its_index() {
    let section = [nothing(0), vec![6, 9, 0, 1, 0, 0, 0]].concat();
    let fault = RecordFault::Layout(RecordError::Attributes { found: 9 });
    assert_eq!(answer(&forged(&section, 2, |_| ())), record(1, fault));
    let twice = vec![12, 0, 0, 0, 0, 0, 2, 1, b'a', 0, 1, b'a', 0];
    let fault = RecordFault::Layout(RecordError::HeaderRepeated { name: "a".into() });
    assert_eq!(answer(&forged(&twice, 1, |_| ())), record(0, fault));
}

#[test]
fn times_are_true_and_not_far_ahead() {
    let at = |times: &[u64]| {
        let mut builder = BatchBuilder::new(Codec::None);
        for &timestamp_ms in times {
            builder.try_push(RecordRef { timestamp_ms, ..RecordRef::default() }).unwrap();
        }
        builder.finish(ProducerStamp::NONE).unwrap()
    };
    let timestamp_max_ms = NOW_MS + TIMESTAMP_AHEAD_MS_MAX;
    assert_eq!(answer(&at(&[NOW_MS, 0, timestamp_max_ms, NOW_MS])), Ok(()));
    let timestamp_ms = timestamp_max_ms + 1;
    let ahead = RecordFault::TimestampAhead { timestamp_ms, timestamp_max_ms };
    assert_eq!(answer(&at(&[NOW_MS, timestamp_ms])), record(1, ahead));

    let early = forged(&[6, 0, 2, 0, 0, 0, 0], 1, |_| ());
    assert_eq!(answer(&early), record(0, RecordFault::BaseTimestamp { delta_ms: 1 }));
    let before_1970 = forged(&[nothing(0), vec![6, 0, 1, 1, 0, 0, 0]].concat(), 2, |header| {
        header.base_timestamp_ms = 0;
    });
    let range = RecordFault::TimestampRange { base_timestamp_ms: 0, delta_ms: -1 };
    assert_eq!(answer(&before_1970), record(1, range));
    for stated in [NOW_MS - 1, NOW_MS + 1] {
        let lie = forged(&nothing(0), 1, |header| header.max_timestamp_ms = stated);
        assert_eq!(answer(&lie), Err(DoorError::MaxTimestamp { stated, found: NOW_MS }));
    }
}

#[test]
fn a_compressed_batch_is_held_against_the_same_rules() {
    for codec in [Codec::Lz4, Codec::Zstd] {
        let mut builder = BatchBuilder::new(codec);
        builder.try_push(RecordRef { timestamp_ms: NOW_MS, ..RecordRef::default() }).unwrap();
        builder.try_push(RecordRef { value: Some(&[7; 1000]), ..RecordRef::default() }).unwrap();
        let batch = builder.finish(ProducerStamp::NONE).unwrap();
        assert_eq!(batch.header().codec, codec);
        assert_eq!(answer(&batch), record(1, RecordFault::TooLarge { bytes: 1000, bytes_max: 100 }));
        let limits = DoorLimits { record_bytes_max: RECORD_BYTES_MAX_DEFAULT, ..LIMITS };
        assert_eq!(check(&batch, &limits, &mut Vec::new()), Ok(()));
    }
}

#[test]
fn a_bomb_is_refused_without_its_memory() {
    let bomb = zstd::bulk::compress(&vec![0; 8 << 20], 3).unwrap();
    let stating = |expanded_bytes: u32| {
        forged(&bomb, 1, |header| {
            (header.codec, header.expanded_bytes) = (Codec::Zstd, expanded_bytes);
        })
    };
    let mut expanded = Vec::new();
    let ratio = ExpandError::Ratio { stored: bomb.len(), expanded: 8 << 20 };
    assert_eq!(check(&stating(8 << 20), &LIMITS, &mut expanded), Err(DoorError::Expand(ratio)));
    let more = ExpandError::MoreThanStated { stated: 5000 };
    assert_eq!(check(&stating(5000), &LIMITS, &mut expanded), Err(DoorError::Expand(more)));
    assert!(expanded.capacity() <= 5000, "{} bytes", expanded.capacity());
}
