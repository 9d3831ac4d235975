//! A real disk whose calls fail on command.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fidelog_log::env::{DirEntry, Disk, DiskFile, FilesystemKind, OpenMode, RealDisk};
use parking_lot::Mutex;

/// What fails at present. Shared by the disk and its open files.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    /// Syncs of files fail with EIO.
    pub(super) syncs_fail: bool,
    /// Nothing can be allocated.
    pub(super) full: bool,
    /// Renames fail with EIO.
    pub(super) renames_fail: bool,
    /// Bytes written to files so far.
    pub(super) written_bytes: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct FaultyDisk {
    faults: Arc<Mutex<Faults>>,
}

impl FaultyDisk {
    pub(super) fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.faults.lock());
    }

    pub(super) fn faults(&self) -> Faults {
        *self.faults.lock()
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = RealDisk.open(path, mode)?;
        Ok(Arc::new(FaultyFile { file, faults: Arc::clone(&self.faults) }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.faults().renames_fail {
            return Err(eio());
        }
        RealDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        RealDisk.list(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.total_bytes(path)
    }

    fn filesystem(&self, path: &Path) -> io::Result<FilesystemKind> {
        RealDisk.filesystem(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        RealDisk.lock(path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn DiskFile>,
    faults: Arc<Mutex<Faults>>,
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }

    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        self.faults.lock().written_bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        self.file.write_all_at(parts, at)
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        if self.faults.lock().full {
            return Err(io::Error::from_raw_os_error(28));
        }
        self.file.allocate(range)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.faults.lock().syncs_fail {
            return Err(eio());
        }
        self.file.sync_data()
    }

    fn view(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.file.view(range)
    }
}
