//! The directory `aside/`: bytes that were cut from logs, kept for a while in case somebody asks.
//!
//! ```text
//!  aside/0000000042.<topic id>.<partition>.<base offset>.<what>      a file that was cut from a log
//!        0000000043.<topic id>.<partition>.deleted/                  a log that was removed, to be unlinked
//! ```
//!
//! Always true: numbers rise, and the oldest files go first when a bound is passed. Nothing here is ever read back
//! into a log.

use std::path::{Path, PathBuf};

use fidelog_record::types::{Offset, TopicPartition};
use parking_lot::Mutex;

use crate::env::EntryKind;
use crate::files::{DiskError, Files, StoredFile};
use crate::small_file::UNFINISHED;

/// What is kept aside, with its bounds.
#[derive(Debug)]
pub(crate) struct Aside {
    directory: PathBuf,
    bytes_max: u64,
    count_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    next: u64,
    /// Oldest first.
    files: std::collections::VecDeque<(String, u64)>,
}

impl Aside {
    /// Lists what is there, creating the directory.
    pub(crate) fn open(
        files: &Files,
        directory: PathBuf,
        bytes_max: u64,
        count_max: usize,
    ) -> Result<Self, DiskError> {
        files.create_dir_all(&directory)?;
        let mut kept = Kept::default();
        for entry in files.list(&directory)? {
            let number = entry.name.split('.').next().and_then(|number| number.parse::<u64>().ok());
            let Some(number) = number else { continue };
            kept.next = kept.next.max(number + 1);
            if entry.kind != EntryKind::File {
                continue;
            }
            let bytes = files.open_read(&directory.join(&entry.name))?.len()?;
            kept.files.push_back((entry.name, bytes));
        }
        Ok(Self { directory, bytes_max, count_max, kept: Mutex::new(kept) })
    }

    /// Moves `path`, a file of a log, here, and drops what is beyond the bounds. The caller syncs the directory it
    /// came from.
    pub(crate) fn take(
        &self,
        files: &Files,
        path: &Path,
        partition: TopicPartition,
        base: Offset,
        what: &str,
    ) -> Result<PathBuf, DiskError> {
        let bytes = files.open_read(path)?.len()?;
        let mut kept = self.kept.lock();
        let number = kept.next;
        kept.next += 1;
        let TopicPartition { topic, partition } = partition;
        let name = format!("{number:010}.{topic}.{partition}.{:020}.{what}", base.0);
        let target = self.directory.join(&name);
        files.rename(path, &target)?;
        kept.files.push_back((name, bytes));
        self.keep_bounds(files, &mut kept)?;
        files.sync_dir(&self.directory)?;
        Ok(target)
    }

    /// Keeps a copy of `range` of `file`. A full disk loses it: what is cut was never promised to anybody.
    pub(crate) fn keep_copy(
        &self,
        files: &Files,
        file: &StoredFile,
        range: std::ops::Range<u64>,
        partition: TopicPartition,
        base: Offset,
        what: &str,
    ) -> Result<(), DiskError> {
        let path = self.directory.join(format!("copy{UNFINISHED}"));
        let kept = || -> Result<(), DiskError> {
            files.remove_if_present(&path)?;
            let copy = files.create(&path)?;
            copy.allocate(0..range.end - range.start)?;
            copy.copy_from(file, range.clone(), 0)?;
            copy.sync()?;
            self.take(files, &path, partition, base, what).map(drop)
        };
        match kept() {
            Err(error) if error.is_full() && files.latched().is_none() => {
                tracing::warn!(%partition, ?range, "no room to keep aside the bytes that are cut");
                files.remove_if_present(&path).map(drop)
            }
            result => result,
        }
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A number that no name here has yet.
    pub(crate) fn next_number(&self) -> u64 {
        let mut kept = self.kept.lock();
        kept.next += 1;
        kept.next - 1
    }

    /// Bytes and files kept.
    pub(crate) fn usage(&self) -> (u64, usize) {
        let kept = self.kept.lock();
        (kept.files.iter().map(|(_, bytes)| bytes).sum(), kept.files.len())
    }

    fn keep_bounds(&self, files: &Files, kept: &mut Kept) -> Result<(), DiskError> {
        let mut bytes: u64 = kept.files.iter().map(|(_, bytes)| bytes).sum();
        // The newest stays whatever its size: it is what somebody will ask for.
        while kept.files.len() > 1 && (kept.files.len() > self.count_max || bytes > self.bytes_max) {
            let Some((name, file_bytes)) = kept.files.pop_front() else { return Ok(()) };
            files.remove_if_present(&self.directory.join(&name))?;
            bytes -= file_bytes;
        }
        Ok(())
    }
}
