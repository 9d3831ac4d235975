//! The disk as the log sees it.
//!
//! What a caller may rely on, and nothing more:
//! - A write is visible to later reads at once, and durable only after a successful [`DiskFile::sync_data`] on that
//!   file. A crash may keep, lose, tear or reorder everything written since.
//! - A file created, renamed or removed is durably so only after [`Disk::sync_dir`] of its directory.
//! - After any failed sync nothing written since the last successful one may be believed, even if a later sync
//!   succeeds and reads return the bytes (RELIABILITY §0.3). `Latched` enforces that for a data directory.

use std::fmt;
use std::io;
use std::io::IoSlice;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

/// How [`Disk::open`] treats a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// The file must exist; opened to read only.
    Read,
    /// The file must exist; opened to read and write.
    ReadWrite,
    /// The file must not exist; created empty, to read and write.
    CreateNew,
}

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// Its name; names that are not UTF-8 are given lossily and are never ours.
    pub name: String,
    /// What it is; symbolic links are not followed and count as [`EntryKind::Other`].
    pub kind: EntryKind,
}

/// Kind of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link, socket or device: never ours.
    Other,
}

/// What kind of file system a path lies on, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilesystemKind {
    /// A local disk's.
    Disk,
    /// Memory only: a data directory there is refused.
    Memory(&'static str),
    /// Over a network: a data directory there is refused.
    Network(&'static str),
}

/// A disk: directories and the files in them. Paths are absolute.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Opens or creates a file. Creating does not sync the directory.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, and whatever the disk says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Creates a directory and its missing parents; syncs every directory that got a new entry.
    ///
    /// # Errors
    /// Whatever the disk says; `AlreadyExists` is not an error.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in `path` durable.
    ///
    /// # Errors
    /// Whatever the disk says; like a failed file sync it is final (R1).
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Renames within one file system, replacing a file of that name. Not durable before [`Self::sync_dir`].
    ///
    /// # Errors
    /// Whatever the disk says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Has two files of one directory change names, at once; takes no room. Not durable before [`Self::sync_dir`].
    ///
    /// # Errors
    /// `NotFound`, `Unsupported` where the file system cannot, and whatever the disk says.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound`, and whatever the disk says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with all it holds.
    ///
    /// # Errors
    /// `NotFound`, and whatever the disk says.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// The entries of a directory, sorted by name.
    ///
    /// # Errors
    /// `NotFound`, and whatever the disk says.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Bytes that may still be allocated on the file system of `path`.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// All bytes of the file system of `path`.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn total_bytes(&self, path: &Path) -> io::Result<u64>;

    /// What kind of file system `path` lies on.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn filesystem(&self, path: &Path) -> io::Result<FilesystemKind>;

    /// Takes an exclusive lock on the file at `path`, creating it; the lock ends when the guard is dropped or the
    /// process ends, however it ends.
    ///
    /// # Errors
    /// `WouldBlock` when another process (or another guard) holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// An open file. Positional, so that one writer and many readers share it without a cursor.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Its length in bytes, allocated but unwritten bytes included.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// As [`Self::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buffer` from `at`.
    ///
    /// # Errors
    /// `UnexpectedEof` beyond the length, EIO where a block is unreadable.
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;

    /// Writes all parts, one after the other, from `at` on. The room must have been allocated before.
    ///
    /// # Errors
    /// Whatever the disk says. Any part of the bytes may have been written.
    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()>;

    /// Allocates blocks for `range`, and extends the length to its end if it was shorter; new bytes read as zeros.
    ///
    /// # Errors
    /// `StorageFull` when there is no room: a refusal that changes nothing that was written.
    fn allocate(&self, range: Range<u64>) -> io::Result<()>;

    /// Makes everything written to this file durable, its length included.
    ///
    /// # Errors
    /// Whatever the disk says; final (R1, R2): never retried, never believed again.
    fn sync_data(&self) -> io::Result<()>;

    /// The bytes of `range` without a copy where that is possible: through the file's one mapping, made resident
    /// first, so that an unreadable block is an error here and not a signal later (R6). The caller must not write
    /// to `range` while the view lives.
    ///
    /// # Errors
    /// `UnexpectedEof` beyond the length, EIO where a block is unreadable.
    fn view(&self, range: Range<u64>) -> io::Result<Bytes>;
}
