//! The disk as this floor uses it: every error says what was tried on which file.
//!
//! Failures of syncs, renames and writes latch the data directory below this floor, in [`Latched`]; here they are
//! only told apart: no room is a refusal, everything else stops the log, a shut latch stops them all.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::env::{
    DirEntry, Disk, DiskFile, FilesystemKind, LatchReason, Latched, OpenMode, Operation, is_io_error,
};

/// The disk said no.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation} of {}{} failed: {source}", path.display(), place(range.as_ref()))]
pub struct DiskError {
    /// What was tried.
    pub operation: Operation,
    /// On which file or directory.
    pub path: PathBuf,
    /// Which bytes of the file, where reading them failed.
    pub range: Option<Range<u64>>,
    /// What the disk said.
    pub source: Arc<io::Error>,
}

impl DiskError {
    /// The kind of the disk's error.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Whether there was no room: a refusal, unless it hit a sync or a rename.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether a block could not be read: what it holds is lost here, and may be had elsewhere.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.operation == Operation::Read && is_io_error(&self.source)
    }

    fn within(self, range: Range<u64>) -> Self {
        Self { range: Some(range), ..self }
    }
}

/// A data directory's disk, with named errors.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    disk: Latched,
    /// Where ballast lies that small files may take the room of.
    ballast: Option<Arc<Path>>,
}

impl Files {
    pub(crate) fn new(disk: Latched) -> Self {
        Self { disk, ballast: None }
    }

    /// The same, for the directory `root` in use: small files that find no room throw its ballast off.
    pub(crate) fn with_ballast(self, root: &Path) -> Self {
        Self { ballast: Some(root.into()), ..self }
    }

    /// Throws the ballast off, if there is any; tells whether that may have made room.
    pub(crate) fn release_ballast(&self) -> Result<bool, DiskError> {
        self.ballast.as_ref().map_or(Ok(false), |root| crate::ballast::release(self, root))
    }

    /// Why nothing is written any more, if so.
    pub(crate) fn latched(&self) -> Option<Arc<LatchReason>> {
        self.disk.latch().reason()
    }

    fn open(&self, path: &Path, mode: OpenMode, operation: Operation) -> Result<StoredFile, DiskError> {
        let file = named(operation, path, self.disk.open(path, mode))?;
        Ok(StoredFile { file, path: path.into() })
    }

    pub(crate) fn open_read(&self, path: &Path) -> Result<StoredFile, DiskError> {
        self.open(path, OpenMode::Read, Operation::Open)
    }

    pub(crate) fn open_write(&self, path: &Path) -> Result<StoredFile, DiskError> {
        self.open(path, OpenMode::ReadWrite, Operation::Open)
    }

    pub(crate) fn create(&self, path: &Path) -> Result<StoredFile, DiskError> {
        self.open(path, OpenMode::CreateNew, Operation::Create)
    }

    pub(crate) fn create_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        named(Operation::CreateDir, path, self.disk.create_dir_all(path))
    }

    pub(crate) fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        named(Operation::SyncDir, path, self.disk.sync_dir(path))
    }

    pub(crate) fn sync_parent(&self, path: &Path) -> Result<(), DiskError> {
        self.sync_dir(path.parent().expect("paths here lie below the data directory"))
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        named(Operation::Rename, from, self.disk.rename(from, to))
    }

    pub(crate) fn exchange(&self, one: &Path, other: &Path) -> Result<(), DiskError> {
        named(Operation::Rename, one, self.disk.exchange(one, other))
    }

    /// Removes a file; tells whether there was one.
    pub(crate) fn remove_if_present(&self, path: &Path) -> Result<bool, DiskError> {
        match self.disk.remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            result => named(Operation::Remove, path, result).map(|()| true),
        }
    }

    pub(crate) fn remove_dir_all(&self, path: &Path) -> Result<(), DiskError> {
        named(Operation::Remove, path, self.disk.remove_dir_all(path))
    }

    pub(crate) fn list(&self, path: &Path) -> Result<Vec<DirEntry>, DiskError> {
        named(Operation::List, path, self.disk.list(path))
    }

    /// As [`Self::list`]; a directory that is not there holds nothing.
    pub(crate) fn list_if_present(&self, path: &Path) -> Result<Vec<DirEntry>, DiskError> {
        match self.list(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            result => result,
        }
    }

    pub(crate) fn free_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        named(Operation::List, path, self.disk.free_bytes(path))
    }

    pub(crate) fn total_bytes(&self, path: &Path) -> Result<u64, DiskError> {
        named(Operation::List, path, self.disk.total_bytes(path))
    }

    pub(crate) fn filesystem(&self, path: &Path) -> Result<FilesystemKind, DiskError> {
        named(Operation::List, path, self.disk.filesystem(path))
    }

    pub(crate) fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, DiskError> {
        named(Operation::Lock, path, self.disk.lock(path))
    }
}

/// An open file, with named errors. The descriptor lives as long as the last clone.
#[derive(Clone, Debug)]
pub(crate) struct StoredFile {
    file: Arc<dyn DiskFile>,
    path: Arc<Path>,
}

impl StoredFile {
    /// The same file under the name it was renamed to.
    pub(crate) fn renamed(self, path: &Path) -> Self {
        Self { path: path.into(), ..self }
    }

    pub(crate) fn len(&self) -> Result<u64, DiskError> {
        named(Operation::Open, &self.path, self.file.len())
    }

    /// A copy of `count` bytes from `at`. The caller has checked that the file is that long.
    pub(crate) fn read(&self, at: u64, count: u64) -> Result<Vec<u8>, DiskError> {
        let mut buffer = vec![0; usize::try_from(count).expect("callers read less than the address space")];
        let read = named(Operation::Read, &self.path, self.file.read_exact_at(&mut buffer, at));
        read.map_err(|error| error.within(at..at.saturating_add(count)))?;
        Ok(buffer)
    }

    pub(crate) fn view(&self, range: Range<u64>) -> Result<Bytes, DiskError> {
        let viewed = named(Operation::Read, &self.path, self.file.view(range.clone()));
        viewed.map_err(|error| error.within(range))
    }

    pub(crate) fn write(&self, parts: &[IoSlice<'_>], at: u64) -> Result<(), DiskError> {
        named(Operation::Write, &self.path, self.file.write_all_at(parts, at))
    }

    /// Writes the bytes of `range` of another file, or of this one, from `at` on.
    pub(crate) fn copy_from(&self, from: &Self, range: Range<u64>, at: u64) -> Result<(), DiskError> {
        const STEP_BYTES: u64 = 1 << 20;
        let mut position = range.start;
        while position < range.end {
            let step = STEP_BYTES.min(range.end - position);
            let bytes = from.read(position, step)?;
            self.write(&[IoSlice::new(&bytes)], at + (position - range.start))?;
            position += step;
        }
        Ok(())
    }

    pub(crate) fn allocate(&self, range: Range<u64>) -> Result<(), DiskError> {
        named(Operation::Allocate, &self.path, self.file.allocate(range))
    }

    pub(crate) fn sync(&self) -> Result<(), DiskError> {
        named(Operation::Sync, &self.path, self.file.sync_data())
    }
}

fn named<T>(operation: Operation, path: &Path, result: io::Result<T>) -> Result<T, DiskError> {
    result.map_err(|source| DiskError {
        operation,
        path: path.to_owned(),
        range: None,
        source: Arc::new(source),
    })
}

fn place(range: Option<&Range<u64>>) -> String {
    range.map_or_else(String::new, |range| format!(", bytes {}..{},", range.start, range.end))
}
