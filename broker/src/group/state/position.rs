//! One stored position, and how positions are listed.

use fidelog_record::types::{Generation, GroupName, LeaderEpoch, Offset, PartitionIndex, TopicId};
use serde::{Deserialize, Serialize};

use super::owner_name::OwnerName;

/// Where a group stands on one partition, and who may move it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The first offset not yet processed; `None`: none stored, which is not offset 0.
    pub offset: Option<Offset>,
    /// Epoch of the record before it; 0: unknown.
    pub leader_epoch: LeaderEpoch,
    /// Rises with every takeover and every reset; a commit that carries another one does not count.
    pub generation: Generation,
    /// Who took it over last, as it named itself; empty: nobody has.
    pub owner: OwnerName,
    /// When the offset was last stored, by a commit or a reset, Unix milliseconds of the owning broker; 0: never.
    pub committed_at_ms: u64,
}

/// A position and the partition it is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionPosition {
    /// The partition.
    pub partition: PartitionIndex,
    /// Where the group stands on it.
    pub position: Position,
}

/// All positions of a group on one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPositions {
    /// The topic; it may be gone by now.
    pub topic: TopicId,
    /// By partition, rising; at least one.
    pub positions: Vec<PartitionPosition>,
}

/// All positions of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPositions {
    /// The group.
    pub group: GroupName,
    /// By topic id, rising; at least one.
    pub topics: Vec<TopicPositions>,
}
