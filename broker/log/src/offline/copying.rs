//! A disk that is only read, by copies: files of a broker that still runs may be written to, and views of a mapping
//! must never be.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::env::{DirEntry, Disk, DiskFile, FilesystemKind, OpenMode};

/// Reads and lists; refuses everything that changes something.
#[derive(Debug)]
pub(super) struct Copying(pub(super) Arc<dyn Disk>);

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "files are only read here"))
}

impl Disk for Copying {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        match mode {
            OpenMode::Read => Ok(Arc::new(CopiedFile(self.0.open(path, mode)?))),
            OpenMode::ReadWrite | OpenMode::CreateNew => refused(),
        }
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn exchange(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_file(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_dir_all(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.list(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.0.free_bytes(path)
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        self.0.total_bytes(path)
    }

    fn filesystem(&self, path: &Path) -> io::Result<FilesystemKind> {
        self.0.filesystem(path)
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Send + Sync>> {
        refused()
    }
}

#[derive(Debug)]
struct CopiedFile(Arc<dyn DiskFile>);

impl DiskFile for CopiedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, at)
    }

    fn write_all_at(&self, _: &[IoSlice<'_>], _: u64) -> io::Result<()> {
        refused()
    }

    fn allocate(&self, _: Range<u64>) -> io::Result<()> {
        refused()
    }

    fn sync_data(&self) -> io::Result<()> {
        refused()
    }

    fn view(&self, range: Range<u64>) -> io::Result<Bytes> {
        let count = usize::try_from(range.end.saturating_sub(range.start))
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut bytes = vec![0; count];
        self.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
}
