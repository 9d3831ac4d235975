//! Rebuilding the state from the log's start.
//!
//! ```text
//!  start = 0:  Complete (empty) ------------------------------------------> apply all
//!  start > 0:  Awaiting --begin--> Loading --parts, end--> Complete ------> apply the rest
//!                 ^                   |
//!                 +--- void ----------+
//! ```
//!
//! Always true: a log that was trimmed says nothing until a whole snapshot has been read; entries before it are
//! skipped, since the snapshot holds what they came to. A log that ends before that is an error, never an empty state.

use fidelog_record::types::{Generation, Offset};

use super::apply::ApplyError;
use super::entry::Entry;
use super::positions::PositionsState;
use super::snapshot::SnapshotReader;

/// A log that was trimmed and holds no whole snapshot: positions are missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the positions log begins at {start} and holds no whole snapshot up to {end}; refill this replica from another, or restore the partition"
)]
pub struct NoSnapshot {
    /// Its first offset.
    pub start: Offset,
    /// How far it was read.
    pub end: Offset,
}

/// A state that is being rebuilt.
#[derive(Debug)]
pub struct Replay {
    start: Offset,
    next: Offset,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Awaiting,
    Loading { reader: SnapshotReader, generation_last: Generation, loaded: PositionsState },
    Complete(PositionsState),
}

impl Replay {
    /// Before the first record of a log that begins at `start`.
    #[must_use]
    pub fn new(start: Offset) -> Self {
        let stage =
            if start == Offset::ZERO { Stage::Complete(PositionsState::empty()) } else { Stage::Awaiting };
        Self { start, next: start, stage }
    }

    /// The offset due.
    #[must_use]
    pub fn next(&self) -> Offset {
        self.next
    }

    /// Takes the entry at `offset`.
    ///
    /// # Errors
    /// When another offset was due.
    pub fn apply(&mut self, offset: Offset, entry: &Entry) -> Result<(), ApplyError> {
        if offset != self.next {
            return Err(ApplyError { expected: self.next, found: offset });
        }
        self.next = offset.plus(1);
        self.stage = match std::mem::replace(&mut self.stage, Stage::Awaiting) {
            Stage::Complete(mut state) => {
                state.apply(offset, entry)?;
                Stage::Complete(state)
            }
            incomplete => load(incomplete, offset, entry),
        };
        Ok(())
    }

    /// The state, once everything is read.
    ///
    /// # Errors
    /// When the log was trimmed and no whole snapshot came by.
    pub fn finish(self) -> Result<PositionsState, NoSnapshot> {
        match self.stage {
            Stage::Complete(state) => Ok(state),
            _ => Err(NoSnapshot { start: self.start, end: self.next }),
        }
    }
}

/// The next stage of a replay that has no state yet.
fn load(stage: Stage, offset: Offset, entry: &Entry) -> Stage {
    match (stage, entry) {
        (_, Entry::SnapshotBegin { as_of, generation_last }) => match SnapshotReader::begin(offset, *as_of) {
            Some(reader) => {
                Stage::Loading { loaded: PositionsState::empty(), reader, generation_last: *generation_last }
            }
            None => Stage::Awaiting,
        },
        (
            Stage::Loading { mut reader, generation_last, mut loaded },
            Entry::SnapshotPart { index, slices },
        ) => {
            let keep = |group: &_, topic, listed: &_| {
                loaded.restore(group, topic, listed);
                true
            };
            if reader.part(*index, slices, keep) {
                Stage::Loading { reader, generation_last, loaded }
            } else {
                Stage::Awaiting
            }
        }
        (
            Stage::Loading { reader, generation_last, loaded },
            Entry::SnapshotEnd { part_count, position_count },
        ) if reader.is_whole(*part_count, *position_count) => {
            Stage::Complete(loaded.restored(&reader, generation_last, offset))
        }
        _ => Stage::Awaiting,
    }
}
