//! Placed batches: bodies are shared, misfits are named, records are read without trust.

use super::*;
use crate::batch::{BatchBuilder, Batches, EncodedBatch, Placement, ProducerStamp};
use crate::checksum::body_crc;
use crate::codec::Codec;
use crate::record::RecordRef;
use crate::types::{PartitionIndex, TopicId};

const HERE: TopicPartition =
    TopicPartition { topic: TopicId::from_bytes([5; 16]), partition: PartitionIndex(0) };

fn encoded(codec: Codec, values: &[&[u8]]) -> EncodedBatch {
    let mut builder = BatchBuilder::new(codec);
    for value in values {
        builder.try_push(RecordRef { value: Some(value), ..RecordRef::default() }).unwrap();
    }
    builder.finish(ProducerStamp::NONE).unwrap()
}

fn place(batch: &EncodedBatch, base: u64) -> PlacedBatch {
    batch.place(Placement {
        topic_partition: HERE,
        base_offset: Offset(base),
        leader_epoch: LeaderEpoch(6),
        append_time_ms: 77,
        committed_below: Offset(base.min(4)),
    })
}

#[test]
fn placing_fills_the_head_and_shares_the_body() {
    let batch = encoded(Codec::None, &[b"a", b"b"]);
    let placed = place(&batch, 40);
    assert_eq!((placed.base_offset(), placed.end_offset()), (Offset(40), Offset(42)));
    assert_eq!(
        (placed.leader_epoch(), placed.append_time_ms(), placed.committed_below()),
        (LeaderEpoch(6), 77, Offset(4))
    );
    assert_eq!((placed.record_count(), placed.length()), (2, batch.bytes().len()));
    assert_eq!(placed.verify(HERE), Ok(()));
    let (_, body) = placed.parts();
    assert_eq!(body.as_ptr(), batch.bytes()[HEAD_BYTES..].as_ptr());
}

#[test]
fn parts_and_bytes_come_back_as_the_same_batch() {
    let placed = place(&encoded(Codec::Zstd, &[b"a", &b"b".repeat(500)]), 0);
    let (head, body) = placed.parts();
    assert_eq!(PlacedBatch::from_parts(head, body.clone()).unwrap(), placed);
    assert_eq!(PlacedBatch::from_bytes(placed.to_bytes()).unwrap(), placed);
}

#[test]
fn bytes_that_are_not_exactly_one_batch_are_refused() {
    let batch = encoded(Codec::None, &[b"a", b"b"]);
    let bytes = place(&batch, 0).to_bytes();
    for cut in 0..bytes.len() {
        assert!(PlacedBatch::from_bytes(bytes.slice(..cut)).is_err(), "cut to {cut}");
        assert!(EncodedBatch::from_bytes(batch.bytes().slice(..cut)).is_err(), "cut to {cut}");
    }
    let longer = Bytes::from([&bytes[..], &[0]].concat());
    let too_long = HeaderError::TooLong { length: bytes.len(), available: longer.len() };
    assert_eq!(PlacedBatch::from_bytes(longer.clone()), Err(too_long.clone()));
    assert_eq!(EncodedBatch::from_bytes(longer), Err(too_long));
    assert!(PlacedBatch::from_parts(&bytes[..51], bytes.slice(51..)).is_err());
}

#[test]
fn a_batch_of_another_partition_or_with_a_flipped_bit_does_not_verify() {
    let placed = place(&encoded(Codec::None, &[b"a"]), 0);
    let elsewhere = TopicPartition { partition: PartitionIndex(1), ..HERE };
    assert!(matches!(placed.verify(elsewhere), Err(Misfit::HeadCrc { .. })));
    let mut bytes = placed.to_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = PlacedBatch::from_bytes(bytes.into()).unwrap();
    assert!(matches!(damaged.verify(HERE), Err(Misfit::BodyCrc { .. })));
}

#[test]
#[should_panic(expected = "committed below 9, placed at 8")]
fn placing_below_what_is_committed_is_a_bug() {
    let placement = Placement {
        topic_partition: HERE,
        base_offset: Offset(8),
        leader_epoch: LeaderEpoch(1),
        append_time_ms: 0,
        committed_below: Offset(9),
    };
    let _ = encoded(Codec::None, &[b"a"]).place(placement);
}

#[test]
fn records_are_slices_of_the_batch_or_of_one_expanded_copy() {
    let values: [&[u8]; 2] = [&[1; 400], &[2; 400]];
    let placed = place(&encoded(Codec::None, &values), 0);
    let body = placed.parts().1.as_ptr_range();
    for record in placed.records().unwrap() {
        assert!(body.contains(&record.unwrap().value.unwrap().as_ptr()));
    }
    let placed = place(&encoded(Codec::Lz4, &values), 0);
    let records: Vec<_> = placed.records().unwrap().map(|record| record.unwrap().value.unwrap()).collect();
    // The second value begins behind the first and its own seven bytes of framing, in one buffer.
    let distance = records[1].as_ptr() as usize - records[0].as_ptr() as usize;
    assert!((400..420).contains(&distance), "{distance}");
}

#[test]
fn a_stored_record_knows_its_offset() {
    let placed = place(&encoded(Codec::None, &[b"a", b"b", b"c"]), 100);
    let offsets: Vec<_> = placed.records().unwrap().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, [Offset(100), Offset(101), Offset(102)]);
}

/// A placed batch over a section of the test's own, its checksums right.
fn forged(section: &[u8], record_count: u32, end: u64) -> PlacedBatch {
    let mut header = *place(&encoded(Codec::None, &[b"a"]), 0).header();
    header.length = u32::try_from(HEADER_BYTES + section.len()).unwrap();
    header.expanded_bytes = u32::try_from(section.len()).unwrap();
    (header.record_count, header.end_offset) = (record_count, Offset(end));
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend_from_slice(section);
    header.body_crc = body_crc(&bytes[HEAD_BYTES..]);
    PlacedBatch::from_parts(&header.head_to_bytes(), Bytes::from(bytes).slice(HEAD_BYTES..)).unwrap()
}

const FIRST: [u8; 7] = [6, 0, 0, 0, 0, 0, 0];

fn with_delta(delta: u8) -> [u8; 7] {
    [6, 0, 0, delta, 0, 0, 0]
}

#[test]
fn records_end_behind_the_first_that_is_wrong() {
    let outcome = |section: &[u8], count, end| {
        let mut records = forged(section, count, end).records().unwrap();
        let error = records.find_map(Result::err);
        assert!(records.next().is_none(), "nothing follows an error");
        error
    };
    let base = Offset(0);
    assert_eq!(outcome(&[FIRST, with_delta(1)].concat(), 2, 2), None);
    // Gaps are what compaction will leave.
    assert_eq!(outcome(&[FIRST, with_delta(4)].concat(), 2, 9), None);
    let repeated = [FIRST, with_delta(0)].concat();
    assert_eq!(outcome(&repeated, 2, 2), Some(RecordsError::OffsetDelta { index: 1, base, delta: 0 }));
    let beyond = [FIRST, with_delta(2)].concat();
    assert_eq!(outcome(&beyond, 2, 2), Some(RecordsError::OffsetDelta { index: 1, base, delta: 2 }));
    let past = [6, 0, 1, 0, 0, 0, 0];
    assert_eq!(outcome(&past, 1, 1), Some(RecordsError::TimestampDelta { index: 0, base, delta_ms: -1 }));
    assert_eq!(outcome(&repeated, 1, 1), Some(RecordsError::Trailing { base, count: 7 }));
    assert!(matches!(outcome(&FIRST, 2, 2), Some(RecordsError::Record { index: 1, .. })));
}

#[test]
fn a_claimed_count_sizes_no_allocation() {
    let records = forged(&FIRST, 1 << 20, 1 << 20).records().unwrap();
    assert_eq!(records.size_hint().0, 0);
}

#[test]
fn a_piece_of_log_splits_into_its_batches() {
    let batch = encoded(Codec::None, &[b"a", b"b"]);
    let log: Vec<_> = [10, 12, 14].into_iter().map(|base| place(&batch, base)).collect();
    let bytes = Bytes::from(log.iter().flat_map(|batch| batch.to_bytes()).collect::<Vec<_>>());
    let split: Result<Vec<_>, _> = Batches::new(bytes.clone(), HERE).collect();
    assert_eq!(split.unwrap(), log);

    for cut in 1..bytes.len() {
        let split: Vec<_> = Batches::new(bytes.slice(..cut), HERE).collect();
        let whole = cut / log[0].length();
        assert_eq!(split.iter().filter(|batch| batch.is_ok()).count(), whole, "cut to {cut}");
        assert_eq!(split.len() - whole, usize::from(cut % log[0].length() != 0), "cut to {cut}");
    }
}

#[test]
fn a_gap_or_an_overlap_between_batches_is_a_misfit() {
    let batch = encoded(Codec::None, &[b"a", b"b"]);
    for found in [11, 13].map(Offset) {
        let bytes = Bytes::from([place(&batch, 10).to_bytes(), place(&batch, found.0).to_bytes()].concat());
        let split: Vec<_> = Batches::new(bytes, HERE).collect();
        assert_eq!(split[1], Err(Misfit::Order { expected: Offset(12), found }));
        assert_eq!(split.len(), 2);
    }
}
