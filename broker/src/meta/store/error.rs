//! Why the store failed: the disk, damage, or the wrong store are three different things.

use std::io;
use std::path::PathBuf;

use fidelog_record::types::ClusterId;

use super::rewrite::is_full;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk. Unless it was only full, nothing in the store may be believed in this process any more.
    #[error("metadata store {}: {source}", path.display())]
    Io {
        /// The store's file.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// What it holds is not what was written, or was written by a version this one does not know. Nothing is removed.
    #[error(
        "metadata store {} cannot be read: {reason}; keep the file, and restore it from a copy or start the cluster's \
         recovery", path.display()
    )]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is no store.
    #[error("there is no metadata store {}; `fidelogd format` makes one, once", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is one already.
    #[error("metadata store {} exists already; it is not formatted again", path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// It is of a format this version does not read. Nothing is changed.
    #[error(
        "metadata store {} has format {found}, and this version reads format {known}; start the version that wrote it, \
         or keep this directory aside and format a new one", path.display()
    )]
    OtherFormat {
        /// The store's file.
        path: PathBuf,
        /// What it says.
        found: u64,
        /// What this version reads and writes.
        known: u64,
    },
    /// It belongs to another cluster.
    #[error("metadata store {} belongs to cluster {cluster}, expected was {expected}; check data_dir", path.display())]
    OtherCluster {
        /// The store's file.
        path: PathBuf,
        /// What it says.
        cluster: ClusterId,
        /// What was expected.
        expected: ClusterId,
    },
}

impl StoreError {
    /// Whether the disk only had no room: the store is as before once it is opened again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }

    pub(super) fn of_database(path: &std::path::Path, error: redb::Error) -> Self {
        let path = path.to_owned();
        match error {
            redb::Error::Io(source) => Self::Io { path, source },
            redb::Error::PreviousIo => {
                Self::Io { path, source: io::Error::other("an earlier call to the disk failed") }
            }
            other => Self::Damaged { path, reason: other.to_string() },
        }
    }
}
