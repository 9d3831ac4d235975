//! Why a record was not taken: it is handed back, and nothing of it was sent.

use std::sync::Arc;

use fidelog_record::Record;
use fidelog_record::batch::{PushError, RecordError};

use crate::error::Refusal;

/// Why a record was not taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendCause {
    /// Too many bytes wait for their answer, and the producer was asked not to wait.
    #[error("{bytes_max} bytes of records wait for their answer; slow down, or raise memory_bytes_max")]
    Full {
        /// The limit, `memory_bytes_max`.
        bytes_max: u32,
    },
    /// It is larger than the topic takes.
    #[error(
        "the record has {bytes} bytes in key, value and headers; the topic takes {bytes_max} (record_bytes_max)"
    )]
    RecordTooLarge {
        /// Its size.
        bytes: usize,
        /// The topic's limit.
        bytes_max: usize,
    },
    /// Its headers break a limit.
    #[error(transparent)]
    Headers(RecordError),
    /// Its time cannot be told beside those of the same batch.
    #[error("the record's time {timestamp_ms} cannot be told; use Unix milliseconds")]
    Timestamp {
        /// Its time.
        timestamp_ms: u64,
    },
    /// The topic has no such partition.
    #[error("the topic has no partition {partition}; it has {partition_count}, from 0")]
    UnknownPartition {
        /// The partition named.
        partition: u32,
        /// How many there are.
        partition_count: u32,
    },
    /// The producer was closed.
    #[error("the producer is closed; open another one")]
    Closed,
    /// Another instance took over this producer's identity.
    #[error("the producer was fenced and takes no more records ({0}); open another one")]
    Fenced(Arc<Refusal>),
}

impl From<PushError> for SendCause {
    fn from(error: PushError) -> Self {
        match error {
            PushError::RecordTooLarge { bytes, bytes_max } => Self::RecordTooLarge { bytes, bytes_max },
            // An empty batch is never full, and a record is pushed to an empty one before it is refused.
            PushError::Full { bytes, .. } => Self::RecordTooLarge { bytes, bytes_max: bytes },
            PushError::Timestamp { timestamp_ms, .. } => Self::Timestamp { timestamp_ms },
            PushError::Headers(error) => Self::Headers(error),
        }
    }
}

/// A record that was not taken, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .0.cause)]
pub struct SendError(Box<Returned>);

#[derive(Clone, Debug)]
struct Returned {
    record: Record,
    cause: SendCause,
}

impl SendError {
    pub(crate) fn new(record: Record, cause: SendCause) -> Self {
        Self(Box::new(Returned { record, cause }))
    }

    /// Why.
    #[must_use]
    pub fn cause(&self) -> &SendCause {
        &self.0.cause
    }

    /// The record, as it was handed over.
    #[must_use]
    pub fn into_record(self) -> Record {
        self.0.record
    }
}
