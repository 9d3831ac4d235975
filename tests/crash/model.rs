//! What must be true of one partition's log, kept beside it: every batch submitted, and how far it was promised.
//!
//! ```text
//!   base        start_confirmed   committed_end      durable_end         end
//!    | forgotten       | readable       |                 | may be lost     |
//! ---+-----------------+----------------+-----------------+-----------------+
//! ```
//!
//! Always true: what lies below `durable_end` was reported durable, by an event or by a completed recovery, and no
//! crash may take it; what lies between it and `end` may survive in part, as a prefix. A step that was asked for and
//! not answered (a cut, a start-over) may be found done or not done.

use fidelog_log::{EpochHistory, ProducerLimits, ProducerTable, Verdict};
use fidelog_record::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TopicPartition};
use fidelog_record::{PlacedBatch, ProducerStamp};

/// A durable step that was asked for and not answered yet.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    None,
    /// `permitted`: from here on also what is committed.
    Cut {
        to: Offset,
        permitted: Option<Offset>,
    },
    StartOver {
        at: Offset,
        producers: ProducerTable,
    },
    Close,
    Delete,
}

/// Whether the partition's directory is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existence {
    /// Being created: it may be.
    Begun,
    /// It must be.
    Sure,
    /// It must not be.
    Gone,
}

/// One partition's log as it must be.
#[derive(Debug)]
pub(crate) struct Model {
    pub at: TopicPartition,
    pub existence: Existence,
    /// Where the log began: 0, or where it was last started over.
    base: Offset,
    base_producers: ProducerTable,
    batches: Vec<PlacedBatch>,
    pub durable_end: Offset,
    pub start_confirmed: Offset,
    /// The greatest start that was asked for.
    pub start_asked: Offset,
    /// The greatest committed end the log was told.
    pub committed_end: Offset,
    pub epoch: u32,
    pub step: Step,
    producer_limits: ProducerLimits,
}

impl Model {
    pub(crate) fn new(at: TopicPartition, producer_limits: ProducerLimits) -> Self {
        Self {
            at,
            existence: Existence::Begun,
            base: Offset::ZERO,
            base_producers: ProducerTable::default(),
            batches: Vec::new(),
            durable_end: Offset::ZERO,
            start_confirmed: Offset::ZERO,
            start_asked: Offset::ZERO,
            committed_end: Offset::ZERO,
            epoch: 1,
            step: Step::None,
            producer_limits,
        }
    }

    /// Where the next batch goes.
    pub(crate) fn end(&self) -> Offset {
        self.batches.last().map_or(self.base, PlacedBatch::end_offset)
    }

    pub(crate) fn batches(&self) -> &[PlacedBatch] {
        &self.batches
    }

    pub(crate) fn submit(&mut self, batch: PlacedBatch) {
        assert_eq!(batch.base_offset(), self.end(), "the workload places batches one behind the other");
        self.batches.push(batch);
    }

    /// The base of the batch that holds `offset`; the end beyond it.
    pub(crate) fn batch_start(&self, offset: Offset) -> Offset {
        let after = self.batches.partition_point(|batch| batch.end_offset() <= offset);
        self.batches.get(after).map_or(self.end(), PlacedBatch::base_offset)
    }

    pub(crate) fn is_boundary(&self, offset: Offset) -> bool {
        offset == self.base || self.batches.binary_search_by_key(&offset, PlacedBatch::end_offset).is_ok()
    }

    /// The end that a crash now must leave at least.
    pub(crate) fn end_at_least(&self) -> Offset {
        match self.step {
            Step::Cut { to, .. } => self.durable_end.min(self.batch_start(to)),
            _ => self.durable_end,
        }
    }

    /// Everything from `end` on is gone for good, everything below is durable.
    pub(crate) fn end_at(&mut self, end: Offset) {
        assert!(self.is_boundary(end), "{}: the log ends at {end}, within a batch", self.at);
        self.batches.retain(|batch| batch.base_offset() < end);
        self.durable_end = end;
    }

    /// The log is empty and begins at `at`.
    pub(crate) fn start_over(&mut self, at: Offset, producers: ProducerTable) {
        self.batches.clear();
        self.base_producers = producers;
        (self.base, self.durable_end, self.start_confirmed, self.start_asked) = (at, at, at, at);
        self.committed_end = at;
    }

    /// The bytes of the batches from the one that holds `from`, below `end`.
    pub(crate) fn bytes(&self, from: Offset, end: Offset) -> Vec<u8> {
        let held = |batch: &&PlacedBatch| batch.end_offset() > from && batch.base_offset() < end;
        let mut bytes = Vec::new();
        for batch in self.batches.iter().filter(held) {
            let (head, body) = batch.parts();
            bytes.extend_from_slice(head);
            bytes.extend_from_slice(body);
        }
        bytes
    }

    /// The epochs of all batches since the log began, whatever retention forgot.
    pub(crate) fn epochs(&self) -> EpochHistory {
        let mut epochs = EpochHistory::default();
        for batch in &self.batches {
            epochs.append(batch.leader_epoch(), batch.base_offset()).expect("the workload's epochs rise");
        }
        epochs
    }

    /// Checks an epoch history of the log: every epoch that can be read from `start` on begins and ends where the batches
    /// say. What lies below `start` may be forgotten, or found again from the batches that are left: nobody reconciles
    /// there.
    pub(crate) fn check_epochs(&self, found: &EpochHistory, start: Offset) {
        let end = self.end();
        let readable = |history: &EpochHistory| -> Vec<(LeaderEpoch, Offset)> {
            let entries = history.entries();
            let ends = entries.iter().skip(1).map(|next| next.start).chain([end]);
            let reaching = entries.iter().zip(ends).filter(|(_, end)| *end > start);
            reaching.map(|(entry, _)| (entry.epoch, entry.start.max(start))).collect()
        };
        let whole = self.epochs();
        let fits = readable(&whole) == readable(found);
        assert!(
            fits,
            "{}: from {start} on, the log's epochs are {found:?}, the batches say {whole:?}",
            self.at
        );
    }

    /// What the batches say of producers.
    pub(crate) fn producers(&self) -> ProducerTable {
        self.producers_below(self.end())
    }

    /// What the batches that end at or below `end` say of producers; nothing if the log began beyond it.
    pub(crate) fn producers_below(&self, end: Offset) -> ProducerTable {
        if end < self.base {
            return ProducerTable::default();
        }
        let mut table = self.base_producers.clone();
        for batch in self.batches.iter().filter(|batch| batch.end_offset() <= end) {
            table.apply(batch.header());
        }
        table
    }

    /// Checks a producer table of the log. Idle producers count for nothing, whether forgotten or not.
    pub(crate) fn check_producers(&self, found: &ProducerTable) {
        let (mut found, mut expected) = (found.clone(), self.producers());
        found.expire(self.producer_limits.idle_ms);
        expected.expire(self.producer_limits.idle_ms);
        assert!(
            found == expected,
            "{}: the log remembers {found:?} of producers, the batches say {expected:?}",
            self.at
        );
    }

    /// A stamp for the next batch of `record_count` records by producer `id`: the sequence that may come next, or the
    /// first one of a new epoch. Producer 0 is not idempotent.
    pub(crate) fn stamp(&self, id: u64, new_epoch: bool, record_count: u32) -> ProducerStamp {
        if id == 0 {
            return ProducerStamp::NONE;
        }
        let mut last = None;
        for batch in self.batches.iter().rev() {
            let stamp = batch.header().producer;
            if stamp.id == ProducerId(id) {
                last = Some((stamp, batch.record_count()));
                break;
            }
        }
        let (epoch, next) =
            last.map_or((0, 0), |(stamp, count)| (stamp.epoch.0, stamp.base_sequence.0 + u64::from(count)));
        let (epoch, next) = if new_epoch { (epoch + 1, 0) } else { (epoch, next) };
        let table = self.producers();
        let stamp = |sequence| ProducerStamp {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(sequence),
        };
        let judged = |stamp| table.check(stamp, record_count, self.producer_limits) == Verdict::New;
        [stamp(next), stamp(0)].into_iter().find(|stamp| judged(*stamp)).unwrap_or(ProducerStamp::NONE)
    }

    /// The greatest `committed_below` of the batches below `end`.
    pub(crate) fn committed_below(&self, start: Offset, end: Offset) -> Offset {
        let kept =
            self.batches.iter().filter(|batch| batch.base_offset() < end && batch.end_offset() > start);
        kept.map(PlacedBatch::committed_below).max().unwrap_or_default()
    }

    /// Base of the first batch of `start..end` with a timestamp of at least `time_ms`.
    pub(crate) fn offset_for_time(&self, time_ms: u64, start: Offset, end: Offset) -> Option<Offset> {
        let mut kept =
            self.batches.iter().filter(|batch| batch.end_offset() > start && batch.base_offset() < end);
        kept.find(|batch| batch.max_timestamp_ms() >= time_ms).map(|batch| batch.base_offset().max(start))
    }

    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.epoch)
    }
}
