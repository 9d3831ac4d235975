//! One flush, from the work taken to the events.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use fidelog_record::types::{Offset, TopicPartition};

use super::many::{store_many, sync_all};
use super::{
    Attached, FlushCounts, FlushOutcome, FlushTiming, LogEvents, LogWork, Owned, Queued, Room, tell_closed,
};
use crate::data_dir::DataDir;
use crate::env::Moment;
use crate::env::planted::{Planted, is_planted};
use crate::failure::{LogFailure, SecureError};
use crate::files::DiskError;
use crate::log::SegmentLimits;
use crate::mend::MendError;
use crate::producers::ProducerTable;
use crate::segment::OpenSegment;
use crate::steps::{CutDone, CutFloor};

/// One flush.
pub(super) struct Round<'a> {
    home: &'a Arc<DataDir>,
    owned: &'a mut Owned,
    counts: FlushCounts,
    timing: FlushTiming,
    /// Of several in one flush the greatest counts.
    starts: BTreeMap<TopicPartition, Offset>,
    /// Logs to be removed, with who hears of it.
    deletes: BTreeMap<TopicPartition, Weak<dyn LogEvents>>,
    /// Logs that had work: only they can have anything to write, sync or publish.
    touched: Vec<TopicPartition>,
    /// Logs that were cut or started over: their recovery points on disk still say that this is under way.
    stepped: Vec<TopicPartition>,
    /// Whether lowered recovery points are durable.
    points_written: bool,
}

impl<'a> Round<'a> {
    pub(super) fn new(home: &'a Arc<DataDir>, owned: &'a mut Owned) -> Self {
        let taken = home.clock().now();
        let timing = FlushTiming { taken, written: taken, synced: taken };
        Self {
            home,
            owned,
            counts: FlushCounts::default(),
            timing,
            starts: BTreeMap::new(),
            deletes: BTreeMap::new(),
            touched: Vec::new(),
            stepped: Vec::new(),
            points_written: true,
        }
    }

    pub(super) fn run(mut self, works: VecDeque<Queued>) -> FlushOutcome {
        self.counts.works = works.len();
        self.lower_points(&works);
        for item in works {
            self.take_in(item);
        }
        // In order, so that one seed gives one sequence of disk calls.
        self.touched.sort_unstable();
        self.touched.dedup();
        self.write_and_sync();
        self.end_steps();
        self.publish();
        self.finish_starts();
        self.finish_deletes();
        let points = self.owned.write_points_if_due(self.home);
        if let Err(error) = points
            && let Some(reason) = self.owned.after_error(self.home, &error)
        {
            return FlushOutcome::Latched(reason);
        }
        let latched = self.owned.tell_latch(self.home);
        latched.map_or(FlushOutcome::Flushed(self.counts), FlushOutcome::Latched)
    }

    fn take_in(&mut self, item: Queued) {
        match item {
            Queued::Attach(log, events) => {
                let replaced = self.owned.logs.insert(log.at, Attached { log: *log, events });
                assert!(replaced.is_none(), "a log is attached once");
            }
            Queued::Work(at, LogWork::Close, listener) => self.close(at, &listener),
            Queued::Work(at, LogWork::Delete, listener) => self.delete(at, listener),
            Queued::Work(at, work, _) => self.work(at, work),
        }
    }

    fn work(&mut self, at: TopicPartition, work: LogWork) {
        let Some(attached) = self.owned.logs.get_mut(&at) else { return };
        let failed = attached.log.failed || self.home.latched().is_some();
        if self.touched.last() != Some(&at) {
            self.touched.push(at);
        }
        match work {
            LogWork::Committed { end } => {
                attached.log.committed_end = attached.log.committed_end.max(end);
                self.owned.points.dirty = true;
            }
            LogWork::Configure { segment_bytes, segment_ms } => {
                attached.log.limits = SegmentLimits::within_bounds(segment_bytes, segment_ms);
            }
            LogWork::Append(_) if failed => {} // unknown, as `failed` said
            LogWork::Append(batches) => {
                for batch in batches {
                    self.counts.batches += 1;
                    self.counts.bytes += batch.length() as u64;
                    attached.log.stage(batch);
                }
            }
            LogWork::Secure { .. } | LogWork::Roll if failed => {
                attached.events.secured(Err(SecureError::Failed))
            }
            LogWork::Mend { answer, .. } if failed => (answer.0)(Err(MendError::Failed)),
            LogWork::Mend { mended, answer } => {
                (answer.0)(attached.log.take_mended(*mended));
                // Written at the end of this flush, as after a roll: until then a start takes the range for damaged.
                (self.owned.points.dirty, self.owned.points.rolled) = (true, true);
            }
            LogWork::Secure { bytes } => self.secure(at, bytes, false),
            LogWork::Roll => self.secure(at, 0, true),
            // Nothing is promised any more, not even that nothing had to be cut; every log is told why.
            LogWork::Cut { .. } | LogWork::StartOver { .. } if self.home.latched().is_some() => {}
            LogWork::Cut { to, committed_end, permitted } => self.cut(at, to, (committed_end, permitted)),
            LogWork::StartOver { at: start, producers } => self.start_over(at, start, producers),
            LogWork::AdvanceStart { to } if !failed => {
                let start = self.starts.entry(at).or_default();
                *start = to.max(*start);
            }
            LogWork::AdvanceStart { .. } => {}
            LogWork::Close | LogWork::Delete => {} // taken in elsewhere: they are answered for any log
        }
    }

    fn secure(&mut self, at: TopicPartition, bytes: u64, roll: bool) {
        let Some(attached) = self.owned.logs.get_mut(&at) else { return };
        let log = &mut attached.log;
        let segments_before = log.shared.state.read().segments.len();
        let room = match roll {
            true => log.roll(log.room_bytes()).map(|()| log.room_bytes()),
            false => log.secure(bytes),
        };
        self.owned.points.rolled |= log.shared.state.read().segments.len() > segments_before;
        self.owned.points.dirty = true;
        let after = log.staged_end;
        // When the error came from writing what was placed before, the end of this flush meets it again, and tells.
        attached.events.secured(room.map(|bytes| Room { bytes, after }));
    }

    /// Lowers the recovery points of everything that is about to be cut or started over, with one write: a change
    /// of leader may cut ten thousand logs at once.
    fn lower_points(&mut self, works: &VecDeque<Queued>) {
        if is_planted(Planted::CutNotDurable) {
            return;
        }
        let (mut lowered, mut stepping) = (false, false);
        for item in works {
            let Queued::Work(at, work, _) = item else { continue };
            let Some(attached) = self.owned.logs.get(at) else { continue };
            stepping |= matches!(work, LogWork::Cut { .. } | LogWork::StartOver { .. });
            lowered |= match work {
                LogWork::Cut { to, committed_end, permitted } => {
                    attached.log.lower_before_cut(*to, (*committed_end, *permitted))
                }
                // An error shows again when the step is taken.
                LogWork::StartOver { at: start, producers } => {
                    attached.log.note_start_over(*start, producers).unwrap_or(false)
                }
                _ => false,
            };
        }
        // An error shows again when the step is taken: it finds its point not yet written.
        let due = lowered || (stepping && self.home.points_unstored());
        self.points_written = !due || self.home.write_points().is_ok();
    }

    fn write_lowered(&mut self, lowered: bool) -> Result<(), DiskError> {
        let noted = is_planted(Planted::CutNotDurable);
        if !noted && (lowered || !self.points_written || self.home.points_unstored()) {
            self.home.write_points()?;
            self.points_written = true;
        }
        Ok(())
    }

    fn cut(&mut self, at: TopicPartition, to: Offset, floor: CutFloor) {
        let done = self.try_cut(at, to, floor);
        let Some(attached) = self.owned.logs.get_mut(&at) else { return };
        match done {
            Ok(done) => {
                if attached.log.forget_cut() {
                    self.stepped.push(at);
                }
                attached.events.cut(done);
            }
            Err(refused @ LogFailure::CutBelowCommitted { .. }) => {
                if attached.log.forget_cut() {
                    self.stepped.push(at);
                }
                attached.events.failed(&refused);
            }
            Err(failure) => self.fail(at, failure),
        }
        self.owned.points.dirty = true;
    }

    fn try_cut(&mut self, at: TopicPartition, to: Offset, floor: CutFloor) -> Result<CutDone, LogFailure> {
        let log = &mut self.owned.logs.get_mut(&at).expect("the caller has looked").log;
        if !log.failed {
            log.write_staged()?; // so that the cut sees one log
        }
        let Some((to, lowered)) = log.plan_cut(to, floor)? else {
            // The answer promises that the end is durable, so what was just written is synced first.
            log.settle()?;
            let durable_end = log.publish_durable();
            let Attached { log, events } = &self.owned.logs[&at];
            durable_end.into_iter().for_each(|durable_end| events.durable(durable_end, self.timing));
            return Ok(log.cut_done());
        };
        self.write_lowered(lowered)?;
        self.stepped.push(at);
        self.owned.logs.get_mut(&at).expect("the caller has looked").log.finish_cut(to)
    }

    fn start_over(&mut self, at: TopicPartition, start: Offset, producers: ProducerTable) {
        let Some(attached) = self.owned.logs.get_mut(&at) else { return };
        let noted = attached.log.note_start_over(start, &producers);
        let written = noted.and_then(|lowered| self.write_lowered(lowered));
        let Some(attached) = self.owned.logs.get_mut(&at) else { return };
        let done =
            written.map_err(LogFailure::from).and_then(|()| attached.log.finish_start_over(start, producers));
        match done {
            Ok(done) => {
                self.home.set_point(at, attached.log.recovery_point());
                self.stepped.push(at);
                attached.events.cut(done);
            }
            Err(failure) => self.fail(at, failure),
        }
    }

    /// Until this is durable, a start takes what follows in those logs for leftovers; so nothing appended since is
    /// published before.
    fn end_steps(&mut self) {
        let stepped = std::mem::take(&mut self.stepped);
        if stepped.is_empty() {
            return;
        }
        if let Err(error) = self.home.write_points() {
            for at in stepped {
                self.fail(at, error.clone().into());
            }
        }
    }

    fn close(&mut self, at: TopicPartition, listener: &Weak<dyn LogEvents>) {
        let ended = match self.owned.logs.remove(&at) {
            Some(attached) if !attached.log.failed => self.settle_for_good(at, attached),
            Some(failed) => {
                failed.log.note_synced();
                Ok(())
            }
            None => Ok(()),
        };
        tell_closed(listener, ended);
    }

    fn settle_for_good(&mut self, at: TopicPartition, mut attached: Attached) -> Result<(), LogFailure> {
        if let Some(reason) = self.home.latched() {
            return Err(LogFailure::Latched(reason)); // no sync before that counts any more
        }
        attached.log.settle()?;
        if let Some(durable_end) = attached.log.publish_durable() {
            attached.events.durable(durable_end, self.timing);
        }
        self.home.set_point(at, attached.log.recovery_point());
        self.owned.points.dirty = true;
        attached.log.store_for_clean_stop()?;
        self.home.note_proven(at);
        Ok(())
    }

    /// From here on nothing else is done to the log. It goes at the end of the flush, together with all others that do.
    fn delete(&mut self, at: TopicPartition, listener: Weak<dyn LogEvents>) {
        if let Some(attached) = self.owned.logs.get_mut(&at) {
            attached.log.failed = true;
        }
        self.deletes.insert(at, listener);
    }

    fn finish_deletes(&mut self) {
        let deletes = std::mem::take(&mut self.deletes);
        if deletes.is_empty() {
            return;
        }
        let removed = match self.home.latched() {
            Some(reason) => Err(LogFailure::Latched(reason)),
            None => self.home.remove_logs(deletes.keys().copied()).map_err(LogFailure::from),
        };
        for (at, listener) in deletes {
            if removed.is_ok() {
                self.owned.logs.remove(&at);
            }
            tell_closed(&listener, removed.clone());
        }
    }

    fn write_and_sync(&mut self) {
        let mut files: Vec<Arc<OpenSegment>> = Vec::new();
        let (mut epochs, mut failures) = (Vec::new(), Vec::new());
        for at in &self.touched {
            let Some(Attached { log, .. }) = self.owned.logs.get_mut(at) else { continue };
            if log.failed || (log.staged.is_empty() && !log.unsynced) {
                continue;
            }
            match log.write_staged() {
                Ok(()) => epochs.extend(log.epochs_to_store().map(|file| (*at, file))),
                Err(error) => failures.push((*at, error)),
            }
        }
        for (at, error) in store_many(self.home, &epochs) {
            match error {
                None => self.owned.logs.get_mut(&at).expect("it had epochs to store").log.epochs_stored(),
                Some(error) => failures.push((at, error)),
            }
        }
        for (at, error) in std::mem::take(&mut failures) {
            self.fail(at, error.into());
        }
        for at in &self.touched {
            let Some(Attached { log, .. }) = self.owned.logs.get_mut(at) else { continue };
            if log.failed {
                continue;
            }
            match log.file_to_sync() {
                Ok(file) => files.extend(file),
                Err(error) => failures.push((*at, error)),
            }
        }
        for (at, error) in failures {
            self.fail(at, error.into());
        }
        self.timing.written = self.now();
        self.counts.syncs = files.len();
        if self.home.latched().is_none() {
            // An error latches; whoever is told looks at the latch.
            sync_all(self.home, &files);
        }
        self.timing.synced = self.now();
    }

    fn publish(&mut self) {
        if self.home.latched().is_some() {
            return;
        }
        for at in &self.touched {
            let Some(attached) = self.owned.logs.get_mut(at) else { continue };
            let log = &mut attached.log;
            if log.failed || !log.unsynced {
                continue;
            }
            if let Some(durable_end) = log.publish_durable() {
                self.owned.points.dirty = true;
                attached.events.durable(durable_end, self.timing);
            }
        }
        self.owned.points.bytes += self.counts.bytes;
    }

    /// New starts are made durable with one write; then the files below them go.
    fn finish_starts(&mut self) {
        let mut planned = Vec::new();
        for (at, to) in std::mem::take(&mut self.starts) {
            let Some(attached) = self.owned.logs.get_mut(&at) else { continue };
            if attached.log.failed {
                continue; // its point may say that a cut or a start-over is under way
            }
            match attached.log.plan_start(to) {
                Ok(Some(to)) => planned.push((at, to)),
                Ok(None) => {}
                Err(error) => tracing::warn!(partition = %at, %error, "retention is put off"),
            }
        }
        if planned.is_empty() || self.home.latched().is_some() {
            return;
        }
        if let Err(error) = self.home.write_points() {
            tracing::warn!(%error, "retention is put off");
            return;
        }
        for (at, to) in planned {
            let Some(attached) = self.owned.logs.get_mut(&at) else { continue };
            if let Err(error) = attached.log.finish_start(to) {
                tracing::warn!(partition = %at, %error, "files below the start were left; the next start removes them");
            }
            attached.events.started(to);
        }
    }

    fn fail(&mut self, at: TopicPartition, failure: LogFailure) {
        let Some(attached) = self.owned.logs.get_mut(&at) else { return };
        if self.home.latched().is_some() {
            return; // every log is told at the end of the flush
        }
        attached.log.failed = true;
        tracing::error!(partition = %at, %failure, "a log has stopped");
        attached.events.failed(&failure);
    }

    fn now(&self) -> Moment {
        self.home.clock().now()
    }
}
