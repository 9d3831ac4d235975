//! Cutting, starting over, and giving up old records: each *one durable step*, finished before anything is appended
//! or reported (DESIGN §5).
//!
//! The order within a step is what makes a crash in its midst harmless:
//!
//! ```text
//!  0 starting over: the memory of producers that came with it stored, so that 1 may promise it
//!  1 recovery point lowered, durable; it also says what is under way, so that a start after a crash finishes it
//!  2 later segments renamed aside, from the highest down; producer snapshots beyond removed; directory synced
//!  3 epochs lowered, producer state rewound
//!  4 a new segment, renamed into place: appends never go behind old bytes, so that these can never pass for new
//!    ones; from here on the file before it ends where this one begins
//!  5 recovery point raised, durable, before anything appended since is published
//! ```
//!
//! Without the note in the recovery point, a crash between two renames could leave a file as the last one that holds
//! bytes behind its end, cut long before, and a start would take them for the log.

use std::sync::Arc;

use fidelog_record::types::Offset;

use crate::damage;
use crate::env::planted::{Planted, is_planted};
use crate::epochs::EpochHistory;
use crate::failure::LogFailure;
use crate::files::DiskError;
use crate::log::Log;
use crate::producer_files;
use crate::producers::{ProducerSnapshot, ProducerTable};
use crate::recovery_points::RecoveryPoint;
use crate::segment::{Located, SEGMENT_HEADER_BYTES, Segment, SegmentFiles};
use crate::small_file;

/// What a cut must not go below: what is committed, unless an operator permitted to cut from an offset on (N5).
pub(crate) type CutFloor = (Offset, Option<Offset>);

/// Where a log stands after a cut or a start-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutDone {
    /// The end, and the durable end: at or below what was asked for, because batches are never split.
    pub end: Offset,
    /// The epochs that are left.
    pub epochs: EpochHistory,
    /// What is left of producers.
    pub producers: ProducerTable,
    /// Bytes of batches that may be appended now.
    pub room_bytes: u64,
}

impl Log {
    /// Notes a cut to come in the recovery point, in memory; tells whether that changed it. Whoever asks must go on
    /// to the cut, or take the note back ([`Self::forget_cut`]), in the same flush.
    pub(crate) fn lower_before_cut(&self, to: Offset, floor: CutFloor) -> bool {
        let committed_end = self.never_cut_below(floor);
        let needed = to < self.written_end && !self.failed;
        // Judged after rounding, as the cut is: a crash right now makes the next start finish what is noted here.
        needed && self.cut_place(to).is_ok_and(|to| to >= committed_end && self.lower_point(to))
    }

    /// Takes back the note of a cut that is not made; tells whether there was one.
    pub(crate) fn forget_cut(&self) -> bool {
        let noted = self.home.point(self.at).is_some_and(|point| point.cutting.is_some());
        noted && self.home.set_point(self.at, self.recovery_point())
    }

    /// First half of a cut: finds where, and lowers the recovery point in memory; tells whether that changed it. The
    /// caller then writes the points and calls [`Self::finish_cut`]. `None` when there is nothing to cut.
    pub(crate) fn plan_cut(
        &mut self,
        to: Offset,
        floor: CutFloor,
    ) -> Result<Option<(Offset, bool)>, LogFailure> {
        let committed_end = self.never_cut_below(floor);
        let refused = LogFailure::CutBelowCommitted { to, committed_end };
        if to < committed_end {
            return Err(refused);
        }
        // After a failed append nothing beyond the last good sync is believed.
        let to = if self.failed { to.min(self.durable_end()) } else { to };
        if to >= self.written_end && !self.failed {
            return Ok(None);
        }
        let to = self.cut_place(to)?;
        if to < committed_end {
            return Err(refused);
        }
        let lowered = self.lower_point(to);
        Ok(Some((to, lowered)))
    }

    /// No cut goes below this (N5).
    fn never_cut_below(&self, (committed_end, permitted): CutFloor) -> Offset {
        let committed_end = committed_end.max(self.committed_end);
        match is_planted(Planted::CutBelowCommitted) {
            true => Offset::ZERO,
            false => permitted.map_or(committed_end, |permitted| committed_end.min(permitted)),
        }
    }

    /// Where a cut to `offset` is made: batches are never split. Within damage nobody can say here where they begin, but
    /// whoever asks can, and nothing of the range is served anyway: it is cut right there, and what is left of it stays
    /// damaged. Rounded down instead, a range that spans the committed end could never be cut.
    fn cut_place(&self, offset: Offset) -> Result<Offset, DiskError> {
        match self.view().locate(offset)? {
            Some((_, Located::Batch(head))) => Ok(head.base),
            Some((segment, Located::Damage(range))) => {
                self.view().note_damage(&segment, range);
                Ok(offset)
            }
            Some((_, Located::End { .. })) | None => Ok(offset),
        }
    }

    /// The base of the batch that holds `offset`, or `offset` itself where none does.
    fn batch_start(&self, offset: Offset) -> Result<Offset, DiskError> {
        match self.view().locate(offset)? {
            Some((_, Located::Batch(head))) => Ok(head.base),
            Some((_, Located::Damage(range))) => Ok(range.start),
            Some((_, Located::End { .. })) | None => Ok(offset),
        }
    }

    fn lower_point(&self, to: Offset) -> bool {
        let mut point = self.home.point(self.at).unwrap_or_default();
        let state = self.shared.state.read();
        let segment_base = state.segments.iter().rev().map(|segment| segment.base).find(|base| *base <= to);
        point.cutting = Some(to);
        point.synced_end = point.synced_end.min(to);
        point.committed_end = point.committed_end.min(to);
        point.segment_base = segment_base.unwrap_or_default();
        point.position = 0; // the exact place is not worth a look: it only matters after a crash right now
        point.damage = damage::clip(&point.damage, to);
        drop(state);
        self.home.set_point(self.at, point)
    }

    /// Second half of a cut, the lowered recovery point being durable. Everything written and kept is synced before.
    pub(crate) fn finish_cut(&mut self, to: Offset) -> Result<CutDone, LogFailure> {
        if !self.failed {
            self.settle()?;
        }
        self.forget_staged();
        self.set_segments_aside(Some(to))?;
        let mut state = self.shared.state.write();
        state.durable_end = state.durable_end.min(to);
        state.written_end = to;
        state.damage = damage::clip(&state.damage, to);
        self.epochs.cut(to);
        state.epochs = Arc::new(self.epochs.clone());
        drop(state);
        self.shared.damage_changed();
        (self.written_end, self.staged_end) = (to, to);
        self.committed_end = self.committed_end.min(to);
        self.epochs_unstored = true;
        self.store_epochs()?;
        if !is_planted(Planted::ProducersNotRewound) {
            let (producers, whole) = producer_files::load(&self.view(), &self.directory, &self.home, to)?;
            (self.producers, self.producers_incomplete) = (producers, !whole);
        }
        self.start_empty_segment()?;
        self.shared.state.write().durable_end = to;
        self.home.set_point(self.at, self.recovery_point());
        (self.failed, self.unsynced) = (false, false);
        Ok(self.cut_done())
    }

    /// What a cut reports; also the answer when there was nothing to cut.
    pub(crate) fn cut_done(&self) -> CutDone {
        CutDone {
            end: self.written_end,
            epochs: self.epochs.clone(),
            producers: self.producers.clone(),
            room_bytes: self.room_bytes(),
        }
    }

    fn forget_staged(&mut self) {
        self.staged.clear();
        self.staged_bytes = 0;
        self.staged_end = self.written_end;
    }

    pub(crate) fn start_empty_segment(&mut self) -> Result<(), DiskError> {
        self.active = None;
        let room = self.home.config().growth_bytes_min.min(self.limits.segment_bytes) - SEGMENT_HEADER_BYTES;
        self.start_segment(room)
    }

    /// Moves segments beyond `to` aside, from the highest down, and ends the one that `to` lies in there; without
    /// `to`, moves all of them. One that begins at `to` is only copied: the next segment replaces it in one step, or
    /// bytes that an earlier cut left in the file before it would come back for a moment.
    fn set_segments_aside(&mut self, to: Option<Offset>) -> Result<(), DiskError> {
        let files = self.home.files().clone();
        self.active = None;
        loop {
            let last = self.shared.state.read().segments.last().cloned();
            let Some(last) = last.filter(|last| to.is_none_or(|to| last.base > to)) else { break };
            self.home.aside().take(&files, &last.files.log, self.at, last.base, "cut")?;
            remove_hints(&files, &last.files)?;
            self.shared.state.write().segments.pop();
        }
        if let Some(to) = to {
            producer_files::remove_beyond(&files, &self.directory, to)?;
        }
        files.sync_dir(&self.directory)?;
        let (Some(to), Some(last)) = (to, self.shared.state.read().segments.last().cloned()) else {
            return Ok(());
        };
        if last.base == to && last.end() > to {
            let file = files.open_read(&last.files.log)?;
            // What a disk has forgotten of it may be all: then the file ends before its batches would begin.
            let bytes = file.len()?;
            if bytes > SEGMENT_HEADER_BYTES {
                self.home.aside().keep_copy(
                    &files,
                    &file,
                    SEGMENT_HEADER_BYTES..bytes,
                    self.at,
                    to,
                    "cut",
                )?;
            }
        }
        // A new value, so that indexes of what was cut are forgotten; readers keep theirs.
        let mut state = self.shared.state.write();
        state.segments.pop();
        state.segments.push(Segment::sealed(&self.directory, last.base, to));
        Ok(())
    }

    /// First half of starting over: what is remembered of producers below `at` becomes durable; then the recovery point
    /// notes, in memory, that the step is under way; tells whether that changed it. So whoever finishes the step after a
    /// crash finds that memory. This log believes no snapshot without the epoch of a batch, and goes on as it was when
    /// the step does not come to be.
    pub(crate) fn note_start_over(&self, at: Offset, producers: &ProducerTable) -> Result<bool, DiskError> {
        if self.starts_over_at(at) {
            return Ok(false); // noted before
        }
        if at > Offset::ZERO {
            let path = SegmentFiles::new(&self.directory, at).producers;
            small_file::write(self.home.files(), &path, &ProducerSnapshot::sent(at, producers.clone()))?;
        }
        let point =
            RecoveryPoint { start: at, synced_end: at, starting_over: Some(at), ..RecoveryPoint::default() };
        Ok(self.home.set_point(self.at, point))
    }

    /// Whether it is noted that this log is to begin anew at `at`.
    pub(crate) fn starts_over_at(&self, at: Offset) -> bool {
        self.home.point(self.at).is_some_and(|point| point.starting_over == Some(at))
    }

    /// Second half: the log is empty and begins at `at`, with this memory of producers.
    pub(crate) fn finish_start_over(
        &mut self,
        at: Offset,
        producers: ProducerTable,
    ) -> Result<CutDone, LogFailure> {
        self.forget_staged();
        self.set_segments_aside(None)?;
        self.epochs = EpochHistory::default();
        let mut state = self.shared.state.write();
        (state.start, state.durable_end, state.written_end) = (at, at, at);
        state.epochs = Arc::default();
        state.damage.clear();
        drop(state);
        self.shared.damage_changed();
        (self.written_end, self.staged_end, self.committed_end) = (at, at, at);
        self.epochs_unstored = true;
        self.store_epochs()?;
        (self.producers, self.producers_incomplete) = (producers, false);
        if at > Offset::ZERO {
            self.store_snapshot()?;
        }
        // Only now: when a finished start-over is found unfinished, its snapshot must outlive a second crash.
        producer_files::remove_others(self.home.files(), &self.directory, at)?;
        self.start_empty_segment()?;
        (self.failed, self.unsynced) = (false, false);
        Ok(self.cut_done())
    }

    /// First half of giving up records below `to`: bounded by what is committed, rounded down to where a batch begins; stores the producer state that the
    /// remaining log begins with. `None` when nothing changes. The caller then writes the points.
    pub(crate) fn plan_start(&mut self, to: Offset) -> Result<Option<Offset>, DiskError> {
        let state = self.shared.state.read().clone();
        // A log that begins within a batch could never be matched by a refilled replica: batches are never split.
        let to = self.batch_start(to.min(self.committed_end).min(state.durable_end))?;
        if to <= state.start {
            return Ok(None);
        }
        let first = state.segments.iter().rev().map(|segment| segment.base).find(|base| *base <= to);
        if let Some(first) = first.filter(|first| *first > state.segments[0].base) {
            self.keep_snapshot_at(first)?;
        }
        let mut point = self.recovery_point();
        point.start = to;
        self.home.set_point(self.at, point);
        Ok(Some(to))
    }

    fn keep_snapshot_at(&self, end: Offset) -> Result<(), DiskError> {
        let path = SegmentFiles::new(&self.directory, end).producers;
        let stored_here = end >= self.snapshots_unproven_end;
        if stored_here && producer_files::is_usable(&self.home, &path, &self.epochs, end)? {
            return Ok(()); // stored and synced when the segment began
        }
        let (table, _) = producer_files::load(&self.view(), &self.directory, &self.home, end)?;
        let last_epoch = end.0.checked_sub(1).and_then(|last| self.epochs.epoch_at(Offset(last)));
        let snapshot = ProducerSnapshot { end, last_epoch: last_epoch.unwrap_or_default(), table };
        small_file::write(self.home.files(), &path, &snapshot)
    }

    /// Second half: the new start, durable by now, is published, and the files below it are removed. Views that
    /// hold them open go on reading.
    pub(crate) fn finish_start(&mut self, to: Offset) -> Result<(), DiskError> {
        self.epochs_unstored |= self.epochs.advance_start(to);
        let mut state = self.shared.state.write();
        state.start = to;
        state.epochs = Arc::new(self.epochs.clone());
        state.damage.retain(|(_, end)| *end > to);
        let kept = state.segments.iter().position(|segment| segment.end() > to || segment.is_active());
        let kept = kept.unwrap_or(state.segments.len().saturating_sub(1));
        let gone: Vec<_> = state.segments.drain(..kept).collect();
        drop(state);
        self.shared.damage_changed();
        if gone.is_empty() {
            return Ok(());
        }
        let files = self.home.files();
        for segment in &gone {
            remove_segment(files, &segment.files)?;
        }
        files.sync_dir(&self.directory)
    }
}

/// Removes all files of a segment that retention passed.
pub(crate) fn remove_segment(files: &crate::files::Files, names: &SegmentFiles) -> Result<(), DiskError> {
    files.remove_if_present(&names.log)?;
    files.remove_if_present(&names.producers)?;
    remove_hints(files, names)
}

fn remove_hints(files: &crate::files::Files, names: &SegmentFiles) -> Result<(), DiskError> {
    files.remove_if_present(&names.index)?;
    files.remove_if_present(&names.time)?;
    Ok(())
}
