//! One partition of the workload: its model, the log while a process runs, and the judgement of every event.

use std::sync::Arc;

use fidelog_log::{
    DataDir, Flusher, Log, LogHandle, LogView, LogWork, ProducerLimits, ProducerTable, ReadError,
    RecoveryReport,
};
use fidelog_record::types::{Offset, TopicPartition};
use fidelog_record::{Batches, PlacedBatch};
use rand::Rng;
use rand::rngs::StdRng;

use crate::model::{Existence, Model, Step};
use crate::recorder::{Heard, Recorder};
use fidelog_tests::story::Story;

/// A partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub model: Model,
    pub desk: Option<Desk>,
    /// The last clean stop left a segment to go on with, so that the next start reads nothing.
    pub stopped_with_room: bool,
    story: Story,
}

/// What the partition holds while its log is attached.
#[derive(Debug)]
pub(crate) struct Desk {
    pub handle: LogHandle,
    events: Arc<Recorder>,
    room_bytes: u64,
    pub securing: bool,
    /// The log said that it takes no more.
    pub failed: bool,
    /// A delete was refused, and is to be asked for again.
    pub delete_refused: bool,
}

impl Partition {
    pub(crate) fn new(at: TopicPartition, limits: ProducerLimits, story: Story) -> Self {
        Self { model: Model::new(at, limits), desk: None, stopped_with_room: false, story }
    }

    fn note(&self, name: &str, numbers: &[u64], tell: impl FnOnce() -> String) {
        self.story.note(name, numbers, || format!("  [{}] {}", self.model.at.partition, tell()));
    }

    pub(crate) fn attach(&mut self, home: &Arc<DataDir>, flusher: &Flusher, log: Log) {
        let events = Arc::new(Recorder::new(Arc::clone(home)));
        let room_bytes = log.room_bytes();
        let handle = flusher.attach(log, Arc::clone(&events) as _);
        self.desk =
            Some(Desk { handle, events, room_bytes, securing: false, failed: false, delete_refused: false });
    }

    /// Whether batches may be placed now.
    pub(crate) fn takes_batches(&self) -> bool {
        matches!(self.model.step, Step::None) && self.desk.as_ref().is_some_and(|desk| !desk.failed)
    }

    pub(crate) fn room_bytes(&self) -> u64 {
        self.desk.as_ref().map_or(0, |desk| desk.room_bytes)
    }

    pub(crate) fn submit(&mut self, flusher: &Flusher, work: LogWork) {
        let Some(desk) = &mut self.desk else { return };
        desk.securing |= matches!(work, LogWork::Secure { .. } | LogWork::Roll);
        flusher.submit(&desk.handle, work);
    }

    pub(crate) fn append(&mut self, flusher: &Flusher, batch: PlacedBatch) {
        let numbers = [batch.base_offset().0, batch.end_offset().0, batch.length() as u64];
        self.note("append", &numbers, || {
            let header = batch.header();
            let [base, end, bytes] = numbers;
            format!(
                "append {base}..{end}, {bytes} bytes, epoch {}, committed below {}, {:?}",
                header.leader_epoch, header.committed_below, header.producer
            )
        });
        let desk = self.desk.as_mut().expect("batches are placed while the log is attached");
        desk.room_bytes -= batch.length() as u64;
        self.model.submit(batch.clone());
        self.submit(flusher, LogWork::Append(vec![batch]));
    }

    /// Judges what was heard; `excused` when a fault was planned.
    pub(crate) fn hear(&mut self, excused: bool) {
        let Some(desk) = &self.desk else { return };
        for (heard, latched) in desk.events.take() {
            self.judge(heard, latched, excused);
        }
    }

    fn judge(&mut self, heard: Heard, latched: bool, excused: bool) {
        let at = self.model.at;
        // A new start was durable before the first file below it went, which is what may have failed since.
        let promise = matches!(heard, Heard::Durable(_) | Heard::Cut(_));
        assert!(!(promise && latched), "{at}: {heard:?} was reported after the data directory was latched");
        match heard {
            Heard::Secured(Ok(room)) => {
                let placed = self.model.batches().iter().filter(|batch| batch.base_offset() >= room.after);
                let used: u64 = placed.map(|batch| batch.length() as u64).sum();
                assert!(used <= room.bytes, "{at}: {room:?} is less than the {used} bytes placed since");
                let desk = self.desk.as_mut().expect("events come from an attached log");
                (desk.room_bytes, desk.securing) = (room.bytes - used, false);
                self.note("secured", &[room.bytes, room.after.0], || format!("{room:?}"));
            }
            Heard::Secured(Err(error)) => {
                let desk = self.desk.as_mut().expect("events come from an attached log");
                assert!(excused || desk.failed, "{at}: no room without a fault: {error}");
                desk.securing = false;
                self.note("refused", &[], || format!("no room: {error}"));
            }
            Heard::Durable(end) => self.hear_durable(end),
            Heard::Cut(done) => self.hear_cut(&done),
            Heard::Started(start) => {
                self.note("started", &[start.0], || format!("starts at {start}"));
                let (confirmed, asked) = (self.model.start_confirmed, self.model.start_asked);
                assert!(
                    confirmed <= start && start <= asked,
                    "{at}: start {start}, from {confirmed}, asked for {asked}"
                );
                self.model.start_confirmed = start;
            }
            Heard::Failed { refused: true, reason } => {
                self.note("cut refused", &[], || reason);
                let Step::Cut { to, permitted } = self.model.step else {
                    panic!("{at}: a cut was refused, none was asked for")
                };
                let committed_end = self.model.committed_end;
                let floor = permitted.map_or(committed_end, |permitted| permitted.min(committed_end));
                assert!(to < floor || self.model.batch_start(to) < floor);
                self.model.step = Step::None;
            }
            Heard::Failed { refused: false, reason } => {
                self.note("failed", &[], || format!("FAILED: {reason}"));
                assert!(excused, "{at}: the log failed without a fault: {reason}");
                self.desk.as_mut().expect("events come from an attached log").failed = true;
            }
            Heard::Closed(Ok(())) => self.hear_closed(),
            Heard::Closed(Err(reason)) => self.hear_not_closed(&reason, excused),
        }
    }

    fn hear_durable(&mut self, end: Offset) {
        let at = self.model.at;
        self.note("durable", &[end.0], || format!("durable below {end}"));
        assert!(
            end <= self.model.end() && self.model.is_boundary(end),
            "{at}: durable {end}, end {}",
            self.model.end()
        );
        assert!(end > self.model.durable_end, "{at}: durable went from {} to {end}", self.model.durable_end);
        self.model.durable_end = end;
    }

    fn hear_cut(&mut self, done: &fidelog_log::CutDone) {
        let at = self.model.at;
        self.note("cut done", &[done.end.0], || {
            format!("cut or started over, durably; ends at {}", done.end)
        });
        let failed = self.desk.as_ref().is_some_and(|desk| desk.failed);
        match std::mem::replace(&mut self.model.step, Step::None) {
            Step::Cut { to, .. } => {
                let to = if failed { to.min(self.model.durable_end) } else { to };
                assert_eq!(done.end, self.model.batch_start(to), "{at}: cut to {to}");
                self.model.end_at(done.end);
                self.model.committed_end = self.model.committed_end.min(done.end);
            }
            Step::StartOver { at: start, producers } => {
                assert_eq!(done.end, start, "{at}: started over");
                self.model.start_over(start, producers);
            }
            step => panic!("{at}: a cut was reported, {step:?} was asked for"),
        }
        self.model.check_epochs(&done.epochs, self.model.start_confirmed);
        self.model.check_producers(&done.producers);
        self.model.epoch += 1;
        let desk = self.desk.as_mut().expect("events come from an attached log");
        (desk.room_bytes, desk.failed) = (done.room_bytes, false);
    }

    fn hear_closed(&mut self) {
        let closing = std::mem::replace(&mut self.model.step, Step::None);
        self.note("closed", &[], || format!("closed, as {closing:?} asked"));
        match closing {
            Step::Delete => self.model.existence = Existence::Gone,
            Step::Close => {}
            step => panic!("{}: the log was let go of, {step:?} was asked for", self.model.at),
        }
        self.desk = None;
    }

    fn hear_not_closed(&mut self, reason: &str, excused: bool) {
        self.note("not closed", &[], || format!("not closed: {reason}"));
        assert!(excused, "{}: not closed without a fault: {reason}", self.model.at);
        let desk = self.desk.as_mut().expect("events come from an attached log");
        match self.model.step {
            Step::Delete => (desk.failed, desk.delete_refused) = (true, true),
            Step::Close => (self.desk, self.model.step) = (None, Step::None),
            ref step => panic!("{}: a close was refused, {step:?} was asked for", self.model.at),
        }
    }

    /// Judges a log that was opened, and takes over what it found.
    pub(crate) fn check_opened(
        &mut self,
        log: &Log,
        report: &RecoveryReport,
        random: &mut StdRng,
        excused: bool,
    ) {
        let at = self.model.at;
        self.note(
            "opened",
            &[report.start.0, report.end.0, report.committed_end.0, report.scanned_bytes],
            || format!("opened: {report:?}"),
        );
        let alarming = report.findings.iter().any(|finding| finding.case.is_alarming());
        assert!(!alarming && report.damage.is_empty(), "{at}: damage where none was planted: {report:?}");
        self.adopt_start_over(log, report);
        let (end, least, most) = (report.end, self.model.end_at_least(), self.model.end());
        assert!(
            end >= least,
            "{at}: acknowledged batches are lost: the log ends at {end}, acknowledged below {least}"
        );
        assert!(end <= most, "{at}: the log ends at {end}, submitted below {most}");
        let (confirmed, asked) = (self.model.start_confirmed, self.model.start_asked);
        assert!(
            confirmed <= report.start && report.start <= asked.max(confirmed),
            "{at}: start {}, {confirmed} was confirmed and {asked} asked for",
            report.start
        );
        self.model.end_at(end);
        self.model.start_confirmed = report.start;
        self.model.start_asked = report.start;
        self.model.step = Step::None;
        let view = log.view();
        assert_eq!((view.start(), view.durable_end(), view.written_end()), (report.start, end, end), "{at}");
        self.check_committed(report);
        self.model.check_epochs(log.epochs(), report.start);
        assert_eq!(view.epochs().entries(), log.epochs().entries(), "{at}");
        self.model.check_producers(log.producers());
        let checked = self.check_content(&view, random);
        checked.unwrap_or_else(|error| assert!(excused, "{at}: {error}"));
        self.model.epoch += 1;
        self.model.existence = Existence::Sure;
    }

    fn adopt_start_over(&mut self, log: &Log, report: &RecoveryReport) {
        let Step::StartOver { at, producers } = &self.model.step else { return };
        let done = report.start == *at && report.end == *at && log.epochs().entries().is_empty();
        if !done {
            return;
        }
        // An empty log that began there anyway need not have been touched.
        let untouched = self.model.end() == *at && self.model.batches().is_empty();
        if untouched && self.model.producers() == *log.producers() {
            return;
        }
        let given = if *at == Offset::ZERO { &ProducerTable::default() } else { producers };
        assert_eq!(log.producers(), given, "{}: started over, and remembers other producers", self.model.at);
        let (at, given) = (*at, given.clone());
        self.model.start_over(at, given);
    }

    fn check_committed(&mut self, report: &RecoveryReport) {
        let (at, found, told) = (self.model.at, report.committed_end, self.model.committed_end);
        assert!(
            found <= told && found <= report.end,
            "{at}: committed {found} of {}, told {told}",
            report.end
        );
        let known = self.model.committed_below(report.start, report.end);
        assert!(found >= known, "{at}: committed {found}, though a batch of the log says {known}");
        self.model.committed_end = found;
    }

    /// Reads everything, in steps of any size, and some places at random. The disk may still say no.
    fn check_content(&self, view: &LogView, random: &mut StdRng) -> Result<(), ReadError> {
        let (at, start, end) = (self.model.at, view.start(), view.written_end());
        let (mut next, mut bytes) = (start, Vec::new());
        while next < end {
            let outcome = served(view.read(next, random.random_range(1..3_000), Offset(u64::MAX)))?;
            assert!(outcome.next_offset > next, "{at}: a read at {next} stands still");
            for batch in Batches::new(outcome.batches.clone(), at) {
                batch.unwrap_or_else(|misfit| panic!("{at}: a misfit is served at {next}: {misfit}"));
            }
            bytes.extend_from_slice(&outcome.batches);
            next = outcome.next_offset;
        }
        assert_eq!(next, end, "{at}: reads end");
        assert!(
            bytes == self.model.bytes(start, end),
            "{at}: {start}..{end} reads differently from what was acknowledged"
        );
        self.check_place(view, random)?;
        self.check_place(view, random)
    }

    fn check_place(&self, view: &LogView, random: &mut StdRng) -> Result<(), ReadError> {
        let (at, start, end) = (self.model.at, view.start(), view.written_end());
        if start == end {
            return Ok(());
        }
        let from = Offset(random.random_range(start.0..end.0));
        let outcome = served(view.read(from, 1, Offset(u64::MAX)))?;
        assert_eq!(outcome.first_offset, self.model.batch_start(from), "{at}: read at {from}");
        assert_eq!(outcome.batches, self.model.bytes(from, from.plus(1)), "{at}: read at {from}");
        let batches = self.model.batches();
        let time_ms = batches[random.random_range(0..batches.len())].max_timestamp_ms();
        let found = served(view.offset_for_time(time_ms, Offset(u64::MAX)))?;
        assert_eq!(
            found,
            self.model.offset_for_time(time_ms, start, end),
            "{at}: first timestamp of {time_ms}"
        );
        Ok(())
    }

    /// Reads somewhere while the log is being written to.
    pub(crate) fn read(&self, random: &mut StdRng, excused: bool) {
        let Some(desk) = &self.desk else { return };
        let view = desk.handle.view();
        let from = Offset(random.random_range(0..self.model.end().0 + 2));
        match view.read(from, random.random_range(1..2_000), Offset(u64::MAX)) {
            Ok(outcome) => {
                let expected = self.model.bytes(from.max(outcome.first_offset), outcome.next_offset);
                let expected = if outcome.next_offset == from { Vec::new() } else { expected };
                assert!(
                    outcome.batches == expected,
                    "{}: {from} reads differently from what was submitted",
                    self.model.at
                );
            }
            Err(ReadError::OutOfRange { start, end, .. }) => {
                assert!(from < start || from > end, "{from}: {start}..{end}")
            }
            Err(error) => assert!(excused, "{}: reading {from}: {error}", self.model.at),
        }
    }
}

/// An answer, or the disk's error; nothing else may come from an undamaged log.
fn served<T>(answer: Result<T, ReadError>) -> Result<T, ReadError> {
    assert!(matches!(answer, Ok(_) | Err(ReadError::Disk(_))), "{}", answer.err().expect("it is no answer"));
    answer
}
