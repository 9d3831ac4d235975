//! A broker in small: a data directory, a flusher, one log, and what its partition heard.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::{Clock, Disk, Latched, RealClock, RealDisk};
use fidelog_log::{
    CutDone, DataDir, DataDirError, Expected, FlushOutcome, FlushTiming, Flusher, Log, LogConfig, LogEvents,
    LogFailure, LogHandle, LogView, LogWork, RecoveryReport, Room, SecureError,
};
use fidelog_record::types::{
    BrokerId, ClusterId, DirectoryId, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition,
};
use fidelog_record::{BatchBuilder, Codec, PlacedBatch, Placement, ProducerStamp, Record};
use std::sync::Mutex;

pub(crate) fn partition() -> TopicPartition {
    TopicPartition { topic: TopicId::from_random([9; 16]), partition: PartitionIndex(3) }
}

/// What a partition heard, in order.
#[derive(Debug)]
pub(crate) enum Heard {
    Secured(Result<Room, SecureError>),
    Durable(Offset),
    Cut(CutDone),
    Started(Offset),
    Failed(String),
    Closed(Result<(), String>),
}

#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Heard>>);

impl Recorder {
    fn note(&self, heard: Heard) {
        self.0.lock().unwrap().push(heard);
    }

    pub(crate) fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl LogEvents for Recorder {
    fn secured(&self, room: Result<Room, SecureError>) {
        self.note(Heard::Secured(room));
    }
    fn durable(&self, durable_end: Offset, _: FlushTiming) {
        self.note(Heard::Durable(durable_end));
    }
    fn cut(&self, done: CutDone) {
        self.note(Heard::Cut(done));
    }
    fn started(&self, start: Offset) {
        self.note(Heard::Started(start));
    }
    fn failed(&self, failure: &LogFailure) {
        self.note(Heard::Failed(failure.to_string()));
    }
    fn closed(&self, ended: Result<(), LogFailure>) {
        self.note(Heard::Closed(ended.map_err(|failure| failure.to_string())));
    }
}

/// Where brokers start: a disk that outlives them.
#[derive(Clone)]
pub(crate) struct Machine {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub root: PathBuf,
    pub config: LogConfig,
    _directory: Option<Arc<tempfile::TempDir>>,
}

impl Machine {
    /// The real disk, below the build's own directory: `/tmp` may be memory.
    pub(crate) fn real() -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root = directory.path().join("data");
        let machine = Self {
            disk: Arc::new(RealDisk),
            clock: Arc::new(RealClock),
            root,
            config: LogConfig::small(),
            _directory: Some(Arc::new(directory)),
        };
        machine.format();
        machine
    }

    #[cfg(feature = "sim")]
    pub(crate) fn on(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Self {
        Self::at(PathBuf::from("/data"), disk, clock)
    }

    /// Formats `root`, which is somebody else's to remove.
    pub(crate) fn at(root: PathBuf, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Self {
        let machine = Self { disk, clock, root, config: LogConfig::small(), _directory: None };
        machine.format();
        machine
    }

    pub(crate) fn latched(&self) -> Latched {
        Latched::new(Arc::clone(&self.disk), &self.root, Arc::clone(&self.clock))
    }

    fn format(&self) {
        let (cluster, directory) = (ClusterId::from_random([1; 16]), DirectoryId::from_random([2; 16]));
        DataDir::format(self.latched(), &self.root, cluster, BrokerId(1), directory).unwrap();
    }

    pub(crate) fn home(&self) -> Arc<DataDir> {
        let home = self.try_home().unwrap();
        home.raise_generation().unwrap();
        home
    }

    pub(crate) fn try_home(&self) -> Result<Arc<DataDir>, DataDirError> {
        let (clock, config) = (Arc::clone(&self.clock), self.config.clone());
        DataDir::open(self.latched(), clock, &self.root, Expected::default(), config)
    }

    /// As [`Self::open`], for a disk that may fail meanwhile.
    #[cfg(feature = "sim")]
    pub(crate) fn try_open(&self) -> Option<(Broker, RecoveryReport)> {
        let home = self.try_home().ok()?;
        home.raise_generation().ok()?;
        let (log, report) = Log::open(&home, partition()).ok()?;
        Some((Broker::with(home, log), report))
    }

    /// Starts a broker whose log is new.
    pub(crate) fn create(&self) -> Broker {
        let home = self.home();
        let log = Log::create(&home, partition()).unwrap();
        Broker::with(home, log)
    }

    /// Starts a broker whose log was there.
    pub(crate) fn open(&self) -> (Broker, RecoveryReport) {
        let home = self.home();
        let (log, report) = Log::open(&home, partition()).unwrap();
        (Broker::with(home, log), report)
    }

    #[cfg(feature = "sim")]
    pub(crate) fn log_file(&self, base: u64) -> PathBuf {
        self.file(&format!("{base:020}.log"))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let at = partition();
        self.root.join("topics").join(at.topic.to_string()).join(at.partition.to_string()).join(name)
    }
}

/// A running broker with one log.
pub(crate) struct Broker {
    pub home: Arc<DataDir>,
    pub flusher: Flusher,
    pub handle: LogHandle,
    pub events: Arc<Recorder>,
    pub next: Offset,
    pub committed_end: Offset,
    pub epoch: u32,
    pub room: u64,
}

impl Broker {
    fn with(home: Arc<DataDir>, log: Log) -> Self {
        let flusher = Flusher::new(Arc::clone(&home));
        let events = Arc::new(Recorder::default());
        let (next, room) = (log.view().written_end(), log.room_bytes());
        let committed_end = log.committed_end();
        let epoch = log.epochs().last_epoch().0.max(1);
        let handle = flusher.attach(log, Arc::clone(&events) as Arc<dyn LogEvents>);
        Self { home, flusher, handle, events, next, committed_end, epoch, room }
    }

    pub(crate) fn view(&self) -> LogView {
        self.handle.view().clone()
    }

    pub(crate) fn flush(&self) -> FlushOutcome {
        self.flusher.flush_once(Duration::ZERO)
    }

    pub(crate) fn submit(&self, work: LogWork) {
        self.flusher.submit(&self.handle, work);
    }

    /// Asks for room until the batch fits; tells whether there is any.
    pub(crate) fn secure(&mut self, bytes: u64) -> Result<(), SecureError> {
        if bytes <= self.room {
            return Ok(());
        }
        self.submit(LogWork::Secure { bytes });
        self.flush();
        for heard in self.events.take() {
            match heard {
                Heard::Secured(Ok(room)) => {
                    assert_eq!(room.after, self.next);
                    assert!(room.bytes >= bytes, "{} bytes were secured, {bytes} asked for", room.bytes);
                    self.room = room.bytes;
                }
                Heard::Secured(Err(error)) => return Err(error),
                other => self.events.note(other),
            }
        }
        if bytes <= self.room { Ok(()) } else { Err(SecureError::Failed) }
    }

    /// Places a batch of `count` records, and queues it.
    pub(crate) fn place(&mut self, count: u32, value_bytes: usize) -> Result<PlacedBatch, SecureError> {
        let batch = encoded(count, value_bytes, self.next.0, ProducerStamp::NONE);
        self.secure(batch.bytes().len() as u64)?;
        let placed = batch.place(self.placement());
        self.room -= placed.length() as u64;
        self.next = placed.end_offset();
        self.submit(LogWork::Append(vec![placed.clone()]));
        Ok(placed)
    }

    pub(crate) fn placement(&self) -> Placement {
        Placement {
            topic_partition: partition(),
            base_offset: self.next,
            leader_epoch: LeaderEpoch(self.epoch),
            append_time_ms: 1000 + self.next.0,
            committed_below: self.committed_end,
        }
    }

    /// Places a batch and flushes it.
    pub(crate) fn append(&mut self, count: u32, value_bytes: usize) -> PlacedBatch {
        let placed = self.place(count, value_bytes).unwrap();
        self.flush();
        placed
    }

    pub(crate) fn commit(&mut self, end: Offset) {
        self.committed_end = end;
        self.submit(LogWork::Committed { end });
    }

    /// Cuts, and answers what was heard.
    pub(crate) fn cut(&mut self, to: Offset) -> Option<CutDone> {
        self.submit(LogWork::Cut { to, committed_end: self.committed_end, permitted: None });
        self.flush();
        self.hear_cut()
    }

    pub(crate) fn hear_cut(&mut self) -> Option<CutDone> {
        for heard in self.events.take() {
            if let Heard::Cut(done) = heard {
                (self.next, self.room) = (done.end, done.room_bytes);
                return Some(done);
            }
        }
        None
    }

    pub(crate) fn stop(self) {
        self.flusher.shutdown().unwrap();
    }
}

/// A batch whose bytes tell `seed`; its newest timestamp is 10 * (seed + count).
pub(crate) fn encoded(
    count: u32,
    value_bytes: usize,
    seed: u64,
    stamp: ProducerStamp,
) -> fidelog_record::EncodedBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    for index in 0..u64::from(count) {
        let value = vec![(seed + index) as u8; value_bytes];
        let record =
            Record { value: Some(value.into()), timestamp_ms: 10 * (seed + index + 1), ..Record::default() };
        builder.try_push_record(&record).unwrap();
    }
    builder.finish(stamp).unwrap()
}

/// Everything from `start` to the end, read in steps of `bytes_max`, as one string of bytes.
pub(crate) fn read_all(view: &LogView, bytes_max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut next = view.start();
    loop {
        let outcome = view.read(next, bytes_max, Offset(u64::MAX)).unwrap();
        if outcome.next_offset == next {
            return bytes;
        }
        assert_eq!(outcome.first_offset, next);
        bytes.extend_from_slice(&outcome.batches);
        next = outcome.next_offset;
    }
}

pub(crate) fn bytes_of(batches: &[PlacedBatch]) -> Vec<u8> {
    batches.iter().flat_map(|batch| batch.to_bytes()).collect()
}
