//! One broker's log as the machine sees it: a queue of work, what of it is written, and what is synced.
//!
//! ```text
//!   0 ....... written_count ....... durable_count is at most written_count
//!   placed:   everything the machine has submitted, in order; a crash keeps what is durable and perhaps some more
//! ```

use std::collections::VecDeque;

use fidelog_log::{CutDone, EpochHistory, ProducerTable, Room};
use fidelog_record::PlacedBatch;
use fidelog_record::types::Offset;

use super::random::Random;
use crate::partition::LogState;

/// Room that is granted at once: small, so that produces and pushes are often parked.
const ROOM_BYTES: u64 = 400;

#[derive(Debug)]
pub(super) enum Work {
    Append,
    Secure(u64),
    Cut { to: Offset, committed_end: Offset },
    StartOver { at: Offset, producers: ProducerTable },
    AdvanceStart(Offset),
    Committed(Offset),
}

/// What the machine is to hear.
#[derive(Debug)]
pub(super) enum Told {
    Secured(Result<Room, String>),
    Durable(Offset),
    Cut(CutDone),
    Started(Offset),
}

impl Told {
    pub(super) fn brief(&self) -> String {
        match self {
            Self::Cut(done) => format!("it was cut to {}", done.end),
            other => format!("{other:?}"),
        }
    }
}

/// What is forgotten at the front still counts in epochs and producers.
#[derive(Clone, Debug, Default)]
struct Before {
    start: Offset,
    epochs: EpochHistory,
    producers: ProducerTable,
}

#[derive(Debug, Default)]
pub(super) struct ModelLog {
    before: Before,
    /// First offset kept; may lie within the first batch.
    start: Offset,
    placed: Vec<PlacedBatch>,
    written_count: usize,
    durable_count: usize,
    work: VecDeque<Work>,
    room_bytes: u64,
    committed_end: Offset,
    /// What of `committed_end` a crash leaves.
    kept_committed_end: Offset,
    pub(super) disk_full: bool,
}

impl ModelLog {
    pub(super) fn start(&self) -> Offset {
        self.start
    }

    fn end_at(&self, count: usize) -> Offset {
        count.checked_sub(1).map_or(self.before.start, |last| self.placed[last].end_offset())
    }

    /// Where everything that was submitted ends.
    pub(super) fn end(&self) -> Offset {
        self.end_at(self.placed.len())
    }

    pub(super) fn durable_end(&self) -> Offset {
        self.end_at(self.durable_count)
    }

    pub(super) fn batches(&self) -> &[PlacedBatch] {
        &self.placed
    }

    /// Whole batches from the one at `from` on that end by `below`, at most `count_max`.
    pub(super) fn read(&self, from: Offset, below: Offset, count_max: usize) -> Vec<PlacedBatch> {
        let first = self.placed.partition_point(|batch| batch.base_offset() < from);
        let wanted = self.placed[first..].iter().take_while(|batch| batch.end_offset() <= below);
        wanted.take(count_max).cloned().collect()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.work.is_empty() && self.durable_count == self.placed.len()
    }

    pub(super) fn append(&mut self, batch: PlacedBatch) {
        assert_eq!(batch.base_offset(), self.end(), "an append leaves a hole in the log");
        let cutting = self.work.iter().any(|work| matches!(work, Work::Cut { .. } | Work::StartOver { .. }));
        assert!(!cutting, "an append was submitted behind a cut that is not durable");
        self.placed.push(batch);
        self.work.push_back(Work::Append);
    }

    pub(super) fn submit(&mut self, work: Work) {
        self.work.push_back(work);
    }

    /// Does the next work, if there is one; appends are written, not synced.
    pub(super) fn work(&mut self) -> Option<Option<Told>> {
        let told = match self.work.pop_front()? {
            Work::Append => {
                let bytes = self.placed[self.written_count].length() as u64;
                assert!(bytes <= self.room_bytes, "{bytes} bytes appended into room for {}", self.room_bytes);
                self.room_bytes -= bytes;
                self.written_count += 1;
                None
            }
            Work::Secure(_) if self.disk_full => Some(Told::Secured(Err("the disk is full".to_owned()))),
            Work::Secure(bytes) => {
                self.room_bytes = self.room_bytes.max(bytes.max(ROOM_BYTES));
                let after = self.end_at(self.written_count);
                Some(Told::Secured(Ok(Room { bytes: self.room_bytes, after })))
            }
            Work::Cut { to, committed_end } => {
                assert!(
                    to >= committed_end.max(self.committed_end),
                    "a cut to {to} passes what is committed"
                );
                let kept = self.placed.partition_point(|batch| batch.end_offset() <= to);
                self.keep(kept);
                Some(Told::Cut(self.cut_done()))
            }
            Work::StartOver { at, producers } => {
                self.before = Before { start: at, producers, ..Before::default() };
                (self.start, self.committed_end, self.kept_committed_end) = (at, at, at);
                self.keep(0);
                Some(Told::Cut(self.cut_done()))
            }
            // Recovery points must be written before anything is given up.
            Work::AdvanceStart(_) if self.disk_full => None,
            Work::AdvanceStart(to) => self.advance_start(to),
            Work::Committed(end) => {
                self.committed_end = self.committed_end.max(end);
                None
            }
        };
        Some(told)
    }

    fn keep(&mut self, count: usize) {
        assert_eq!(self.written_count, self.placed.len(), "appends were submitted behind a cut");
        self.placed.truncate(count);
        (self.written_count, self.durable_count) = (count, count);
        self.room_bytes = ROOM_BYTES;
    }

    fn cut_done(&self) -> CutDone {
        let LogState { epochs, producers, .. } = self.recovered();
        CutDone { end: self.end(), epochs, producers, room_bytes: self.room_bytes }
    }

    fn advance_start(&mut self, to: Offset) -> Option<Told> {
        let to = to.min(self.committed_end).min(self.durable_end());
        if to <= self.start {
            return None;
        }
        self.start = to;
        let gone = self.placed.partition_point(|batch| batch.end_offset() <= to);
        for batch in self.placed.drain(..gone) {
            self.before.epochs.append(batch.leader_epoch(), batch.base_offset()).unwrap();
            self.before.producers.apply(batch.header());
            self.before.start = batch.end_offset();
        }
        self.written_count -= gone;
        self.durable_count -= gone;
        Some(Told::Started(to))
    }

    /// What the batches below `end` say of producers; none where the log begins beyond.
    pub(super) fn producers_below(&self, end: Offset) -> Option<ProducerTable> {
        let mut producers = self.before.producers.clone();
        for batch in self.placed.iter().take_while(|batch| batch.end_offset() <= end) {
            producers.apply(batch.header());
        }
        (self.start <= end).then_some(producers)
    }

    /// Syncs what is written.
    pub(super) fn sync(&mut self) -> Option<Told> {
        let news = self.durable_count < self.written_count;
        self.durable_count = self.written_count;
        news.then(|| Told::Durable(self.durable_end()))
    }

    /// The recovery points are written.
    pub(super) fn keep_committed(&mut self) {
        self.kept_committed_end = self.committed_end;
    }

    /// The process ends: what was not synced may be gone, or not; what is found is synced again.
    pub(super) fn crash(&mut self, random: &mut Random) {
        self.work.clear();
        let kept = self.durable_count + random.below(self.written_count - self.durable_count + 1);
        self.placed.truncate(kept);
        (self.written_count, self.durable_count) = (kept, kept);
        let said = self.placed.iter().map(PlacedBatch::committed_below).max().unwrap_or_default();
        self.committed_end = self.kept_committed_end.max(said).max(self.start).min(self.end());
        self.kept_committed_end = self.committed_end;
        self.room_bytes = ROOM_BYTES;
    }

    /// The process ends, and the disk had lied: of what was synced a part is gone, too.
    pub(super) fn crash_lossily(&mut self, random: &mut Random) {
        self.crash(random);
        let least = self.placed.partition_point(|batch| batch.end_offset() <= self.start) + 1;
        let kept = least + random.below(1 + self.placed.len().saturating_sub(least));
        self.placed.truncate(kept);
        (self.written_count, self.durable_count) = (self.placed.len(), self.placed.len());
        self.committed_end = self.committed_end.min(self.end());
        self.kept_committed_end = self.committed_end;
    }

    /// What a start finds.
    pub(super) fn recovered(&self) -> LogState {
        let (mut epochs, mut producers) = (self.before.epochs.clone(), self.before.producers.clone());
        for batch in &self.placed {
            epochs.append(batch.leader_epoch(), batch.base_offset()).unwrap();
            producers.apply(batch.header());
        }
        epochs.advance_start(self.start);
        LogState {
            start: self.start,
            committed_end: self.committed_end,
            durable_end: self.durable_end(),
            end: self.end(),
            epochs,
            producers,
            room_bytes: self.room_bytes,
        }
    }
}
