//! What the flusher tells a partition when something cannot be done.

use std::sync::Arc;

use fidelog_record::types::Offset;

use crate::env::LatchReason;
use crate::files::DiskError;

/// Why room was not secured. No offset was assigned: the answer to the producer is definite.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SecureError {
    /// The disk is full, or as good as.
    #[error(
        "the disk is full: {free_bytes} bytes are free, {needed_bytes} are needed and {limit_bytes} must stay free; free space or add a disk"
    )]
    DiskFull {
        /// Bytes free.
        free_bytes: u64,
        /// The low-water mark; 0 when the disk itself refused.
        limit_bytes: u64,
        /// Bytes asked for; 0 when the disk itself refused.
        needed_bytes: u64,
    },
    /// The disk failed in another way; the log goes on, without this room.
    #[error(transparent)]
    Disk(DiskError),
    /// The log takes nothing more until it is cut or started over.
    #[error("the log has failed; it goes on under a higher leader epoch")]
    Failed,
}

impl SecureError {
    pub(crate) fn from_disk(error: DiskError) -> Self {
        if error.is_full() {
            return Self::DiskFull { free_bytes: 0, limit_bytes: 0, needed_bytes: 0 };
        }
        Self::Disk(error)
    }
}

/// Why a log stopped. Batches placed and not yet durable are *unknown* from now on (N16).
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogFailure {
    /// Nothing is written to the data directory any more (R1).
    #[error("{0}")]
    Latched(Arc<LatchReason>),
    /// The disk failed for this log alone.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A cut below what is committed was asked for: refused, and an alarm (N5).
    #[error("a cut to {to} was refused: everything below {committed_end} is committed")]
    CutBelowCommitted {
        /// Where to.
        to: Offset,
        /// The committed end.
        committed_end: Offset,
    },
}
