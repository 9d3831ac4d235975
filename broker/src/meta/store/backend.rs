//! A file of `env` as the storage of a redb database, so that the latch and the sync group of the data directory
//! cover it like every other file.
//!
//! Our files never shrink. When redb shortens its storage only the length told to it shrinks, and what it grows over
//! again is zeroed. After a restart the file is as long as it ever was, which redb knows as the image of a crash
//! between writing a shorter layout and cutting the file, and settles when it opens.

#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fidelog_log::env::DiskFile;
use redb::StorageBackend;

/// Zeros are written in pieces of this size.
const ZEROS_BYTES: usize = 64 * 1024;

/// One open file under a database.
#[derive(Debug)]
pub(super) struct FileBackend {
    file: Arc<dyn DiskFile>,
    /// The length redb believes in; at most the file's. redb changes it from one thread at a time.
    told_len: AtomicU64,
}

impl FileBackend {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let told_len = AtomicU64::new(file.len()?);
        Ok(Self { file, told_len })
    }

    fn check_within(&self, offset: u64, count: usize) -> io::Result<()> {
        let len = self.told_len.load(Ordering::Acquire);
        match offset.checked_add(count as u64) {
            Some(end) if end <= len => Ok(()),
            _ => {
                let text = format!("{count} bytes at {offset} reach beyond the length {len}");
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
            }
        }
    }

    fn zero(&self, from: u64, to_end: u64) -> io::Result<()> {
        let zeros = [0; ZEROS_BYTES];
        let mut at = from;
        while at < to_end {
            let count = usize::try_from(to_end - at).map_or(ZEROS_BYTES, |left| left.min(ZEROS_BYTES));
            self.file.write_all_at(&[IoSlice::new(&zeros[..count])], at)?;
            at += count as u64;
        }
        Ok(())
    }
}

impl StorageBackend for FileBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.told_len.load(Ordering::Acquire))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check_within(offset, out.len())?;
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (told, real) = (self.told_len.load(Ordering::Acquire), self.file.len()?);
        self.zero(told, len.min(real))?;
        if len > real {
            self.file.allocate(real..len)?;
        }
        self.told_len.store(len, Ordering::Release);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check_within(offset, data.len())?;
        self.file.write_all_at(&[IoSlice::new(data)], offset)
    }

    fn close(&self) -> io::Result<()> {
        // Whatever redb wrote while it shut down must not be lost behind a marker that says "stopped cleanly".
        self.file.sync_data()
    }
}
