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
        "partition {partition} holds offsets {start} to {end}, not {offset}; choose where to go on, or say so \
         beforehand with when_out_of_range"
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
    /// A broker refused, for a reason that waiting does not mend.
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
