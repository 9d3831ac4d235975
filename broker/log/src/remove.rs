//! Removing logs for good: only for a committed delete, or a committed removal of this replica (N14).
//!
//! ```text
//!  1 recovery points forgotten, one write for all: a point without a directory would say "lost"
//!  2 directories renamed into aside/, both ends synced: from here on the logs are gone
//!  3 their files unlinked, on a thread that nobody waits for; what is left of that is done at the next start
//! ```
//!
//! A full disk turns that around: a rename that finds no room would latch the directory, and the room for the points
//! may be what the logs hold. So their files go first, which is harmless: whether the delete is committed was settled
//! before, and it is asked for again until it is done. Views that hold files open go on reading.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use fidelog_record::types::{TopicId, TopicPartition};

use crate::data_dir::DataDir;
use crate::env::EntryKind;
use crate::files::DiskError;

/// Ending of a log's directory in `aside/` that is to be unlinked.
const DELETED: &str = ".deleted";
/// With less room than this no directory is renamed.
const RENAME_BYTES_MIN: u64 = 1 << 20;

impl DataDir {
    /// Removes logs; they are gone, durably, when this returns, and their files with the next [`Self::sweep_deleted`].
    /// After an error some may be left, or parts of them: to be asked for again.
    pub(crate) fn remove_logs(&self, gone: impl Iterator<Item = TopicPartition>) -> Result<(), DiskError> {
        let gone: Vec<TopicPartition> = gone.collect();
        let forgotten = gone.iter().fold(false, |forgotten, at| self.remove_point(*at) | forgotten);
        let stored = if forgotten || self.points_unstored() { self.write_points() } else { Ok(()) };
        let refused = match stored {
            Err(error) if !error.is_full() || self.latched().is_some() => return Err(error),
            stored => stored.is_err(),
        };
        let full = refused || self.files().free_bytes(self.root())? < RENAME_BYTES_MIN;
        let mut changed = BTreeSet::new();
        for &at in &gone {
            let directory = self.partition_path(at);
            if self.exists(&directory)? {
                if full {
                    self.unlink(&directory)?
                } else {
                    self.set_aside_deleted(at, &directory)?
                }
                changed.extend(directory.parent().map(Path::to_owned));
            }
        }
        if !changed.is_empty() && !full {
            self.files().sync_dir(self.aside().directory())?;
        }
        changed.iter().try_for_each(|topic| self.files().sync_dir(topic))?;
        if refused {
            self.write_points()?;
        }
        gone.into_iter().for_each(|at| self.note_proven(at));
        Ok(())
    }

    fn set_aside_deleted(&self, at: TopicPartition, directory: &Path) -> Result<(), DiskError> {
        let TopicPartition { topic, partition } = at;
        let name = format!("{:010}.{topic}.{partition}{DELETED}", self.aside().next_number());
        self.files().rename(directory, &self.aside().directory().join(name))
    }

    /// Unlinks the files of all logs that were removed. Slow: call it where blocking is allowed. Two at once are
    /// harmless.
    ///
    /// # Errors
    /// Whatever the disk says; what is left is unlinked by the next call, or the next start.
    pub fn sweep_deleted(&self) -> Result<(), DiskError> {
        let deleted = |entry: &crate::env::DirEntry| {
            entry.kind == EntryKind::Directory && entry.name.ends_with(DELETED)
        };
        for entry in self.files().list(self.aside().directory())?.into_iter().filter(deleted) {
            self.unlink(&self.aside().directory().join(entry.name))?;
        }
        Ok(())
    }

    /// Removes whatever of a deleted topic is left here, and its directory; durable, and unlinked, when this returns.
    /// Slow: call it where blocking is allowed. Logs of it that are open must have been deleted before.
    ///
    /// # Errors
    /// Whatever the disk says; to be asked for again.
    pub fn remove_topic(&self, topic: TopicId) -> Result<(), DiskError> {
        let left = self.partitions()?.into_iter().chain(self.partitions_with_points());
        let left: BTreeSet<_> = left.filter(|at| at.topic == topic).collect();
        self.remove_logs(left.into_iter())?;
        let directory: PathBuf = self.root().join("topics").join(topic.to_string());
        if self.exists(&directory)? {
            self.unlink(&directory)?;
            self.files().sync_parent(&directory)?;
        }
        self.sweep_deleted()
    }

    /// Whether this directory holds the partition's log, or what is left of it.
    #[must_use]
    pub fn holds(&self, at: TopicPartition) -> bool {
        self.point(at).is_some()
    }

    /// Removes whatever is left here of one partition; durable, and unlinked, when this returns. Slow: call it where
    /// blocking is allowed. Its log must not be open.
    ///
    /// # Errors
    /// Whatever the disk says; to be asked for again.
    pub fn remove_partition(&self, at: TopicPartition) -> Result<(), DiskError> {
        self.remove_logs(std::iter::once(at))?;
        self.sweep_deleted()
    }

    fn exists(&self, directory: &Path) -> Result<bool, DiskError> {
        match self.files().list(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            listed => listed.map(|_| true),
        }
    }

    fn unlink(&self, directory: &Path) -> Result<(), DiskError> {
        match self.files().remove_dir_all(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}
