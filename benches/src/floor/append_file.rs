//! A file that is only appended to, with its blocks allocated ahead of the writes.
//!
//! Writes are positional; space is allocated in large steps, so that nearly every sync finds the file's size
//! unchanged. It does not sync by itself and keeps no format: payloads lie end to end.

use std::fs::File;
use std::io::IoSlice;
use std::num::NonZeroU64;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use rustix::fs::{Advice, FallocateFlags};
use rustix::io::Errno;

/// Bytes allocated at a time.
const STEP_BYTES: u64 = 256 << 20;
/// Bytes dropped from the cache at a time.
const DROPPED_BYTES: u64 = 16 << 20;
/// Buffers in one gathered write; the kernel takes no more.
const BUFFERS_MAX: usize = 1024;

/// What becomes of written bytes in the kernel's cache.
///
/// Where a machine gets its memory lazily from a host, a page that was never touched costs far more than the write
/// that fills it, and a file that keeps its cache touches new pages all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// They stay, for readers, as they do in a broker.
    Kept,
    /// They are dropped soon after their sync, so that the same memory is used again.
    Dropped,
}

/// See the module.
#[derive(Debug)]
pub struct AppendFile {
    file: File,
    /// Bytes written (exclusive end).
    end: u64,
    /// Bytes allocated (exclusive end); never below `end`.
    allocated_end: u64,
    /// Bytes dropped from the cache (exclusive end); never above `end`.
    dropped_end: u64,
    cache: Cache,
}

impl AppendFile {
    /// Makes the file at `path`, which must not exist, with its first blocks allocated and synced.
    ///
    /// # Errors
    /// When the file exists, or cannot be made or allocated.
    pub fn create(path: &Path, cache: Cache) -> Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path);
        let file = file.with_context(|| format!("cannot create {}", path.display()))?;
        let mut file = Self { file, end: 0, allocated_end: 0, dropped_end: 0, cache };
        file.allocate(1)?;
        file.file.sync_all().with_context(|| format!("cannot sync {}", path.display()))?;
        Ok(file)
    }

    /// Writes `pieces` one after the other at the end, and returns the new end.
    ///
    /// # Errors
    /// When space or the write is refused; the file is then of no further use.
    pub fn append(&mut self, pieces: &[Bytes]) -> Result<u64> {
        for pieces in pieces.chunks(BUFFERS_MAX) {
            let bytes: usize = pieces.iter().map(Bytes::len).sum();
            self.allocate(bytes as u64)?;
            let mut buffers: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            self.write(&mut buffers)?;
        }
        Ok(self.end)
    }

    /// Waits until all that was appended is on the disk.
    ///
    /// # Errors
    /// When the disk says so; what was appended before is then lost for all we know.
    pub fn sync(&self) -> Result<()> {
        rustix::fs::fdatasync(&self.file).context("fdatasync")
    }

    /// Drops synced bytes from the kernel's cache, some at a time; does nothing where the cache is kept.
    ///
    /// # Errors
    /// When the kernel refuses the advice.
    pub fn drop_cache(&mut self) -> Result<()> {
        while self.cache == Cache::Dropped && self.end - self.dropped_end >= DROPPED_BYTES {
            rustix::fs::fadvise(
                &self.file,
                self.dropped_end,
                NonZeroU64::new(DROPPED_BYTES),
                Advice::DontNeed,
            )
            .context("fadvise")?;
            self.dropped_end += DROPPED_BYTES;
        }
        Ok(())
    }

    /// Makes room for `more_bytes` beyond the end.
    fn allocate(&mut self, more_bytes: u64) -> Result<()> {
        while self.allocated_end < self.end + more_bytes {
            rustix::fs::fallocate(&self.file, FallocateFlags::empty(), self.allocated_end, STEP_BYTES)
                .with_context(|| format!("fallocate of {STEP_BYTES} bytes at {}", self.allocated_end))?;
            self.allocated_end += STEP_BYTES;
        }
        Ok(())
    }

    fn write(&mut self, mut buffers: &mut [IoSlice<'_>]) -> Result<()> {
        while !buffers.is_empty() {
            match rustix::io::pwritev(&self.file, buffers, self.end) {
                Ok(written) => {
                    ensure!(written > 0, "a write at {} took no byte", self.end);
                    self.end += written as u64;
                    IoSlice::advance_slices(&mut buffers, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).with_context(|| format!("write at {}", self.end)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lie_end_to_end_in_the_order_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = AppendFile::create(&path, Cache::Dropped).unwrap();
        // More pieces than one gathered write takes.
        let pieces: Vec<_> = (0..3000_u32).map(|i| Bytes::copy_from_slice(&i.to_be_bytes())).collect();
        assert_eq!(file.append(&pieces[..10]).unwrap(), 40);
        assert_eq!(file.append(&pieces[10..]).unwrap(), 12_000);
        file.sync().unwrap();
        let written = std::fs::read(&path).unwrap();
        assert_eq!(written[..12_000], pieces.concat());
        assert!(written[12_000..12_100].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn an_existing_file_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        AppendFile::create(&path, Cache::Dropped).unwrap();
        assert!(AppendFile::create(&path, Cache::Dropped).is_err());
    }
}
