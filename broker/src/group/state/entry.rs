//! What is logged: one change of positions, as asked for. Whether it counts is decided when it is applied.
//!
//! Always true: an entry carries every time it needs, so that applying it is the same everywhere. Generations are not
//! carried by what raises them: they follow from the log. Names of kinds and fields are stored for ever; a kind or a
//! field this version does not know is refused, and the owner that meets one stops.

use fidelog_record::types::{Generation, GroupName, LeaderEpoch, Offset, PartitionIndex, TopicId};
use serde::{Deserialize, Serialize};

use super::owner_name::OwnerName;
use super::position::PartitionPosition;

/// One commit of one partition's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// The partition.
    pub partition: PartitionIndex,
    /// The first offset not yet processed.
    pub offset: Offset,
    /// Epoch of the record before it; 0: unknown.
    pub leader_epoch: LeaderEpoch,
    /// The generation the committer was given when it opened the position.
    pub generation: Generation,
}

/// Where a reset moves one partition's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetTo {
    /// The partition.
    pub partition: PartitionIndex,
    /// The first offset to be processed next; may lie behind or ahead of the position.
    pub offset: Offset,
    /// Epoch of the record before it; 0: unknown.
    pub leader_epoch: LeaderEpoch,
}

/// Some of a group's positions on one topic, within a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotSlice {
    /// The group.
    pub group: GroupName,
    /// The topic.
    pub topic: TopicId,
    /// The positions.
    pub positions: Vec<PartitionPosition>,
}

/// One record of a positions partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// A reader takes positions over: their generation rises.
    Opened {
        /// The group; made when there is none.
        group: GroupName,
        /// The topic.
        topic: TopicId,
        /// Which partitions, each once.
        partitions: Vec<PartitionIndex>,
        /// Who takes them over.
        owner: OwnerName,
        /// When, Unix milliseconds.
        at_ms: u64,
    },
    /// A reader stores how far it got.
    Committed {
        /// The group.
        group: GroupName,
        /// The topic.
        topic: TopicId,
        /// Each partition once.
        commits: Vec<Commit>,
        /// When, Unix milliseconds.
        at_ms: u64,
    },
    /// Positions are moved anywhere; their generation rises.
    Reset {
        /// The group; made when there is none.
        group: GroupName,
        /// The topic.
        topic: TopicId,
        /// Each partition once.
        resets: Vec<ResetTo>,
        /// When, Unix milliseconds.
        at_ms: u64,
    },
    /// Positions are forgotten; their generations are never given again.
    Deleted {
        /// The group.
        group: GroupName,
        /// Only those on this topic; `None`: all.
        topic: Option<TopicId>,
    },
    /// A snapshot begins here: the state as applying everything below this record left it.
    SnapshotBegin {
        /// This record's own offset, as foreseen. Landed elsewhere, the snapshot is void.
        as_of: Offset,
        /// The last generation given.
        generation_last: Generation,
    },
    /// A piece of the snapshot.
    SnapshotPart {
        /// Its number, from 0.
        index: u32,
        /// What it holds.
        slices: Vec<SnapshotSlice>,
    },
    /// The snapshot is whole.
    SnapshotEnd {
        /// How many parts it has.
        part_count: u32,
        /// How many positions they hold.
        position_count: u64,
    },
}

impl Entry {
    /// How much of a log this entry is: the positions it names, at least 1.
    #[must_use]
    pub fn weight(&self) -> u64 {
        let named = match self {
            Self::Opened { partitions, .. } => partitions.len(),
            Self::Committed { commits, .. } => commits.len(),
            Self::Reset { resets, .. } => resets.len(),
            Self::SnapshotPart { slices, .. } => slices.iter().map(|slice| slice.positions.len()).sum(),
            Self::Deleted { .. } | Self::SnapshotBegin { .. } | Self::SnapshotEnd { .. } => 1,
        };
        named.max(1) as u64
    }
}
