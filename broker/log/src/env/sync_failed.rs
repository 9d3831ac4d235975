//! The error of a sync inside a larger operation.

use std::io;
use std::path::PathBuf;

/// A sync that failed as a part of another operation ([`Disk::create_dir_all`](super::Disk::create_dir_all)), told
/// apart from a refusal of that operation: this one is final (R1). It travels inside an [`io::Error`] of its
/// source's kind.
#[derive(Debug, thiserror::Error)]
#[error("syncing directory {} failed: {source}; nothing in it may be believed any more", path.display())]
pub struct SyncFailed {
    /// The directory.
    pub path: PathBuf,
    /// What the disk said.
    pub source: io::Error,
}

impl From<SyncFailed> for io::Error {
    fn from(error: SyncFailed) -> Self {
        Self::new(error.source.kind(), error)
    }
}

impl SyncFailed {
    /// Whether `error` is one of these.
    pub(super) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}
