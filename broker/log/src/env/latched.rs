//! A disk for one data directory that stops believing itself after the first failure (R1, R2).
//!
//! What shuts the latch: any error of a sync or a rename, and EIO or EROFS of whatever else changes the directory.
//! What does not: a refusal, such as no space left. Once it is shut every change fails at once with
//! `DirectoryLatched`; opening what exists, reading and listing go on. Syncs that overlap are one group.
//!
//! Everything that writes into the directory goes through one `Latched`, or one clone of it: logs, journals, the
//! metadata store.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;

use super::planted::{Planted, is_planted};
use super::sync_group::SyncGroup;
use super::{Clock, DirEntry, Disk, DiskFile, FilesystemKind, Latch, OpenMode, Operation, SyncFailed};

/// The disk of one data directory, with its latch and its sync group. Clones share both.
#[derive(Clone, Debug)]
pub struct Latched {
    disk: Arc<dyn Disk>,
    guard: Arc<Guard>,
}

impl Latched {
    /// Guards `directory` of `disk`; `clock` dates the reason of the latch. Make one per data directory and process.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, directory: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        let latch = Arc::new(Latch::open(directory.into(), clock));
        Self { disk, guard: Arc::new(Guard { latch, syncs: SyncGroup::default() }) }
    }

    /// The directory's latch: to look at, to wait on, or to shut for a reason of one's own.
    #[must_use]
    pub fn latch(&self) -> Arc<Latch> {
        Arc::clone(&self.guard.latch)
    }
}

/// What the disk and its open files share.
#[derive(Debug)]
struct Guard {
    latch: Arc<Latch>,
    syncs: SyncGroup,
}

impl Guard {
    /// Runs a change; errors of which `shuts` says so shut the latch.
    fn change<T>(
        &self,
        path: &Path,
        operation: Operation,
        shuts: fn(&io::Error) -> bool,
        change: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.latch.check()?;
        change().inspect_err(|error| {
            if shuts(error) {
                self.latch.shut(path, operation, error);
            }
        })
    }

    fn sync(
        &self,
        path: &Path,
        operation: Operation,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.syncs.run(&self.latch, path, operation, always, sync)
    }
}

/// Whether a change failed because the disk did, rather than being refused: EIO, EROFS (an error in the journal
/// makes the file system read-only, so it counts the same), or a sync inside of it.
fn disk_failed(error: &io::Error) -> bool {
    let read_only = error.raw_os_error() == Some(Errno::ROFS.raw_os_error());
    is_io_error(error) || read_only || SyncFailed::is(error)
}

/// Whether the disk itself failed: EIO.
pub(crate) fn is_io_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

fn always(_: &io::Error) -> bool {
    !is_planted(Planted::SecondSyncBelieved)
}

impl Disk for Latched {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = match mode {
            OpenMode::Read | OpenMode::ReadWrite => self.disk.open(path, mode)?,
            OpenMode::CreateNew => {
                self.guard.change(path, Operation::Create, disk_failed, || self.disk.open(path, mode))?
            }
        };
        Ok(Arc::new(LatchedFile { file, path: path.into(), guard: Arc::clone(&self.guard) }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        // It syncs the parents, so the whole of it counts as one of the group's syncs.
        let Guard { latch, syncs } = &*self.guard;
        syncs.run(latch, path, Operation::CreateDir, disk_failed, || self.disk.create_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.guard.sync(path, Operation::SyncDir, || self.disk.sync_dir(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.guard.change(from, Operation::Rename, always, || self.disk.rename(from, to))
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        let shuts = |error: &io::Error| error.kind() != io::ErrorKind::Unsupported && always(error);
        self.guard.change(one, Operation::Rename, shuts, || self.disk.exchange(one, other))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.guard.change(path, Operation::Remove, disk_failed, || self.disk.remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.guard.change(path, Operation::Remove, disk_failed, || self.disk.remove_dir_all(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.total_bytes(path)
    }

    fn filesystem(&self, path: &Path) -> io::Result<FilesystemKind> {
        self.disk.filesystem(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.guard.change(path, Operation::Lock, disk_failed, || self.disk.lock(path))
    }
}

/// An open file of a guarded directory.
#[derive(Debug)]
struct LatchedFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    guard: Arc<Guard>,
}

impl DiskFile for LatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }

    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        self.guard.change(&self.path, Operation::Write, disk_failed, || self.file.write_all_at(parts, at))
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        self.guard.change(&self.path, Operation::Allocate, disk_failed, || self.file.allocate(range))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.guard.sync(&self.path, Operation::Sync, || self.file.sync_data())
    }

    fn view(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.file.view(range)
    }
}
