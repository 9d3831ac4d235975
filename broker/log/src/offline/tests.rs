use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fidelog_record::types::{
    BrokerId, ClusterId, DirectoryId, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition,
};
use fidelog_record::{BatchBuilder, Codec, PlacedBatch, Placement, ProducerStamp, Record};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use super::*;
use crate::config::LogConfig;
use crate::data_dir::{DataDir, Expected};
use crate::env::{RealClock, RealDisk};
use crate::log::Log;
use crate::segment::SEGMENT_HEADER_BYTES;
use crate::testing;

fn here() -> TopicPartition {
    TopicPartition { topic: TopicId::from_random([9; 16]), partition: PartitionIndex(3) }
}

/// A stopped log of several segments of 4 KiB: thirty batches of two records.
struct Stored {
    root: TempDir,
    partition: PathBuf,
    batches: Vec<PlacedBatch>,
}

impl Stored {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let disk = testing::latched(root.path());
        let ids = (ClusterId::from_random([1; 16]), BrokerId(1), DirectoryId::from_random([2; 16]));
        DataDir::format(disk.clone(), root.path(), ids.0, ids.1, ids.2).unwrap();
        let (clock, config) = (Arc::new(RealClock), LogConfig::small());
        let home = DataDir::open(disk, clock, root.path(), Expected::default(), config).unwrap();
        let mut log = Log::create(&home, here()).unwrap();
        let batches: Vec<_> = (0..30).map(|number| batch(number * 2)).collect();
        for batch in &batches {
            log.secure(batch.length() as u64).unwrap();
            log.stage(batch.clone());
            log.settle().unwrap();
            log.publish_durable();
        }
        home.set_point(here(), log.recovery_point());
        home.write_points().unwrap();
        let partition = home.partition_path(here());
        Self { root, partition, batches }
    }

    fn open(&self) -> OfflineDir {
        open(self.root.path())
    }

    /// Paths of the segment files, oldest first.
    fn files(&self) -> Vec<PathBuf> {
        self.open().partitions()[0].segments.iter().map(|segment| segment.path.clone()).collect()
    }

    fn verdicts(&self) -> Vec<SegmentVerdict> {
        self.open().verify(|_| true).iter().map(VerifiedSegment::verdict).collect()
    }
}

fn open(path: &Path) -> OfflineDir {
    OfflineDir::open(Arc::new(RealDisk), path).unwrap()
}

fn batch(base: u64) -> PlacedBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    for offset in base..base + 2 {
        let record = Record {
            value: Some(vec![offset.to_le_bytes()[0]; 100].into()),
            timestamp_ms: offset,
            ..Record::default()
        };
        builder.try_push_record(&record).unwrap();
    }
    builder.finish(ProducerStamp::NONE).unwrap().place(Placement {
        topic_partition: here(),
        base_offset: Offset(base),
        leader_epoch: LeaderEpoch(1),
        append_time_ms: 1000 + base,
        committed_below: Offset(base.saturating_sub(2)),
    })
}

fn change(path: &Path, at: usize, change: impl FnOnce(&mut u8)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes[at]);
    std::fs::write(path, bytes).unwrap();
}

fn pieces(dir: &OfflineDir) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for partition in dir.partitions() {
        for segment in &partition.segments {
            let mut walk = dir.walk(partition, segment).unwrap();
            while let Some(piece) = walk.step().unwrap() {
                pieces.push(piece);
            }
        }
    }
    pieces
}

#[test]
fn a_directory_a_partition_and_a_file_tell_the_same() {
    let stored = Stored::new();
    let whole = stored.open();
    let [partition] = whole.partitions() else { panic!("one partition was stored") };
    assert_eq!(partition.partition, Some(here()));
    assert!(partition.segments.len() > 2, "{partition:?}");
    assert_eq!(partition.point.as_ref().unwrap().synced_end, Offset(60));
    assert_eq!(partition.missing(), None);
    let inner = open(&stored.partition);
    for (index, segment) in partition.segments.iter().enumerate() {
        let last = index + 1 == partition.segments.len();
        assert_eq!(segment.is_sealed(), !last);
        assert_eq!(segment.header.as_ref().unwrap().base, segment.base);
        let alone = open(&segment.path);
        for other in [&inner.partitions()[0].segments[index], &alone.partitions()[0].segments[0]] {
            assert_eq!((&other.path, other.base, other.end), (&segment.path, segment.base, segment.end));
        }
    }
}

#[test]
fn every_batch_is_read_as_it_was_stored() {
    let stored = Stored::new();
    let pieces = pieces(&stored.open());
    assert_eq!(pieces.len(), stored.batches.len());
    for (piece, batch) in pieces.iter().zip(&stored.batches) {
        let Piece::Batch(found) = piece else { panic!("{piece:?}") };
        assert_eq!((&found.header, &found.bytes), (batch.header(), &batch.to_bytes()));
    }
}

#[test]
fn a_sound_log_is_sound_and_progress_ends_with_all_bytes() {
    let stored = Stored::new();
    let dir = stored.open();
    let mut told = Vec::new();
    let verified = dir.verify(|progress| {
        told.push(progress);
        true
    });
    assert!(verified.iter().all(|segment| segment.verdict() == SegmentVerdict::Sound), "{verified:?}");
    assert_eq!(verified.iter().map(|segment| segment.records).sum::<u64>(), 60);
    assert_eq!(verified.last().unwrap().end, Offset(60));
    assert!(matches!(verified.last().unwrap().tail, Some(SegmentTail::Unused { bytes }) if bytes > 0));
    assert!(told.is_sorted_by_key(|progress| progress.bytes_done));
    let last = told.last().unwrap();
    assert_eq!((last.bytes_done, last.bytes_total), (dir.file_bytes(), dir.file_bytes()));
}

#[test]
fn verification_stops_when_told_to() {
    let stored = Stored::new();
    assert_eq!(stored.open().verify(|_| false).len(), 0);
}

#[test]
fn a_damaged_body_costs_its_offsets_only() {
    let stored = Stored::new();
    change(&stored.files()[0], 64 + 150, |byte| *byte ^= 1);
    let pieces = pieces(&stored.open());
    let Piece::Damage { position, offsets, misfit } = &pieces[0] else { panic!("{:?}", pieces[0]) };
    assert_eq!((*position, offsets.clone()), (SEGMENT_HEADER_BYTES, Offset(0)..Offset(2)));
    assert!(matches!(misfit, BatchMisfit::Batch(fidelog_record::Misfit::BodyCrc { .. })), "{misfit:?}");
    assert_eq!(pieces.len(), stored.batches.len());
    assert_eq!(stored.verdicts()[0], SegmentVerdict::Damaged);
    assert!(stored.verdicts()[1..].iter().all(|verdict| *verdict == SegmentVerdict::Sound));
}

#[test]
fn what_is_missing_at_the_end_of_a_sealed_segment_is_damage() {
    let stored = Stored::new();
    let path = &stored.files()[0];
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    let verified = stored.open().verify(|_| true);
    assert_eq!(verified[0].verdict(), SegmentVerdict::Damaged);
    assert_eq!(verified[0].end, verified[1].base);
}

#[test]
fn half_a_batch_behind_the_recovery_point_is_torn_and_below_it_damage() {
    let stored = Stored::new();
    let last = stored.files().pop().unwrap();
    let dir = stored.open();
    let segment = dir.partitions()[0].segments.last().unwrap();
    let mut walk = dir.walk(&dir.partitions()[0], segment).unwrap();
    while walk.step().unwrap().is_some() {}
    let next = batch(60).to_bytes();
    let mut bytes = std::fs::read(&last).unwrap();
    let walked = usize::try_from(walk.position()).unwrap();
    bytes.truncate(walked);
    bytes.extend_from_slice(&next[..next.len() - 7]);
    bytes.extend_from_slice(&[0; 500]);
    std::fs::write(&last, &bytes).unwrap();
    let verified = stored.open().verify(|_| true);
    let torn = verified.last().unwrap();
    assert_eq!((torn.verdict(), torn.end), (SegmentVerdict::TornTail, Offset(60)));
    let Some(SegmentTail::Torn { position, bytes: torn_bytes, .. }) = torn.tail.clone() else {
        panic!("{torn:?}")
    };
    assert_eq!((position, torn_bytes), (walk.position(), next.len() as u64 - 7));
    // The same half a batch, in the place of the last one: that was synced, as the recovery point says.
    bytes.truncate(walked - 7);
    std::fs::write(&last, &bytes).unwrap();
    let verified = stored.open().verify(|_| true);
    let damaged = verified.last().unwrap();
    assert_eq!((damaged.verdict(), damaged.end), (SegmentVerdict::Damaged, Offset(60)));
}

#[test]
fn a_segment_in_the_wrong_place_is_told() {
    let stored = Stored::new();
    let files = stored.files();
    std::fs::copy(&files[1], &files[0]).unwrap();
    let dir = stored.open();
    let misfit = dir.partitions()[0].segments[0].header.clone().unwrap_err();
    assert!(matches!(misfit, crate::segment::SegmentHeaderMisfit::Foreign(_)), "{misfit:?}");
    assert_eq!(stored.verdicts()[0], SegmentVerdict::Damaged);
    std::fs::remove_file(&files[0]).unwrap();
    let dir = stored.open();
    let missing = Offset::ZERO..dir.partitions()[0].segments[0].base;
    assert_eq!(dir.partitions()[0].missing(), Some(missing));
}

#[test]
fn a_file_outside_its_place_is_read_by_its_header_and_without_one_refused() {
    let stored = Stored::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("00000000000000000000.log");
    std::fs::copy(&stored.files()[0], &path).unwrap();
    let dir = open(&path);
    assert_eq!(dir.partitions()[0].partition, Some(here()));
    assert_eq!(dir.verify(|_| true)[0].verdict(), SegmentVerdict::Sound);
    change(&path, 20, |byte| *byte ^= 1);
    let dir = open(&path);
    let (partition, segment) = (&dir.partitions()[0], &dir.partitions()[0].segments[0]);
    assert!(matches!(dir.walk(partition, segment), Err(OfflineError::UnknownPartition { .. })));
    assert_eq!(dir.verify(|_| true)[0].verdict(), SegmentVerdict::Damaged);
}

#[test]
fn nothing_there_is_an_error_and_nothing_is_written() {
    let empty = tempfile::tempdir().unwrap();
    let refused = OfflineDir::open(Arc::new(RealDisk), empty.path());
    assert!(matches!(refused, Err(OfflineError::NoSegments { .. })));
    let gone = OfflineDir::open(Arc::new(RealDisk), &empty.path().join("gone"));
    assert!(matches!(gone, Err(OfflineError::Disk(_))));
    let file = empty.path().join("note.txt");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(OfflineDir::open(Arc::new(RealDisk), &file), Err(OfflineError::NoSegments { .. })));
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 1);
}

/// Bytes changed, cut off, repeated and zeroed anywhere: no panic, and every walk ends.
#[test]
fn hostile_files_are_only_ever_damaged() {
    let stored = Stored::new();
    let files = stored.files();
    let kept: Vec<_> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    for seed in 0..300 {
        println!("seed {seed}");
        let mut random = SmallRng::seed_from_u64(seed);
        let which = random.random_range(0..files.len());
        let mut bytes = kept[which].clone();
        for _ in 0..random.random_range(1..6) {
            if bytes.is_empty() {
                break;
            }
            let at = random.random_range(0..bytes.len());
            let end = (at + random.random_range(0..400)).min(bytes.len());
            match random.random_range(0..4) {
                0 => bytes[at] = random.random(),
                1 => bytes.truncate(at),
                2 => bytes[at..end].fill(0),
                _ => bytes.extend_from_within(at..end),
            }
        }
        std::fs::write(&files[which], &bytes).unwrap();
        let verified = stored.open().verify(|_| true);
        let records: u64 = verified.iter().map(|segment| segment.records).sum();
        assert!(records <= 60, "seed {seed}: {records} records");
        assert_eq!(verified.len(), files.len());
        std::fs::write(&files[which], &kept[which]).unwrap();
    }
}

/// A broker that runs holds the lock, and goes on.
#[test]
fn a_directory_in_use_is_read() {
    let stored = Stored::new();
    let disk = testing::latched(stored.root.path());
    let (clock, config) = (Arc::new(RealClock), LogConfig::small());
    let home = DataDir::open(disk, clock, stored.root.path(), Expected::default(), config).unwrap();
    let flusher = crate::flusher::Flusher::new(Arc::clone(&home));
    assert!(stored.verdicts().iter().all(|verdict| *verdict == SegmentVerdict::Sound));
    flusher.flush_once(Duration::ZERO);
}
