//! What applying an entry came to: the answer to whoever asked for it.

use fidelog_record::types::PartitionIndex;

use super::position::{PartitionPosition, Position};

/// The fate of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitFate {
    /// It counts, or a higher one of the same generation already did: this is the position in force.
    InForce(Position),
    /// It carries another generation than the position has now: it changed nothing.
    Fenced {
        /// The position in force, with its generation.
        current: Position,
    },
    /// The group has no position on this partition: never opened, or deleted since. Nothing was made.
    NotOpened,
}

/// One commit's partition and its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitResult {
    /// The partition.
    pub partition: PartitionIndex,
    /// What became of the commit.
    pub fate: CommitFate,
}

/// The answer that applying an entry gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The positions as taken over, in the order asked for.
    Opened(Vec<PartitionPosition>),
    /// What became of each commit, in the order given.
    Committed(Vec<CommitResult>),
    /// The positions as moved, in the order given.
    Reset(Vec<PartitionPosition>),
    /// How many positions were forgotten, at least 1.
    Deleted {
        /// How many.
        position_count: u64,
    },
    /// A commit or a deletion of a group that has no position at all, or none on the topic to delete.
    UnknownGroup,
    /// A record of a snapshot: nobody asked.
    Snapshot(SnapshotStep),
}

/// How far a snapshot in the log is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotStep {
    /// Right so far.
    Passing,
    /// Whole, and equal to the state: the log may begin with it.
    Whole,
    /// Not one to begin a log with: interrupted, or not equal to the state.
    Void,
}
