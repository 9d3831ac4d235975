//! The header: where every field lies, what is refused by name, what a scan finds and what it does not.

use proptest::prelude::*;

use super::*;
use crate::types::{PartitionIndex, TopicId};

const HERE: TopicPartition =
    TopicPartition { topic: TopicId::from_bytes([0x11; 16]), partition: PartitionIndex(3) };

/// A header over a section of 16 bytes.
fn sample() -> BatchHeader {
    BatchHeader {
        length: 120,
        base_offset: Offset(0x0101_0101_0101_0101),
        end_offset: Offset(0x0101_0101_0101_0103),
        leader_epoch: LeaderEpoch(0x0303_0303),
        head_crc: 0x0404_0404,
        append_time_ms: 0x0505_0505_0505_0505,
        committed_below: Offset(0x0606),
        body_crc: 0x0707_0707,
        codec: Codec::None,
        producer: ProducerStamp {
            id: ProducerId(0x0808_0808_0808_0808),
            epoch: ProducerEpoch(0x0909_0909),
            base_sequence: Sequence(0x0a0a_0a0a_0a0a_0a0a),
        },
        record_count: 2,
        base_timestamp_ms: 0x0b0b_0b0b_0b0b_0b0b,
        max_timestamp_ms: 0x0c0c_0c0c_0c0c_0c0c,
        expanded_bytes: 16,
    }
}

/// A whole batch whose checksums fit; its records are none.
fn sealed(mut header: BatchHeader, at: TopicPartition) -> Vec<u8> {
    let mut batch = header.to_bytes().to_vec();
    batch.resize(header.length as usize, 0xab);
    header.body_crc = body_crc(&batch[HEAD_BYTES..]);
    header.head_crc = head_crc(at, &header.head_to_bytes());
    batch[..HEAD_BYTES].copy_from_slice(&header.head_to_bytes());
    batch
}

#[test]
fn every_field_lies_where_the_layout_says() {
    let raw = sample().to_bytes();
    let fields: [(usize, &[u8]); 18] = [
        (0, b"FLB1"),
        (4, &[120, 0, 0, 0]),
        (8, &[1; 8]),
        (16, &[3, 1, 1, 1, 1, 1, 1, 1]),
        (24, &[3; 4]),
        (28, &[4; 4]),
        (32, &[5; 8]),
        (40, &[6, 6, 0, 0, 0, 0, 0, 0]),
        (48, &[7; 4]),
        (52, &[0, 0]),
        (54, &[1]),
        (55, &[1]),
        (56, &[8; 8]),
        (64, &[9; 4]),
        (68, &[2, 0, 0, 0]),
        (72, &[10; 8]),
        (80, &[11; 8]),
        (88, &[12; 8]),
    ];
    for (at, field) in fields {
        assert_eq!(&raw[at..at + field.len()], field, "at byte {at}");
    }
    assert_eq!(&raw[96..], &[16, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(BatchHeader::parse(&raw), Ok(sample()));
}

proptest! {
    #[test]
    fn what_parses_is_written_as_the_same_bytes(
        mut raw in proptest::collection::vec(any::<u8>(), HEADER_BYTES), codec in 0u8..3, stored in 1u32..5000,
    ) {
        raw[..4].copy_from_slice(&MAGIC);
        raw[4..8].copy_from_slice(&(104 + stored).to_le_bytes());
        raw[52..56].copy_from_slice(&[codec, 0, 1, 1]);
        raw[70..72].copy_from_slice(&[0, 0]);
        raw[96..100].copy_from_slice(&stored.to_le_bytes());
        raw[100..].copy_from_slice(&[0; 4]);
        if let Ok(header) = BatchHeader::parse(&raw) {
            prop_assert_eq!(&header.to_bytes()[..], &raw);
        }
    }
}

#[test]
fn fewer_bytes_than_a_header_are_refused() {
    let raw = sample().to_bytes();
    for cut in 0..HEADER_BYTES {
        let short = HeaderError::TooShort { needed: HEADER_BYTES, available: cut };
        assert_eq!(BatchHeader::parse(&raw[..cut]), Err(short));
    }
}

#[test]
fn each_value_that_no_batch_has_is_refused_by_name() {
    let refused = |at: usize, field: &[u8]| {
        let mut raw = sample().to_bytes();
        raw[at..at + field.len()].copy_from_slice(field);
        BatchHeader::parse(&raw).unwrap_err()
    };
    assert_eq!(refused(3, b"2"), HeaderError::Magic { found: *b"FLB2" });
    assert_eq!(refused(4, &[104, 0, 0, 0]), HeaderError::Length { length: 104 });
    assert_eq!(refused(4, &[0xff; 4]), HeaderError::Length { length: u32::MAX });
    for bit in 3..16 {
        assert_eq!(refused(52, &(1u16 << bit).to_le_bytes()), HeaderError::Attributes { bits: 1 << bit });
    }
    for id in 3..8 {
        assert_eq!(refused(52, &u16::to_le_bytes(id)), HeaderError::Codec { id });
    }
    assert_eq!(refused(54, &[2]), HeaderError::Checksum { id: 2 });
    assert_eq!(refused(55, &[0]), HeaderError::PayloadFormat { id: 0 });
    assert_eq!(refused(68, &[0; 4]), HeaderError::RecordCount { count: 0 });
    assert_eq!(refused(68, &[1, 0, 16, 0]), HeaderError::RecordCount { count: BATCH_RECORD_COUNT_MAX + 1 });
    assert!(matches!(refused(56, &[0; 8]), HeaderError::Producer { .. }));
    assert!(matches!(refused(72, &[0xff; 8]), HeaderError::Sequence { count: 2, .. }));
    assert_eq!(refused(96, &[17, 0, 0, 0]), HeaderError::ExpandedBytes { expanded: 17, stored: 16 });
    assert_eq!(refused(100, &[0, 0, 0, 1]), HeaderError::Reserved { found: 1 << 24 });
}

#[test]
fn a_compressed_section_states_at_most_what_a_batch_holds() {
    let largest = u32::try_from(EXPANDED_BYTES_MAX).unwrap();
    let header = |expanded_bytes| BatchHeader { codec: Codec::Lz4, expanded_bytes, ..sample() }.to_bytes();
    assert!(BatchHeader::parse(&header(largest)).is_ok());
    assert!(matches!(BatchHeader::parse(&header(largest + 1)), Err(HeaderError::ExpandedBytes { .. })));
}

#[test]
fn a_scan_finds_a_batch_and_ignores_what_follows() {
    let mut log = sealed(sample(), HERE);
    log.extend_from_slice(&[0; 64]);
    let header = BatchHeader::scan(&log, HERE).unwrap();
    assert_eq!((header.length, header.record_count), (120, 2));
    assert_eq!(BatchHeader::scan_head(&log[..HEADER_BYTES], HERE), Ok(120));
    assert_eq!(header.verify_head(HERE), Ok(()));
    assert_eq!(header.verify_body(&log[HEAD_BYTES..120]), Ok(()));
    assert_eq!(header.verify_body(&log[HEAD_BYTES..121]), Err(Misfit::Length { length: 120 }));
}

#[test]
fn a_scan_names_what_does_not_fit() {
    let log = sealed(sample(), HERE);
    let elsewhere = TopicPartition { partition: PartitionIndex(4), ..HERE };
    let other_topic = TopicPartition { topic: TopicId::from_bytes([0x12; 16]), ..HERE };
    assert!(matches!(BatchHeader::scan(&log, elsewhere), Err(Misfit::HeadCrc { .. })));
    assert!(matches!(BatchHeader::scan(&log, other_topic), Err(Misfit::HeadCrc { .. })));
    assert_eq!(BatchHeader::scan(&[0; 200], HERE), Err(Misfit::Magic { found: [0; 4] }));
    for cut in 0..HEADER_BYTES {
        let short = Misfit::TooShort { needed: HEADER_BYTES, available: cut };
        assert_eq!(BatchHeader::scan(&log[..cut], HERE), Err(short));
    }
    for cut in HEADER_BYTES..log.len() {
        assert_eq!(
            BatchHeader::scan(&log[..cut], HERE),
            Err(Misfit::TooShort { needed: 120, available: cut })
        );
    }
}

#[test]
fn a_scan_sees_every_flipped_bit() {
    let log = sealed(sample(), HERE);
    for bit in 0..8 * log.len() {
        let mut damaged = log.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let misfit = BatchHeader::scan(&damaged, HERE).unwrap_err();
        if bit / 8 >= HEAD_BYTES && bit / 8 != 54 {
            assert!(matches!(misfit, Misfit::BodyCrc { .. }), "bit {bit}: {misfit}");
        }
    }
}

#[test]
fn undamaged_but_unknown_is_told_from_damaged() {
    let mut header = sample();
    header.record_count = 0;
    let log = sealed(header, HERE);
    assert_eq!(BatchHeader::scan(&log, HERE), Err(Misfit::Unreadable(HeaderError::RecordCount { count: 0 })));
}

#[test]
fn offsets_fewer_than_records_never_fit() {
    for end in [0, 1, 2] {
        let header = BatchHeader { base_offset: Offset(1), end_offset: Offset(end), ..sample() };
        let log = sealed(header, HERE);
        assert!(matches!(BatchHeader::scan(&log, HERE), Err(Misfit::Offsets { .. })), "end {end}");
    }
    // More than its records is what compaction will leave.
    let header = BatchHeader { base_offset: Offset(1), end_offset: Offset(9), ..sample() };
    assert!(BatchHeader::scan(&sealed(header, HERE), HERE).is_ok());
}
