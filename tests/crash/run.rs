//! One seed's run: partitions in one data directory, random operations, random ends of the process or the machine,
//! and a judgement after every start.
//!
//! Always true: all that happens is drawn from the seed; a broken promise panics. The disk is the simulated one, the
//! log the real one, on one thread.

use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::sim::{SimClock, SimDisk};
use fidelog_log::env::{Clock, Latched};
use fidelog_log::{DataDir, Expected, Flusher, Log, LogConfig, LogWork, OpenError, ProducerLimits};
use fidelog_record::types::{BrokerId, ClusterId, DirectoryId, PartitionIndex, TopicId, TopicPartition};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::model::{Existence, Step};
use crate::partition::Partition;
use fidelog_tests::process::Process;
use fidelog_tests::story::Story;

/// Where the data directory lies on the simulated disk.
pub(crate) const ROOT: &str = "/data";

/// What kind of disk a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Honesty {
    /// Syncs do their work, or fail.
    Honest,
    /// From the first record on, syncs succeed and do nothing.
    Lying,
}

/// Runs one seed.
///
/// # Panics
/// When the log breaks a promise.
pub(crate) fn run(seed: u64, honesty: Honesty, story: &Story) {
    let mut run = Run::begin(seed, story.clone());
    run.start();
    run.disk.set_lying(honesty == Honesty::Lying);
    let operation_count = run.random.random_range(20..110);
    for _ in 0..operation_count {
        if run.has_ended() {
            run.start();
        }
        run.operate();
    }
    run.end_well();
}

/// A run in progress.
pub(crate) struct Run {
    pub(crate) random: StdRng,
    pub(crate) disk: SimDisk,
    pub(crate) clock: SimClock,
    pub(crate) config: LogConfig,
    pub(crate) story: Story,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) life: Option<Life>,
    /// A fault was planned, or room is short: refusals and failures are no surprise.
    pub(crate) excused: bool,
    /// The last process stopped cleanly, and nothing was started since.
    pub(crate) stopped_cleanly: bool,
    /// A start may leave logs unopened, as a broker does with topics that it does not know.
    leaves_some: bool,
    /// A start that failed left the file system in need of being mounted again.
    mount_pending: bool,
}

/// A running process.
pub(crate) struct Life {
    pub(crate) process: Process,
    pub(crate) home: Arc<DataDir>,
    pub(crate) flusher: Flusher,
    /// It was started after a clean stop.
    pub(crate) found_clean: bool,
}

impl Run {
    fn begin(seed: u64, story: Story) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let config = draw_config(&mut random);
        story.note("begin", &[seed], || format!("seed {seed}: {config:?}"));
        let (disk, clock) = (SimDisk::new(seed), SimClock::default());
        let latched = Latched::new(Arc::new(disk.clone()), ROOT, Arc::new(clock.clone()));
        let (cluster, directory) = (ClusterId::from_random([1; 16]), DirectoryId::from_random([2; 16]));
        DataDir::format(latched, Path::new(ROOT), cluster, BrokerId(1), directory)
            .expect("nothing is wrong with the disk yet");
        let mut run = Self {
            random,
            disk,
            clock,
            config,
            story,
            partitions: Vec::new(),
            life: None,
            excused: false,
            stopped_cleanly: false,
            leaves_some: true,
            mount_pending: false,
        };
        for _ in 0..run.random.random_range(1..4) {
            run.add_partition();
        }
        run
    }

    pub(crate) fn add_partition(&mut self) {
        let number = u32::try_from(self.partitions.len()).expect("there are few");
        let at = TopicPartition { topic: TopicId::from_random([9; 16]), partition: PartitionIndex(number) };
        let LogConfig { producer_count_max: count_max, producer_idle_ms: idle_ms, .. } = self.config;
        self.partitions.push(Partition::new(at, ProducerLimits { count_max, idle_ms }, self.story.clone()));
    }

    fn note(&self, tell: &str) {
        self.story.note(tell, &[], || tell.to_owned());
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.disk.is_crashed() || self.life.as_ref().is_none_or(|life| life.process.has_ended())
    }

    /// Starts a process, again and again until one stays.
    pub(crate) fn start(&mut self) {
        for attempt in 0.. {
            assert!(attempt < 60, "60 starts in a row have failed");
            self.end_life();
            if attempt > 3 || self.random.random_ratio(2, 3) {
                self.heal();
            }
            let trouble = attempt < 4 && self.random.random_ratio(1, 5);
            match self.try_start(trouble) {
                Ok(()) if self.has_ended() => {}
                // A second start right after the first must find the same.
                Ok(()) if self.random.random_ratio(1, 6) => self.note("start once more"),
                Ok(()) => return,
                Err(reason) => {
                    self.story.note("start failed", &[], || format!("start failed: {reason}"));
                    // A power cut planned in an earlier life may hit this one.
                    assert!(
                        self.excused || trouble || self.disk.is_crashed(),
                        "a start failed without a fault: {reason}"
                    );
                    self.heal();
                }
            }
        }
    }

    /// Ends the process or cuts the power, whichever is left to do; a machine that is off comes back.
    fn end_life(&mut self) {
        let needs_mount = self.life.as_ref().is_some_and(|life| life.process.needs_mount());
        let needs_mount = std::mem::take(&mut self.mount_pending) || needs_mount;
        let power_cut = needs_mount || self.disk.is_crashed() || self.random.random();
        self.note(if power_cut { "POWER CUT, and back" } else { "PROCESS KILLED" });
        if power_cut {
            self.disk.crash();
        } else {
            self.disk.kill();
        }
        self.life = None;
        self.partitions.iter_mut().for_each(|partition| partition.desk = None);
    }

    pub(crate) fn heal(&mut self) {
        self.disk.clear_faults();
        self.disk.set_capacity_bytes(1 << 40);
        self.excused = false;
    }

    fn try_start(&mut self, trouble: bool) -> Result<(), String> {
        self.note("START");
        let process = Process::new(Arc::new(self.disk.clone()), self.story.clone());
        if trouble {
            self.plan_trouble(&process, 25);
        }
        let latched = Latched::new(Arc::new(process.clone()), ROOT, Arc::new(self.clock.clone()));
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let home = DataDir::open(latched, clock, Path::new(ROOT), Expected::default(), self.config.clone());
        let stopped_cleanly = std::mem::replace(&mut self.stopped_cleanly, false);
        self.mount_pending = process.needs_mount();
        let home = home.map_err(|error| error.to_string())?;
        assert!(home.found().clean || !stopped_cleanly || self.excused, "a clean stop was forgotten");
        assert!(home.found().points_lost.is_none() || self.excused, "recovery points: {:?}", home.found());
        assert!(home.found().strays.is_empty(), "strays: {:?}", home.found().strays);
        home.raise_generation().map_err(|error| error.to_string())?;
        let flusher = Flusher::new(Arc::clone(&home));
        let found_clean = home.found().clean;
        self.life = Some(Life { process, home, flusher, found_clean });
        for index in 0..self.partitions.len() {
            if self.leaves_some && self.random.random_ratio(1, 8) {
                self.story.note("left", &[index as u64], || format!("  [{index}] left unopened"));
                continue;
            }
            self.open_partition(index, stopped_cleanly, trouble)?;
        }
        Ok(())
    }

    fn open_partition(&mut self, index: usize, stopped_cleanly: bool, trouble: bool) -> Result<(), String> {
        let life = self.life.as_ref().expect("a process has just been started");
        let partition = &mut self.partitions[index];
        let at = partition.model.at;
        let there = life.home.partitions().map_err(|error| error.to_string())?.contains(&at);
        match (partition.model.existence, &partition.model.step) {
            (Existence::Gone, _) => {
                assert!(!there, "{at} was deleted, and is back");
                return Ok(());
            }
            // Not answered, so not sure: a power cut may bring it back.
            (Existence::Sure, Step::Delete) if !there => return Ok(()),
            (Existence::Sure, Step::Delete) => {
                // A part of it may be gone; what is left must not stop a start, and is deleted in the end.
                let (log, _) = Log::open(&life.home, at).map_err(|error| error.to_string())?;
                partition.attach(&life.home, &life.flusher, log);
                partition.submit(&life.flusher, LogWork::Delete);
            }
            (Existence::Begun, _) if !there => {
                let log = Log::create(&life.home, at).map_err(|error| error.to_string())?;
                partition.model.existence = Existence::Sure;
                partition.attach(&life.home, &life.flusher, log);
            }
            (Existence::Begun | Existence::Sure, _) => {
                let (log, report) = match Log::open(&life.home, at) {
                    Err(error @ OpenError::Missing { .. }) => panic!("{error}"),
                    result => result.map_err(|error| error.to_string())?,
                };
                let clean = stopped_cleanly && partition.stopped_with_room && life.home.found().clean;
                let excused = self.excused || trouble || self.disk.is_crashed();
                // Excused: an attempt that found no room is made again, and believes nothing of what the first left.
                let unread = report.scanned_bytes == 0;
                assert!(!clean || unread || excused, "{at}: read after a clean stop: {report:?}");
                partition.check_opened(&log, &report, &mut self.random, excused);
                partition.attach(&life.home, &life.flusher, log);
            }
        }
        Ok(())
    }

    /// Everything is healed; what was promised is there, now and after a clean stop.
    fn end_well(&mut self) {
        self.note("the end: all faults are over");
        self.leaves_some = false;
        self.heal();
        self.end_now();
        self.heal();
        self.stop_cleanly();
        self.story.note("ends", &[self.disk.changes()], || "well".to_owned());
    }
}

fn draw_config(random: &mut StdRng) -> LogConfig {
    LogConfig {
        segment_bytes: [4096, 4096, 8192][random.random_range(0..3)],
        segment_ms: [200, 1 << 40][random.random_range(0..2)],
        index_every_bytes: [64, 256, 1024][random.random_range(0..3)],
        recovery_point_bytes: [1, 600, 2048, 1 << 30][random.random_range(0..4)],
        sealed_open_max: [1, 4][random.random_range(0..2)],
        aside_count_max: [1, 4, 64][random.random_range(0..3)],
        producer_idle_ms: [300, 1 << 40][random.random_range(0..2)],
        ..LogConfig::small()
    }
}
