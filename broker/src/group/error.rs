//! Why a call on positions was not answered with what it asked for.

use fidelog_record::types::{BrokerId, GroupName, LeaderEpoch, TopicPartition};

use super::state::LimitExceeded;

/// What is known of a call that was not carried out as asked (N16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It changed nothing and never will.
    Definite,
    /// It may have counted, or may still.
    Unknown,
}

/// Why a call failed. A commit that does not count is no failure of the call: see
/// [`CommitFate`](super::state::CommitFate).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PositionsError {
    /// Another broker owns the group, or nobody. Nothing was changed: the call may go to the owner.
    #[error("group positions {partition} are not owned by this broker; ask their leader")]
    NotOwner {
        /// The positions partition.
        partition: TopicPartition,
        /// Who leads it, as far as this broker knows.
        leader: Option<BrokerId>,
        /// In which epoch; 0: not known.
        epoch: LeaderEpoch,
    },
    /// The group has no stored position (on that topic). Nothing was changed.
    #[error("group {group} is not known here; open its positions first")]
    UnknownGroup {
        /// The group.
        group: GroupName,
    },
    /// A limit stands in the way. Nothing was changed.
    #[error(transparent)]
    LimitExceeded(#[from] LimitExceeded),
    /// The positions cannot be served now.
    #[error("group positions are unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
        /// Whether the same call may succeed later without anybody's help.
        retriable: bool,
        /// What became of the call.
        outcome: CallOutcome,
    },
}

impl PositionsError {
    /// This broker has no replica of the positions partition.
    pub(super) fn not_hosted(partition: TopicPartition) -> Self {
        Self::NotOwner { partition, leader: None, epoch: LeaderEpoch(0) }
    }

    /// Not now, and nothing was changed.
    pub(super) fn not_now(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retriable: true, outcome: CallOutcome::Definite }
    }

    /// Not until somebody helps, and nothing was changed.
    pub(super) fn broken(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retriable: false, outcome: CallOutcome::Definite }
    }

    /// It may have counted.
    pub(super) fn unknown(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retriable: true, outcome: CallOutcome::Unknown }
    }
}
