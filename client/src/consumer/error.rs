//! What ends a consumer's reading of a partition, and why a commit did not count.

use fidelog_record::batch::RecordsError;
use fidelog_record::types::Generation;

use crate::error::{Refusal, RequestError};

use super::batch::Unfit;

/// Why reading a partition ended. Others go on; what merely passes is retried and never shows here.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// The offset does not exist any more, or not yet: retention passed it, or it was never written.
    #[error(
        "partition {partition} holds offsets {start} to {end} (exclusive), not {offset}; choose one of these"
    )]
    OutOfRange {
        /// The partition.
        partition: u32,
        /// The offset wanted.
        offset: u64,
        /// The first offset still kept.
        start: u64,
        /// The first offset not yet committed.
        end: u64,
    },
    /// Its leader does not answer: told where reading ends at the end ([`crate::ConsumerBuilder::stop_at_end`]), which
    /// nobody else knows. Its records are there again once the leader is.
    #[error("partition {partition}: its leader does not answer: {cause}")]
    Unreachable {
        /// The partition.
        partition: u32,
        /// What was heard last.
        cause: String,
    },
    /// A broker refused, for a reason that waiting does not mend, or did not mend in time where reading ends at the end.
    #[error("partition {partition}: {refusal}")]
    Refused {
        /// The partition.
        partition: u32,
        /// Its words.
        refusal: Box<Refusal>,
    },
    /// What came was damaged, again and again, or was not what was asked for.
    #[error("partition {partition} at offset {offset}: {cause}")]
    Unfit {
        /// The partition.
        partition: u32,
        /// The offset wanted.
        offset: u64,
        /// What is wrong.
        cause: Unfit,
    },
    /// An undamaged batch whose records cannot be read.
    #[error("partition {partition}: {cause}")]
    Unreadable {
        /// The partition.
        partition: u32,
        /// What is wrong.
        cause: RecordsError,
    },
    /// Somebody else took over the group's position: this consumer is over.
    #[error("another reader took over group `{group}`, partition {partition}; this one must stop")]
    Fenced {
        /// The group.
        group: String,
        /// The partition.
        partition: u32,
    },
    /// A request of its own failed.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl ConsumeError {
    /// The partition it is about, if it is about one.
    #[must_use]
    pub fn partition(&self) -> Option<u32> {
        match self {
            Self::OutOfRange { partition, .. }
            | Self::Unreachable { partition, .. }
            | Self::Refused { partition, .. }
            | Self::Unfit { partition, .. }
            | Self::Unreadable { partition, .. }
            | Self::Fenced { partition, .. } => Some(*partition),
            Self::Request(_) => None,
        }
    }

    /// Waiting may mend it.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { refusal, .. } => refusal.awaits_mending(),
            _ => false,
        }
    }
}

/// Why a commit did not count.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Somebody else took over, or the position was reset: FENCED_GENERATION. The consumer is over.
    #[error(
        "another reader took over group `{group}`, partition {partition} (ours was generation {generation}); stop"
    )]
    Fenced {
        /// The group.
        group: String,
        /// The partition.
        partition: u32,
        /// The generation this consumer holds.
        generation: Generation,
    },
    /// The broker refused it for another reason.
    #[error("the commit of partition {partition} does not count: {refusal}")]
    Refused {
        /// The first partition refused.
        partition: u32,
        /// Its words.
        refusal: Box<Refusal>,
    },
    /// The consumer has no group.
    #[error("this consumer has no group; name one with `group`")]
    NoGroup,
    /// The partition is not one this consumer reads.
    #[error("this consumer does not read partition {partition}")]
    NotOurs {
        /// The partition.
        partition: u32,
    },
    /// The request failed. With an unknown outcome the commit may count; committing again does no harm.
    #[error(transparent)]
    Request(#[from] RequestError),
}
