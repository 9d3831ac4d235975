//! Damage planted on the medium while nothing runs. Below S (the highest of the recovery point, the ends of sealed
//! segments and any valid `committed_below`) it is told and served around; from S on it is a torn tail: cut, reported
//! and kept aside.
//!
//! Recovery points are written at rolls only here, so the test knows where S is.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::sim::{SimClock, SimDisk};
use fidelog_log::env::{Disk, Latched, OpenMode};
use fidelog_log::{
    DataDir, Expected, Flusher, Log, LogConfig, LogView, LogWork, ProducerLimits, ReadError, RecoveryCase,
    RecoveryReport,
};
use fidelog_record::PlacedBatch;
use fidelog_record::types::{
    BrokerId, ClusterId, DirectoryId, Offset, PartitionIndex, TopicId, TopicPartition,
};
use fidelog_tests::seeds;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::batches;
use crate::partition::Partition;
use crate::run::ROOT;
use fidelog_tests::story::Story;

const SEGMENT_HEADER_BYTES: u64 = 64;

fn at() -> TopicPartition {
    TopicPartition { topic: TopicId::from_random([9; 16]), partition: PartitionIndex(0) }
}

/// A stopped broker with one log.
struct Scene {
    random: StdRng,
    disk: SimDisk,
    config: LogConfig,
    batches: Vec<PlacedBatch>,
    /// Base offsets of the segments, in order.
    bases: Vec<Offset>,
    /// Everything below was synced when the recovery points were last written.
    point: Offset,
}

impl Scene {
    /// Writes a log of some segments, commits a part, and ends the process, cleanly or not.
    fn write(seed: u64, clean: bool) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = SimDisk::new(seed);
        let config = LogConfig { recovery_point_bytes: 1 << 30, aside_count_max: 64, ..LogConfig::small() };
        let (cluster, directory) = (ClusterId::from_random([1; 16]), DirectoryId::from_random([2; 16]));
        DataDir::format(latched(&disk), Path::new(ROOT), cluster, BrokerId(1), directory).unwrap();
        let home = home(&disk, &config);
        let flusher = Flusher::new(Arc::clone(&home));
        let limits = ProducerLimits { count_max: 100, idle_ms: 1 << 40 };
        let mut partition = Partition::new(at(), limits, Story::untold());
        partition.attach(&home, &flusher, Log::create(&home, at()).unwrap());
        let (mut point, mut segment_count) = (Offset::ZERO, 0);
        for _ in 0..random.random_range(5..40) {
            let batch = batches::draw(&partition.model, &mut random, 1_767_225_600_000);
            if batch.length() as u64 > partition.room_bytes() {
                partition.submit(&flusher, LogWork::Secure { bytes: batch.length() as u64 });
                let _ = flusher.flush_once(Duration::ZERO);
                partition.hear(false);
                let segments = partition.desk.as_ref().unwrap().handle.view().segments().unwrap();
                if segments.len() > segment_count {
                    (segment_count, point) = (segments.len(), partition.model.durable_end);
                }
            }
            partition.append(&flusher, batch);
            if random.random_ratio(1, 6) {
                partition.model.committed_end = partition.model.durable_end;
                partition.submit(&flusher, LogWork::Committed { end: partition.model.durable_end });
            }
            let _ = flusher.flush_once(Duration::ZERO);
            partition.hear(false);
        }
        let segments = partition.desk.as_ref().unwrap().handle.view().segments().unwrap();
        let batches = partition.model.batches().to_vec();
        if clean {
            flusher.shutdown().unwrap();
            point = partition.model.end();
        }
        drop((partition, flusher, home));
        disk.kill();
        let bases = segments.iter().map(|segment| segment.base).collect();
        Self { random, disk, config, batches, bases, point }
    }

    fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, PlacedBatch::end_offset)
    }

    /// S when the batches of `damaged` cannot say anything.
    fn s(&self, damaged: &Range<usize>) -> Offset {
        let valid = self.batches.iter().enumerate().filter(|(index, _)| !damaged.contains(index));
        let committed_below = valid.map(|(_, batch)| batch.committed_below()).max().unwrap_or_default();
        let sealed_end = self.bases.last().copied().unwrap_or_default();
        committed_below.max(sealed_end).max(self.point)
    }

    /// Where a batch lies.
    fn place(&self, index: usize) -> (PathBuf, Range<u64>) {
        let base = self.batches[index].base_offset();
        let segment = *self.bases.iter().rfind(|segment| **segment <= base).unwrap();
        let before = self.batches[..index].iter().filter(|batch| batch.base_offset() >= segment);
        let start = SEGMENT_HEADER_BYTES + before.map(|batch| batch.length() as u64).sum::<u64>();
        let folder = Path::new(ROOT).join("topics").join(at().topic.to_string()).join("0");
        (folder.join(format!("{:020}.log", segment.0)), start..start + self.batches[index].length() as u64)
    }

    fn damage(&mut self, index: usize) {
        let (path, range) = self.place(index);
        let from = self.random.random_range(range.clone());
        if self.random.random() {
            self.disk.flip_bit(&path, from, self.random.random_range(0..8)).unwrap();
        } else {
            // Zeroes that change something: the magic is among them.
            self.disk.zero(&path, range.start..from + 1).unwrap();
        }
    }

    fn open(&self) -> (Arc<DataDir>, Log, RecoveryReport) {
        let home = home(&self.disk, &self.config);
        let (log, report) = Log::open(&home, at()).unwrap();
        (home, log, report)
    }
}

fn latched(disk: &SimDisk) -> Latched {
    Latched::new(Arc::new(disk.clone()), ROOT, Arc::new(SimClock::default()))
}

fn home(disk: &SimDisk, config: &LogConfig) -> Arc<DataDir> {
    let clock = Arc::new(SimClock::default());
    let home =
        DataDir::open(latched(disk), clock, Path::new(ROOT), Expected::default(), config.clone()).unwrap();
    home.raise_generation().unwrap();
    home
}

/// Everything a reader gets, and the ranges it is told are lost.
fn read_around(view: &LogView) -> (Vec<u8>, Vec<Range<Offset>>) {
    let (mut bytes, mut lost, mut next) = (Vec::new(), Vec::new(), view.start());
    loop {
        match view.read(next, 700, Offset(u64::MAX)) {
            Ok(outcome) if outcome.next_offset == next => return (bytes, lost),
            Ok(outcome) => {
                bytes.extend_from_slice(&outcome.batches);
                next = outcome.next_offset;
            }
            Err(ReadError::DataLoss { range, .. }) => {
                next = range.end;
                lost.push(range);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn bytes_of<'a>(batches: impl Iterator<Item = &'a PlacedBatch>) -> Vec<u8> {
    batches.flat_map(PlacedBatch::to_bytes).collect()
}

#[test]
fn damage_below_s_is_told_and_the_rest_is_served() {
    let mut told_at_start = 0;
    for seed in seeds::chosen("FIDELOG_DAMAGE_RUNS", 400) {
        let clean = seed % 2 == 0;
        let mut scene = Scene::write(seed, clean);
        let below: Vec<_> = (0..scene.batches.len())
            .filter(|index| scene.batches[*index].end_offset() <= scene.s(&(*index..*index + 1)))
            .collect();
        let Some(&index) = below.get(scene.random.random_range(0..below.len().max(1))) else { continue };
        scene.damage(index);
        let damaged = scene.batches[index].base_offset()..scene.batches[index].end_offset();
        for start in 0..3 {
            let (_home, log, report) = scene.open();
            assert_eq!(report.end, scene.end(), "seed {seed}, start {start}: something was cut: {report:?}");
            assert!(!report.met(RecoveryCase::TornTail), "seed {seed}, start {start}: {report:?}");
            told_at_start += usize::from(start == 0 && report.met(RecoveryCase::Damage));
            let (bytes, lost) = read_around(&log.view());
            assert_eq!(lost, std::slice::from_ref(&damaged), "seed {seed}, start {start}: {report:?}");
            let rest = scene.batches.iter().filter(|batch| batch.base_offset() != damaged.start);
            assert!(bytes == bytes_of(rest), "seed {seed}, start {start}: the rest reads differently");
            assert_eq!(log.view().damage(), lost, "seed {seed}, start {start}");
            drop((log, _home));
            if scene.random.random() { scene.disk.crash() } else { scene.disk.kill() }
        }
    }
    assert!(told_at_start > 0, "no start had damage to tell");
}

#[test]
fn a_misfit_from_s_on_is_a_cut_that_is_reported_and_kept_aside() {
    let mut cut_count = 0;
    for seed in seeds::chosen("FIDELOG_DAMAGE_RUNS", 400) {
        let mut scene = Scene::write(seed, false);
        let above: Vec<_> = (0..scene.batches.len())
            .filter(|index| scene.batches[*index].base_offset() >= scene.s(&(*index..*index + 1)))
            .collect();
        let Some(&index) = above.get(scene.random.random_range(0..above.len().max(1))) else { continue };
        let (path, range) = scene.place(index);
        scene.damage(index);
        let left = scene.disk.open(&path, OpenMode::Read).unwrap();
        let mut torn = vec![0; usize::try_from(left.len().unwrap() - range.start).unwrap()];
        left.read_exact_at(&mut torn, range.start).unwrap();
        let used = torn.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        torn.truncate(used);
        let (home, log, report) = scene.open();
        assert_eq!(report.end, scene.batches[index].base_offset(), "seed {seed}: {report:?}");
        assert!(report.damage.is_empty(), "seed {seed}: {report:?}");
        assert_eq!(report.met(RecoveryCase::TornTail), used > 0, "seed {seed}: {report:?}");
        assert_eq!(home.aside_usage().1, usize::from(used > 0), "seed {seed}: {report:?}");
        let (bytes, lost) = read_around(&log.view());
        assert!(lost.is_empty() && bytes == bytes_of(scene.batches[..index].iter()), "seed {seed}");
        if used > 0 {
            let aside = Path::new(ROOT).join("aside");
            let name = scene.disk.list(&aside).unwrap().remove(0).name;
            let kept = scene.disk.open(&aside.join(name), OpenMode::Read).unwrap();
            let mut bytes = vec![0; torn.len()];
            kept.read_exact_at(&mut bytes, 0).unwrap();
            assert!(bytes == torn, "seed {seed}: other bytes were kept aside");
            cut_count += 1;
        }
    }
    assert!(cut_count > 0, "nothing was cut");
}
