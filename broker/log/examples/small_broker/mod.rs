//! Many partitions, a flusher, and nobody who listens: for measuring.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::{Latched, RealClock, RealDisk};
use fidelog_log::{
    CutDone, DataDir, Expected, FlushTiming, Flusher, Log, LogConfig, LogEvents, LogFailure, LogHandle,
    LogWork, Room, SecureError,
};
use fidelog_record::types::{
    BrokerId, ClusterId, DirectoryId, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition,
};
use fidelog_record::{BatchBuilder, Codec, PlacedBatch, Placement, ProducerStamp, Record};

struct Nobody;

impl LogEvents for Nobody {
    fn secured(&self, room: Result<Room, SecureError>) {
        room.expect("the disk has room for the measurement");
    }
    fn durable(&self, _: Offset, _: FlushTiming) {}
    fn cut(&self, _: CutDone) {}
    fn started(&self, _: Offset) {}
    fn failed(&self, failure: &LogFailure) {
        panic!("{failure}");
    }
    fn closed(&self, _: Result<(), LogFailure>) {}
}

/// One partition's place in the measurement.
pub(crate) struct Written {
    at: TopicPartition,
    pub(crate) handle: LogHandle,
    next: Offset,
}

/// A data directory in use.
pub(crate) struct SmallBroker {
    pub(crate) flusher: Flusher,
    pub(crate) logs: Vec<Written>,
}

pub(crate) fn config() -> LogConfig {
    LogConfig { free_bytes_min: Some(0), ..LogConfig::default() }
}

fn latched(root: &Path) -> Latched {
    Latched::new(Arc::new(RealDisk), root, Arc::new(RealClock))
}

pub(crate) fn partition(index: u32) -> TopicPartition {
    TopicPartition { topic: TopicId::from_random([7; 16]), partition: PartitionIndex(index) }
}

/// The number in an environment variable, or `default`.
pub(crate) fn number(key: &str, default: u64) -> u64 {
    std::env::var(key).map_or(default, |text| text.parse().expect("a number is expected"))
}

impl SmallBroker {
    /// Formats `root` and makes `count` partitions in it.
    pub(crate) fn create(root: &Path, count: u32, config: LogConfig) -> Self {
        let (cluster, directory) = (ClusterId::from_random([1; 16]), DirectoryId::from_random([2; 16]));
        DataDir::format(latched(root), root, cluster, BrokerId(1), directory).expect("an empty directory");
        let home = Self::home(root, config);
        let flusher = Flusher::new(Arc::clone(&home));
        let attach = |index| {
            let log = Log::create(&home, partition(index)).expect("the partition is new");
            Written {
                at: partition(index),
                handle: flusher.attach(log, Arc::new(Nobody)),
                next: Offset::ZERO,
            }
        };
        let logs = (0..count).map(attach).collect();
        Self { flusher, logs }
    }

    pub(crate) fn home(root: &Path, config: LogConfig) -> Arc<DataDir> {
        let clock = Arc::new(RealClock);
        let home = DataDir::open(latched(root), clock, root, Expected::default(), config)
            .expect("a sound directory");
        home.raise_generation().expect("the disk answers");
        home
    }

    /// Queues a batch of one record of `value_bytes` for log `index`, with room for it.
    pub(crate) fn append(&mut self, index: usize, value_bytes: usize) -> u64 {
        let log = &mut self.logs[index];
        let batch = batch(log.at, log.next, value_bytes);
        let bytes = batch.length() as u64;
        log.next = batch.end_offset();
        self.flusher.submit(&log.handle, LogWork::Secure { bytes });
        self.flusher.submit(&log.handle, LogWork::Append(vec![batch]));
        bytes
    }

    pub(crate) fn flush(&self) {
        self.flusher.flush_once(Duration::ZERO);
    }
}

fn batch(at: TopicPartition, base: Offset, value_bytes: usize) -> PlacedBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    let record =
        Record { value: Some(vec![7; value_bytes].into()), timestamp_ms: base.0, ..Record::default() };
    builder.try_push_record(&record).expect("the record is small enough");
    builder.finish(ProducerStamp::NONE).expect("one record").place(Placement {
        topic_partition: at,
        base_offset: base,
        leader_epoch: LeaderEpoch(1),
        append_time_ms: base.0,
        committed_below: base,
    })
}
