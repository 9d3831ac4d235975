//! An open file of the real disk.
//!
//! Writes are positional and never go through the mapping; on Linux the two are coherent. The descriptor lives as
//! long as the value, and is closed with it: keep it from the first write to the last successful sync (R4).

use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::DiskFile;
use super::mapping::{Mapping, beyond_end};
use super::written_tail::WrittenTail;

/// Parts one system call takes; the kernel's `UIO_MAXIOV`.
const PARTS_PER_CALL_MAX: usize = 1024;

/// Zeros per write where the file system cannot allocate.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A file of `RealDisk`.
#[derive(Debug)]
pub(super) struct RealFile {
    file: File,
    mapping: Mapping,
    tail: Mutex<WrittenTail>,
}

impl RealFile {
    /// `reserve_bytes` is how many addresses its mapping takes at least, once there is a view.
    pub(super) fn new(file: File, reserve_bytes: u64) -> Self {
        Self { file, mapping: Mapping::unmapped(reserve_bytes), tail: Mutex::default() }
    }

    /// Where the file system cannot allocate, zeros from the file's end on take the room instead. What lies below
    /// the end has its room already, because files here grow by allocation only.
    fn fill_with_zeros(&self, end: u64) -> io::Result<()> {
        let mut at = self.len()?;
        while at < end {
            let count = usize::try_from(end - at).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.file.write_all_at(&ZEROS[..count], at)?;
            at += count as u64;
        }
        Ok(())
    }

    fn copy(&self, range: &Range<u64>) -> io::Result<Bytes> {
        let count = usize::try_from(range.end - range.start).map_err(|_| beyond_end(range, u64::MAX))?;
        let mut bytes = vec![0; count];
        self.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }

    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let count: usize = parts.iter().map(|part| part.len()).sum();
        if parts.len() <= PARTS_PER_CALL_MAX && write_at_once(&self.file, parts, at, count)? {
            self.tail.lock().wrote(at..at + count as u64, Instant::now());
            return Ok(());
        }
        let mut parts = parts.to_vec();
        let mut left = parts.as_mut_slice();
        let mut at = at;
        IoSlice::advance_slices(&mut left, 0); // drops empty parts in front, so that 0 bytes means a full stop
        while !left.is_empty() {
            let count = left.len().min(PARTS_PER_CALL_MAX);
            match rustix::io::pwritev(&self.file, &left[..count], at) {
                Ok(0) if left[..count].iter().any(|part| !part.is_empty()) => {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                Ok(0) => left = &mut left[count..],
                Ok(written) => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        if range.start >= range.end {
            return Ok(());
        }
        loop {
            let bytes = range.end - range.start;
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), range.start, bytes) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP) => return self.fill_with_zeros(range.end),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        // One call, never a second one: std retries only an interrupted call, which reported nothing.
        self.file.sync_data()
    }

    fn view(&self, range: Range<u64>) -> io::Result<Bytes> {
        let resident = self.tail.lock().holds(&range, Instant::now());
        match self.mapping.view(&self.file, &range, resident)? {
            Some(bytes) => Ok(bytes),
            None => self.copy(&range),
        }
    }
}

/// One call, without a copy of the list; tells whether it took everything. What it took of the start is written again
/// otherwise, with the same bytes.
fn write_at_once(file: &File, parts: &[IoSlice<'_>], at: u64, count: usize) -> io::Result<bool> {
    match rustix::io::pwritev(file, parts, at) {
        Ok(written) => Ok(written == count),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> RealFile {
        RealFile::new(tempfile::tempfile().unwrap(), 4096)
    }

    #[test]
    fn more_parts_than_one_call_takes_are_written() {
        let file = file();
        let parts: Vec<_> =
            (0..3000).map(|index| if index % 3 == 0 { &b""[..] } else { &b"ab"[..] }).collect();
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        file.write_all_at(&slices, 5).unwrap();
        assert_eq!(file.len().unwrap(), 5 + 4000);
        assert_eq!(file.copy(&(5..4005)).unwrap(), b"ab".repeat(2000));
    }

    #[test]
    fn zeros_take_room_where_the_file_system_cannot_allocate() {
        let file = file();
        file.write_all_at(&[IoSlice::new(b"kept")], 0).unwrap();
        file.fill_with_zeros(200_000).unwrap();
        assert_eq!(file.len().unwrap(), 200_000);
        assert_eq!(&file.copy(&(0..8)).unwrap()[..], b"kept\0\0\0\0");
    }

    #[test]
    fn nothing_is_mapped_before_the_first_view() {
        let file = file();
        file.allocate(0..8192).unwrap();
        assert!(format!("{:?}", file.mapping).contains("None"));
        file.view(0..1).unwrap();
        assert!(format!("{:?}", file.mapping).contains("Some"));
    }

    #[test]
    fn old_views_outlive_a_larger_mapping_and_the_file() {
        let file = file();
        file.write_all_at(&[IoSlice::new(b"old")], 0).unwrap();
        let old = file.view(0..3).unwrap();
        file.allocate(0..1 << 20).unwrap();
        file.write_all_at(&[IoSlice::new(b"new")], (1 << 20) - 3).unwrap();
        let new = file.view((1 << 20) - 3..1 << 20).unwrap();
        drop(file);
        assert_eq!((&old[..], &new[..]), (&b"old"[..], &b"new"[..]));
    }

    #[test]
    fn a_copy_says_the_same_as_a_view() {
        let file = file();
        file.write_all_at(&[IoSlice::new(&[7; 10_000])], 0).unwrap();
        assert_eq!(file.view(5000..10_000).unwrap(), file.copy(&(5000..10_000)).unwrap());
    }
}
