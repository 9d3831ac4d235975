//! One seed's run: partitions in one data directory, random operations, random ends of the process or the machine,
//! and a judgement after every start.
//!
//! Always true: all that happens is drawn from the seed; a broken promise panics. The disk is the simulated one, the
//! log the real one, on one thread.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::sim::{Fault, FaultError, SimClock, SimDisk};
use fidelog_log::env::{Clock, Disk, Latched, Operation};
use fidelog_log::{
    DataDir, Expected, FlushOutcome, Flusher, Log, LogConfig, LogWork, OpenError, ProducerLimits,
};
use fidelog_record::types::{BrokerId, ClusterId, DirectoryId, Offset, PartitionIndex, TopicId, TopicPartition};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::batches;
use crate::model::{Existence, Step};
use crate::partition::Partition;
use crate::process::Process;
use crate::story::Story;

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

struct Run {
    random: StdRng,
    disk: SimDisk,
    clock: SimClock,
    config: LogConfig,
    story: Story,
    partitions: Vec<Partition>,
    life: Option<Life>,
    /// A fault was planned, or room is short: refusals and failures are no surprise.
    excused: bool,
    /// The last process stopped cleanly, and nothing was started since.
    stopped_cleanly: bool,
}

/// A process.
struct Life {
    process: Process,
    home: Arc<DataDir>,
    flusher: Flusher,
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
        };
        for _ in 0..run.random.random_range(1..4) {
            run.add_partition();
        }
        run
    }

    fn add_partition(&mut self) {
        let number = u32::try_from(self.partitions.len()).expect("there are few");
        let at = TopicPartition { topic: TopicId::from_random([9; 16]), partition: PartitionIndex(number) };
        let LogConfig { producer_count_max: count_max, producer_idle_ms: idle_ms, .. } = self.config;
        self.partitions.push(Partition::new(at, ProducerLimits { count_max, idle_ms }, self.story.clone()));
    }

    fn note(&self, tell: &str) {
        self.story.note(tell, &[], || tell.to_owned());
    }

    fn has_ended(&self) -> bool {
        self.disk.is_crashed() || self.life.as_ref().is_none_or(|life| life.process.has_ended())
    }

    /// Starts a process, again and again until one stays.
    fn start(&mut self) {
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
                    assert!(self.excused || trouble || self.disk.is_crashed(), "a start failed without a fault: {reason}");
                    self.heal();
                }
            }
        }
    }

    /// Ends the process or cuts the power, whichever is left to do; a machine that is off comes back.
    fn end_life(&mut self) {
        let power_cut = self.disk.is_crashed() || self.random.random();
        self.note(if power_cut { "POWER CUT, and back" } else { "PROCESS KILLED" });
        if power_cut {
            self.disk.crash();
        } else {
            self.disk.kill();
        }
        self.life = None;
        self.partitions.iter_mut().for_each(|partition| partition.desk = None);
    }

    fn heal(&mut self) {
        self.disk.clear_faults();
        self.disk.set_capacity_bytes(1 << 40);
        self.excused = false;
    }

    fn try_start(&mut self, trouble: bool) -> Result<(), String> {
        self.note("START");
        let process = Process::new(self.disk.clone(), self.story.clone());
        if trouble {
            self.plan_trouble(&process, 25);
        }
        let latched = Latched::new(Arc::new(process.clone()), ROOT, Arc::new(self.clock.clone()));
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let home = DataDir::open(latched, clock, Path::new(ROOT), Expected::default(), self.config.clone());
        let stopped_cleanly = std::mem::replace(&mut self.stopped_cleanly, false);
        let home = home.map_err(|error| error.to_string())?;
        assert!(home.found().clean || !stopped_cleanly || self.excused, "a clean stop was forgotten");
        assert!(home.found().points_lost.is_none() || self.excused, "recovery points: {:?}", home.found());
        assert!(home.found().strays.is_empty(), "strays: {:?}", home.found().strays);
        home.raise_generation().map_err(|error| error.to_string())?;
        let flusher = Flusher::new(Arc::clone(&home));
        self.life = Some(Life { process, home, flusher });
        for index in 0..self.partitions.len() {
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
            (Existence::Sure, Step::Delete) if !there => {
                partition.model.existence = Existence::Gone;
                return Ok(());
            }
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
                assert!(!clean || report.scanned_bytes == 0, "{at}: read after a clean stop: {report:?}");
                let excused = self.excused || trouble || self.disk.is_crashed();
                partition.check_opened(&log, &report, &mut self.random, excused);
                partition.attach(&life.home, &life.flusher, log);
            }
        }
        Ok(())
    }

    /// One operation, drawn.
    fn operate(&mut self) {
        let index = self.random.random_range(0..self.partitions.len());
        match self.random.random_range(0..100) {
            0..44 => self.append(index),
            44..64 => self.flush(),
            64..70 => self.commit(index),
            70..72 => self.roll(index),
            72..76 => self.cut(index),
            76..78 => self.start_over(index),
            78..81 => self.advance_start(index),
            81..85 => self.pass_time(),
            85..88 => self.partitions[index].read(&mut self.random, self.excused),
            88..91 => self.plan_fault(15),
            91 => self.close(index),
            92 => self.delete(index),
            93 => self.limit_room(),
            94 => self.stop_cleanly(),
            95..98 => {
                let life = self.life.as_ref().expect("operations happen while a process runs");
                self.random_end(&life.process.clone(), 30);
            }
            _ => self.end_now(),
        }
    }

    fn append(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        if !partition.takes_batches() {
            return self.mend(index);
        }
        let flusher = &self.life.as_ref().expect("operations happen while a process runs").flusher;
        for _ in 0..self.random.random_range(1..4) {
            if self.random.random_ratio(1, 12) {
                partition.model.epoch += 1;
            }
            let now_ms = self.clock.wall_ms();
            let batch = batches::draw(&partition.model, &mut self.random, now_ms);
            if (batch.length() as u64) <= partition.room_bytes() {
                partition.append(flusher, batch);
            } else if !partition.desk.as_ref().is_some_and(|desk| desk.securing) {
                partition.submit(flusher, LogWork::Secure { bytes: batch.length() as u64 });
            }
        }
        self.clock.advance(Duration::from_millis(self.random.random_range(0..40)));
    }

    /// A log that failed goes on after a cut, or a start-over, whichever was under way.
    fn mend(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        let flusher = &self.life.as_ref().expect("operations happen while a process runs").flusher;
        if !partition.desk.as_ref().is_some_and(|desk| desk.failed) {
            return;
        }
        let committed_end = partition.model.committed_end;
        let work = match partition.model.step.clone() {
            Step::None => {
                let to = partition.model.end();
                partition.model.step = Step::Cut { to };
                LogWork::Cut { to, committed_end }
            }
            Step::Cut { to } => LogWork::Cut { to, committed_end },
            Step::StartOver { at, producers } => LogWork::StartOver { at, producers },
            Step::Close | Step::Delete => return,
        };
        self.story.note("mend", &[], || format!("  [{index}] mend: {work:?}"));
        partition.submit(flusher, work);
        self.flush();
    }

    fn flush(&mut self) {
        let life = self.life.as_ref().expect("operations happen while a process runs");
        let outcome = life.flusher.flush_once(Duration::ZERO);
        self.story.note("flush", &[], || format!("flush: {outcome:?}"));
        let ended = life.process.has_ended() || self.disk.is_crashed();
        let latched = matches!(outcome, FlushOutcome::Latched(_));
        assert!(!latched || self.excused || ended, "latched without a fault: {outcome:?}");
        for partition in &mut self.partitions {
            partition.hear(self.excused || ended);
        }
        if latched && !ended && self.random.random_ratio(1, 2) {
            self.end_now();
        }
    }

    fn commit(&mut self, index: usize) {
        let model = &mut self.partitions[index].model;
        if matches!(model.step, Step::None) && model.committed_end < model.durable_end {
            let end = Offset(self.random.random_range(model.committed_end.0..=model.durable_end.0));
            model.committed_end = end;
            self.submit(index, LogWork::Committed { end });
        }
    }

    fn submit(&mut self, index: usize, work: LogWork) {
        self.story.note("submit", &[index as u64], || format!("  [{index}] submit {work:?}"));
        let flusher = &self.life.as_ref().expect("operations happen while a process runs").flusher;
        self.partitions[index].submit(flusher, work);
    }

    fn roll(&mut self, index: usize) {
        if self.partitions[index].takes_batches() && !self.partitions[index].desk.as_ref().is_some_and(|desk| desk.securing) {
            self.submit(index, LogWork::Roll);
        }
    }

    fn cut(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        if partition.desk.is_none() || !matches!(partition.model.step, Step::None) {
            return;
        }
        let (committed, end) = (partition.model.committed_end.0, partition.model.end().0);
        let least = if self.random.random_ratio(1, 10) { 0 } else { committed };
        let to = Offset(self.random.random_range(least..=end + 1));
        partition.model.step = Step::Cut { to };
        self.submit(index, LogWork::Cut { to, committed_end: Offset(committed) });
    }

    fn start_over(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        if partition.desk.is_none() || !matches!(partition.model.step, Step::None) {
            return;
        }
        let at = Offset(self.random.random_range(0..partition.model.end().0 + 20));
        // The memory that a leader sends is of batches below `at`; this log's own is as good as any.
        let producers = partition.model.producers_below(at);
        partition.model.step = Step::StartOver { at, producers: producers.clone() };
        self.submit(index, LogWork::StartOver { at, producers });
    }

    fn advance_start(&mut self, index: usize) {
        let model = &mut self.partitions[index].model;
        if matches!(model.step, Step::None) && model.start_asked < model.committed_end {
            let to = Offset(self.random.random_range(model.start_asked.0..=model.committed_end.0));
            model.start_asked = to;
            self.submit(index, LogWork::AdvanceStart { to });
        }
    }

    fn pass_time(&mut self) {
        self.clock.advance(Duration::from_millis(self.random.random_range(1..1_500)));
    }

    fn close(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        if partition.desk.is_none() || !matches!(partition.model.step, Step::None) {
            return;
        }
        partition.model.step = Step::Close;
        self.submit(index, LogWork::Close);
        self.flush();
        self.reopen(index);
    }

    /// Opens a log that was closed, in the same process.
    fn reopen(&mut self, index: usize) {
        let Some(life) = &self.life else { return };
        let partition = &mut self.partitions[index];
        if partition.desk.is_some() || partition.model.existence == Existence::Gone {
            return;
        }
        match Log::open(&life.home, partition.model.at) {
            Ok((log, report)) => {
                let excused = self.excused || self.disk.is_crashed() || life.process.has_ended();
                partition.check_opened(&log, &report, &mut self.random, excused);
                partition.attach(&life.home, &life.flusher, log);
            }
            Err(error) => {
                self.story.note("not reopened", &[], || format!("not opened again: {error}"));
                assert!(self.excused || self.has_ended(), "{error}");
                self.end_now();
            }
        }
    }

    fn delete(&mut self, index: usize) {
        if self.partitions[index].desk.is_none() || !matches!(self.partitions[index].model.step, Step::None) {
            return;
        }
        self.partitions[index].model.step = Step::Delete;
        self.submit(index, LogWork::Delete);
        if self.partitions.len() < 5 {
            self.add_partition();
            let (life, partition) = (self.life.as_ref(), self.partitions.last_mut());
            let (Some(life), Some(partition)) = (life, partition) else { return };
            if let Ok(log) = Log::create(&life.home, partition.model.at) {
                partition.model.existence = Existence::Sure;
                partition.attach(&life.home, &life.flusher, log);
            }
        }
    }

    fn plan_fault(&mut self, nth_max: u64) {
        const OPERATIONS: [Operation; 12] = [
            Operation::Open,
            Operation::Create,
            Operation::Read,
            Operation::Write,
            Operation::Write,
            Operation::Allocate,
            Operation::Sync,
            Operation::Sync,
            Operation::SyncDir,
            Operation::Rename,
            Operation::Remove,
            Operation::List,
        ];
        const ERRORS: [FaultError; 4] =
            [FaultError::Io, FaultError::StorageFull, FaultError::TooManyFiles, FaultError::ReadOnly];
        let operation = OPERATIONS[self.random.random_range(0..OPERATIONS.len())];
        let error = ERRORS[self.random.random_range(0..ERRORS.len())];
        let nth = self.random.random_range(1..=nth_max);
        self.story.note("fault", &[nth], || format!("planned: {operation} number {nth} from now fails with {error:?}"));
        self.disk.inject(Fault::once(operation, nth, error));
        self.excused = true;
    }

    fn limit_room(&mut self) {
        let root = Path::new(ROOT);
        let (Ok(free), Ok(total)) = (self.disk.free_bytes(root), self.disk.total_bytes(root)) else { return };
        let capacity = total - free + self.random.random_range(0..40_000);
        self.story.note("room", &[capacity], || format!("the disk holds {capacity} bytes from now on, {} are used", total - free));
        self.disk.set_capacity_bytes(capacity);
        self.excused = true;
    }

    fn stop_cleanly(&mut self) {
        let life = self.life.as_ref().expect("operations happen while a process runs");
        let stopped = life.flusher.shutdown();
        self.story.note("stop", &[u64::from(stopped.is_ok())], || format!("clean stop: {stopped:?}"));
        let ended = self.has_ended();
        for partition in &mut self.partitions {
            partition.hear(self.excused || ended);
        }
        match stopped {
            Ok(()) => self.expect_all_durable(),
            Err(error) => assert!(self.excused || ended, "a clean stop failed without a fault: {error}"),
        }
        self.start();
    }

    fn expect_all_durable(&mut self) {
        let failed = |partition: &Partition| partition.desk.as_ref().is_some_and(|desk| desk.failed);
        self.stopped_cleanly = !self.partitions.iter().any(failed);
        for partition in self.partitions.iter().filter(|partition| partition.desk.is_some() && !failed(partition)) {
            let (end, durable) = (partition.model.end(), partition.model.durable_end);
            assert_eq!(durable, end, "{}: durable after a clean stop", partition.model.at);
        }
        for partition in &mut self.partitions {
            partition.stopped_with_room = partition.room_bytes() > 0;
        }
    }

    /// Something that happens in the midst of the next changes.
    fn plan_trouble(&mut self, process: &Process, changes_max: u64) {
        match self.random.random_range(0..3) {
            0 => self.plan_fault(changes_max),
            _ => self.random_end(process, changes_max),
        }
    }

    fn random_end(&mut self, process: &Process, changes_max: u64) {
        let changes = self.random.random_range(0..changes_max);
        if self.random.random() {
            self.story.note("cut planned", &[changes], || format!("planned: power cut after {changes} changes"));
            self.disk.crash_after(changes);
        } else {
            self.story.note("kill planned", &[changes], || format!("planned: killed after {changes} changes"));
            process.end_after(changes);
        }
    }

    /// The process is killed or the power cut between two operations.
    fn end_now(&mut self) {
        if self.random.random() {
            self.disk.cut_power();
        }
        self.start();
    }

    /// Everything is healed; what was promised is there, now and after a clean stop.
    fn end_well(&mut self) {
        self.note("the end: all faults are over");
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
