//! Segments made here, byte by byte, and then harmed.

use std::path::Path;

use fidelog_client::types::{ClusterId, LeaderEpoch, PartitionIndex, TopicId};
use fidelog_log::SegmentHeader;
use fidelog_log::env::{Disk, OpenMode, RealDisk};
use fidelog_record::{BatchBuilder, Codec, Placement, ProducerStamp, Record};
use proptest::prelude::*;

use super::*;

const AT: TopicPartition = TopicPartition { topic: TopicId::NIL, partition: PartitionIndex(3) };
const BASE: u64 = 100;

fn batch(base: u64, records: u64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    for index in 0..records {
        builder.try_push_record(&Record::new(format!("value {}", base + index)).timestamp_ms(1)).unwrap();
    }
    let placement = Placement {
        topic_partition: AT,
        base_offset: Offset(base),
        leader_epoch: LeaderEpoch(1),
        append_time_ms: 5,
        committed_below: Offset(BASE),
    };
    builder.finish(ProducerStamp::NONE).unwrap().place(placement).to_bytes().to_vec()
}

/// Batches of two records each, and where each begins.
fn segment(batches: u64) -> (Vec<u8>, Vec<usize>) {
    let header = SegmentHeader { cluster: ClusterId::NIL, partition: AT, base: Offset(BASE) };
    let mut bytes = header.to_bytes().to_vec();
    let mut positions = Vec::new();
    for index in 0..batches {
        positions.push(bytes.len());
        bytes.extend(batch(BASE + 2 * index, 2));
    }
    (bytes, positions)
}

/// Ranges of offsets, undamaged or not, and the tail.
fn walk(bytes: &[u8], end: Option<u64>) -> (Vec<Range<u64>>, Vec<Range<u64>>, Tail) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("00000000000000000100.log");
    std::fs::write(&path, bytes).unwrap();
    walk_file(&path, end)
}

fn walk_file(path: &Path, end: Option<u64>) -> (Vec<Range<u64>>, Vec<Range<u64>>, Tail) {
    let file = RealDisk.open(path, OpenMode::Read).unwrap();
    let file_bytes = file.len().unwrap();
    let mut walk = Walk::new(file, file_bytes, AT, Offset(BASE), end.map(Offset));
    let (mut sound, mut damaged) = (Vec::new(), Vec::new());
    while let Some(found) = walk.step().unwrap() {
        match found {
            Found::Batch { header, .. } => sound.push(header.base_offset.0..header.end_offset.0),
            Found::Damage { offsets, .. } => damaged.push(offsets),
        }
    }
    (sound, damaged, walk.tail().unwrap().clone())
}

fn one(range: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(range).collect()
}

#[test]
fn a_sound_segment_ends_in_unused_room() {
    let (mut bytes, _) = segment(3);
    assert_eq!(walk(&bytes, None), (vec![100..102, 102..104, 104..106], vec![], Tail::Unused { bytes: 0 }));
    bytes.extend([0; 5000]);
    assert_eq!(walk(&bytes, None).2, Tail::Unused { bytes: 5000 });
    assert_eq!(walk(&bytes, Some(106)).2, Tail::Cut { bytes: 5000 });
}

#[test]
fn a_batch_cut_short_at_the_end_is_a_torn_tail() {
    let (bytes, positions) = segment(3);
    let torn = &bytes[..bytes.len() - 7];
    let (sound, damaged, tail) = walk(torn, None);
    assert_eq!((sound.len(), damaged.len()), (2, 0));
    assert!(matches!(tail, Tail::Torn { position, .. } if position == positions[2] as u64), "{tail:?}");
}

#[test]
fn the_same_in_a_sealed_segment_is_damage() {
    let (bytes, _) = segment(3);
    let (sound, damaged, _) = walk(&bytes[..bytes.len() - 7], Some(106));
    assert_eq!((sound.len(), damaged), (2, one(104..106)));
}

#[test]
fn damage_in_the_middle_is_walked_around() {
    let (mut bytes, positions) = segment(4);
    bytes[positions[1] + 60] ^= 1;
    assert_eq!(walk(&bytes, None).1, one(102..104));
    bytes[positions[2] + 10] ^= 1;
    let (sound, damaged, _) = walk(&bytes, None);
    assert_eq!((sound, damaged), (vec![100..102, 106..108], one(102..106)));
}

#[test]
fn a_batch_that_is_not_there_is_missed_though_all_others_are_sound() {
    let (mut bytes, positions) = segment(4);
    bytes.drain(positions[1]..positions[2]);
    let (sound, damaged, _) = walk(&bytes, None);
    assert_eq!((sound, damaged), (vec![100..102, 104..106, 106..108], one(102..104)));
}

#[test]
fn what_lies_behind_a_sealed_segments_end_is_not_looked_at() {
    let (bytes, _) = segment(3);
    let (sound, damaged, tail) = walk(&bytes, Some(104));
    assert_eq!((sound.len(), damaged.len()), (2, 0));
    assert!(matches!(tail, Tail::Cut { bytes } if bytes > 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_flipped_bit_is_found_and_costs_one_batch(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (mut bytes, positions) = segment(5);
        let header = positions[0];
        let at = header + at.index(bytes.len() - header);
        bytes[at] ^= 1 << bit;
        let (sound, damaged, _) = walk(&bytes, Some(BASE + 10));
        let hit = positions.iter().rposition(|position| *position <= at).unwrap() as u64;
        let lost = BASE + 2 * hit..BASE + 2 * hit + 2;
        prop_assert_eq!(damaged, one(lost));
        prop_assert_eq!(sound.len(), 4);
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..600), sealed: bool) {
        bytes.splice(0..0, segment(1).0);
        let (sound, _, _) = walk(&bytes, sealed.then_some(BASE + 50));
        prop_assert_eq!(sound.len(), 1);
    }
}
