//! What is remembered of producers, so that a resent batch is stored once (N17, D6).
//!
//! Always true: the table is a function of the batches below one offset and of nothing else; time in it is append
//! time, read from the log. Every replica that holds the same batches computes the same table. Pure.
//!
//! ```text
//!  one producer, sequences:   0 ........ first ......... next_sequence
//!                             |  stored,  |  remembered:  |
//!                             |  offset   |  sequence ->  |  may come next
//!                             |  forgotten|  offset       |
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use fidelog_record::types::limits::PRODUCER_WINDOW_BATCHES;
use fidelog_record::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use fidelog_record::{BatchHeader, ProducerStamp};
use serde::{Deserialize, Serialize};

use crate::small_file::{self, Stored};

/// What a leader does with a batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not stored yet, and next in order: place it. Also every batch without a producer id.
    New,
    /// Stored already: the receipt is these offsets, once they are committed.
    Duplicate {
        /// Offset of its first record.
        base_offset: Offset,
        /// Exclusive.
        end_offset: Offset,
    },
    /// Stored already, so long ago that its offsets are forgotten: ALREADY_STORED, once committed.
    AlreadyStored,
    /// Not next in order: OUT_OF_ORDER, definite.
    OutOfOrder {
        /// The sequence that may come next.
        expected: Sequence,
    },
    /// A newer epoch of this producer has been seen: FENCED, definite.
    Fenced {
        /// That epoch.
        current: ProducerEpoch,
    },
    /// Nothing is known of this producer here, and the batch is not its first: UNKNOWN_PRODUCER, definite.
    Unknown,
    /// As many producers are remembered as may be: refused, definite.
    TooMany {
        /// The bound.
        count_max: usize,
    },
}

/// What bounds a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerLimits {
    /// Producers remembered per partition.
    pub count_max: usize,
    /// A producer is forgotten when its last append lies this far behind the newest append of the log.
    pub idle_ms: u64,
}

/// A run of records whose sequences and offsets both follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Sequence, Offset, u64, u32)", into = "(Sequence, Offset, u64, u32)")]
struct Run {
    sequence: Sequence,
    offset: Offset,
    record_count: u64,
    batch_count: u32,
}

impl From<(Sequence, Offset, u64, u32)> for Run {
    fn from((sequence, offset, record_count, batch_count): (Sequence, Offset, u64, u32)) -> Self {
        Self { sequence, offset, record_count, batch_count }
    }
}

impl From<Run> for (Sequence, Offset, u64, u32) {
    fn from(run: Run) -> Self {
        (run.sequence, run.offset, run.record_count, run.batch_count)
    }
}

impl Run {
    fn sequence_end(&self) -> u64 {
        self.sequence.0.saturating_add(self.record_count)
    }
}

/// One producer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Producer {
    epoch: ProducerEpoch,
    next_sequence: Sequence,
    append_time_ms: u64,
    runs: Vec<Run>,
}

impl Producer {
    fn new(epoch: ProducerEpoch) -> Self {
        Self { epoch, next_sequence: Sequence(0), append_time_ms: 0, runs: Vec::new() }
    }

    fn judge(&self, base: Sequence, count: u64) -> Verdict {
        let end = base.0.saturating_add(count);
        if base == self.next_sequence {
            return Verdict::New;
        }
        if end > self.next_sequence.0 {
            return Verdict::OutOfOrder { expected: self.next_sequence };
        }
        let after = self.runs.partition_point(|run| run.sequence <= base);
        let run = after.checked_sub(1).map(|index| self.runs[index]).filter(|run| end <= run.sequence_end());
        run.map_or(Verdict::AlreadyStored, |run| {
            let base_offset = run.offset.plus(base.0 - run.sequence.0);
            Verdict::Duplicate { base_offset, end_offset: base_offset.plus(count) }
        })
    }

    fn note(&mut self, base: Sequence, offset: Offset, record_count: u64) {
        self.next_sequence = Sequence(base.0.saturating_add(record_count));
        match self.runs.last_mut() {
            Some(run)
                if run.sequence_end() == base.0
                    && run.offset.0.checked_add(run.record_count) == Some(offset.0)
                    && (run.batch_count as usize) < PRODUCER_WINDOW_BATCHES =>
            {
                run.record_count += record_count;
                run.batch_count += 1;
            }
            _ => self.runs.push(Run { sequence: base, offset, record_count, batch_count: 1 }),
        }
        self.forget_oldest();
    }

    /// Where its last batch ends.
    fn end(&self) -> Option<Offset> {
        self.runs.last().map(|run| run.offset.plus(run.record_count))
    }

    /// The runs of both in one order; `None` where sequences and offsets do not rise together, because the producer
    /// began anew in between.
    fn runs_with(&self, other: &Self) -> Option<Vec<Run>> {
        let mut runs: Vec<Run> = self.runs.iter().chain(&other.runs).copied().collect();
        runs.sort_by_key(|run| run.sequence);
        let rises = |pair: &[Run]| {
            pair[0].sequence_end() <= pair[1].sequence.0
                && pair[0].offset.0.saturating_add(pair[0].record_count) <= pair[1].offset.0
        };
        runs.windows(2).all(rises).then_some(runs)
    }

    /// Takes in what another table says of the same producer, from batches that lie between this one's.
    fn remember(&mut self, other: &Self) {
        let merged = if self.epoch == other.epoch { self.runs_with(other) } else { None };
        match merged {
            Some(runs) => {
                self.next_sequence = self.next_sequence.max(other.next_sequence);
                self.runs.clear();
                runs.into_iter().for_each(|run| self.push(run));
            }
            // The later of two lives is the one that counts. So it is where the other is of batches that were known here
            // all along: what came after them stays known.
            None if self.end() < other.end() => *self = other.clone(),
            None => {}
        }
        self.append_time_ms = self.append_time_ms.max(other.append_time_ms);
    }

    fn push(&mut self, run: Run) {
        match self.runs.last_mut() {
            Some(last)
                if last.sequence_end() == run.sequence.0
                    && last.offset.0.checked_add(last.record_count) == Some(run.offset.0)
                    && last.batch_count.saturating_add(run.batch_count) as usize
                        <= PRODUCER_WINDOW_BATCHES =>
            {
                last.record_count += run.record_count;
                last.batch_count += run.batch_count;
            }
            _ => self.runs.push(run),
        }
        self.forget_oldest();
    }

    /// Drops the oldest run once the younger ones alone hold the whole window.
    fn forget_oldest(&mut self) {
        let Some(oldest) = self.runs.first() else { return };
        // Runs hold at most a window each, so only a list of two or more can be long enough.
        if self.runs.len() < 2 {
            return;
        }
        let all: usize = self.runs.iter().map(|run| run.batch_count as usize).sum();
        if all - oldest.batch_count as usize >= PRODUCER_WINDOW_BATCHES {
            self.runs.remove(0);
        }
    }
}

/// The producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerTable {
    producers: BTreeMap<ProducerId, Producer>,
    /// The newest append time seen; never goes back.
    append_time_ms: u64,
}

impl ProducerTable {
    /// How many producers are remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.producers.len()
    }

    /// Judges a batch of `record_count` records with this stamp, before it is placed.
    #[must_use]
    pub fn check(&self, stamp: ProducerStamp, record_count: u32, limits: ProducerLimits) -> Verdict {
        let ProducerStamp { id, epoch, base_sequence } = stamp;
        if id == ProducerId(0) {
            return Verdict::New;
        }
        let count_max = limits.count_max;
        match self.producers.get(&id).filter(|known| !self.is_idle(known, limits.idle_ms)) {
            None if base_sequence != Sequence(0) => Verdict::Unknown,
            None if self.producers.len() >= count_max && !self.producers.contains_key(&id) => {
                Verdict::TooMany { count_max }
            }
            None => Verdict::New,
            Some(known) if epoch < known.epoch => Verdict::Fenced { current: known.epoch },
            Some(known) if epoch > known.epoch => {
                Producer::new(epoch).judge(base_sequence, u64::from(record_count))
            }
            Some(known) => known.judge(base_sequence, u64::from(record_count)),
        }
    }

    /// The table as one broker sends it to another, with a checksum: what the log below `end` says.
    #[must_use]
    pub fn to_bytes(&self, end: Offset) -> Vec<u8> {
        small_file::encode(&ProducerSnapshot::sent(end, self.clone()))
    }

    /// A table that another broker sent for a log that is to begin at `end`.
    ///
    /// # Errors
    /// What does not fit: these are not the bytes of [`Self::to_bytes`], or those of another offset.
    pub fn from_bytes(bytes: &[u8], end: Offset) -> Result<Self, String> {
        let snapshot: ProducerSnapshot =
            small_file::decode(bytes, Path::new("what was sent")).map_err(|error| error.to_string())?;
        match snapshot.end == end {
            true => Ok(snapshot.table),
            false => Err(format!("a memory of producers below {} came for {end}", snapshot.end)),
        }
    }

    /// Takes in a batch that was placed. The log is believed, not judged: it says what was accepted.
    pub fn apply(&mut self, header: &BatchHeader) {
        self.append_time_ms = self.append_time_ms.max(header.append_time_ms);
        let ProducerStamp { id, epoch, base_sequence } = header.producer;
        if id == ProducerId(0) {
            return;
        }
        let producer = self.producers.entry(id).or_insert_with(|| Producer::new(epoch));
        // A sequence that goes back was accepted because the producer was idle: it begins anew, wherever the memory of
        // it was given back before and wherever it was not.
        if epoch != producer.epoch || base_sequence < producer.next_sequence {
            *producer = Producer::new(epoch);
        }
        producer.append_time_ms = self.append_time_ms;
        producer.note(base_sequence, header.base_offset, u64::from(header.record_count));
    }

    /// Takes in what `mended` says: batches that lie anywhere among those taken in before, which they were damaged for
    /// when this table was made.
    pub fn remember(&mut self, mended: &Self, idle_ms: u64) {
        self.append_time_ms = self.append_time_ms.max(mended.append_time_ms);
        for (id, theirs) in &mended.producers {
            let idle = self.is_idle(theirs, idle_ms);
            match self.producers.get_mut(id) {
                Some(known) => known.remember(theirs),
                None if idle => {}
                None => drop(self.producers.insert(*id, theirs.clone())),
            }
        }
    }

    /// Gives back the memory of idle producers. [`Self::check`] takes no notice of them anyway, so it changes no
    /// verdict but [`Verdict::TooMany`], and need not happen at the same batch on every replica.
    pub fn expire(&mut self, idle_ms: u64) {
        let oldest = self.append_time_ms.saturating_sub(idle_ms);
        self.producers.retain(|_, producer| producer.append_time_ms >= oldest);
    }

    /// Makes room for a new producer whose first batch would be appended at `append_time_ms`, by forgetting whoever is
    /// idle at that time; where that makes no room nobody is forgotten. So whoever is forgotten here is idle by the
    /// log's own times as soon as that batch is placed, which must follow at once.
    ///
    /// # Errors
    /// There is no room. The least append time, in ms, at which anybody remembered is idle: before it, asking again
    /// finds nothing.
    pub fn make_room(&mut self, limits: ProducerLimits, append_time_ms: u64) -> Result<(), u64> {
        let oldest = self.append_time_ms.max(append_time_ms).saturating_sub(limits.idle_ms);
        let times = || self.producers.values().map(|producer| producer.append_time_ms);
        if times().filter(|&time| time >= oldest).count() >= limits.count_max {
            let least = times().min().unwrap_or(u64::MAX);
            return Err(least.saturating_add(limits.idle_ms).saturating_add(1));
        }
        self.producers.retain(|_, producer| producer.append_time_ms >= oldest);
        Ok(())
    }

    fn is_idle(&self, producer: &Producer, idle_ms: u64) -> bool {
        producer.append_time_ms < self.append_time_ms.saturating_sub(idle_ms)
    }
}

/// A stored table: what the log below `end` says about producers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProducerSnapshot {
    /// Exclusive end of the batches it takes in.
    pub(crate) end: Offset,
    /// Epoch of the last of them, 0 when there is none: (epoch, offset) names one history of the log.
    pub(crate) last_epoch: LeaderEpoch,
    pub(crate) table: ProducerTable,
}

impl ProducerSnapshot {
    /// Of a log that begins at `end`: no batch of its own says this.
    pub(crate) fn sent(end: Offset, table: ProducerTable) -> Self {
        Self { end, last_epoch: LeaderEpoch(0), table }
    }
}

impl Stored for ProducerSnapshot {
    const KIND: &'static str = "producers";
    const VERSION: u32 = 1;

    fn is_sound(&self) -> bool {
        self.table.producers.values().all(|producer| {
            let ordered = producer.runs.windows(2).all(|pair| pair[0].sequence_end() <= pair[1].sequence.0);
            ordered && producer.runs.iter().all(|run| run.offset.0.checked_add(run.record_count).is_some())
        })
    }
}

#[cfg(test)]
#[path = "producers_tests.rs"]
mod tests;
