//! A file's one mapping, and views into it. The only unsafe code of the project.
//!
//! ```text
//!  0                 view             file length          reserved addresses
//!  |------------------####------------------|- - - - - - - - - - - |
//!                     resident, immutable     never touched: SIGBUS
//! ```
//!
//! Always true: a view lies below the file's length as it was when the view was made, files never shrink while
//! open, and the pages of the view were made resident before it left here, so an unreadable block was an error
//! value. What remains: a page evicted later whose block has become unreadable since still raises a signal.
//! Nothing is mapped before the first view. Writes never go through the mapping.

#![expect(unsafe_code, reason = "the one room for it: raw memory of the mapping becomes byte slices here")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use memmap2::{Advice, MmapOptions, MmapRaw};
use parking_lot::Mutex;

/// The mapping of one file, made at the first view. When the file outgrows the addresses reserved for it, a larger
/// one replaces it; older views keep the older one alive.
#[derive(Debug)]
pub(super) struct Mapping {
    reserve_bytes: u64,
    /// The greatest length of the file that was seen: it never shrinks, so nobody need ask again below.
    seen_bytes: AtomicU64,
    current: Mutex<Option<Arc<MmapRaw>>>,
}

impl Mapping {
    /// Nothing is mapped yet. At the first view at least `reserve_bytes` of addresses are taken.
    pub(super) fn unmapped(reserve_bytes: u64) -> Self {
        Self { reserve_bytes, seen_bytes: AtomicU64::new(0), current: Mutex::new(None) }
    }

    /// The bytes of `range` of `file` without a copy, resident; `None` where the kernel cannot do that (no
    /// addresses left, no `MADV_POPULATE_READ`, or a block that cannot be read): the caller then reads instead,
    /// and learns the error if there is one.
    ///
    /// The same file must be given every time. `resident` says that the range was just written, so that its pages are
    /// there without being asked for.
    ///
    /// # Errors
    /// `UnexpectedEof` when `range` ends beyond the file's length or is reversed; what `fstat` says.
    pub(super) fn view(&self, file: &File, range: &Range<u64>, resident: bool) -> io::Result<Option<Bytes>> {
        if range.start > range.end || range.end > self.seen_bytes.load(Ordering::Relaxed) {
            let file_bytes = file.metadata()?.len();
            if range.start > range.end || range.end > file_bytes {
                return Err(beyond_end(range, file_bytes));
            }
            self.seen_bytes.fetch_max(file_bytes, Ordering::Relaxed);
        }
        if range.is_empty() {
            return Ok(Some(Bytes::new()));
        }
        let Some(map) = self.covering(file, range.end) else { return Ok(None) };
        let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end)) else {
            return Ok(None);
        };
        assert!(end <= map.len(), "the mapping holds {} bytes, the view ends at {end}", map.len());
        if !resident && map.advise_range(Advice::PopulateRead, start, end - start).is_err() {
            return Ok(None);
        }
        Ok(Some(Bytes::from_owner(View { map, range: start..end })))
    }

    /// A mapping that reaches at least to `end`.
    fn covering(&self, file: &File, end: u64) -> Option<Arc<MmapRaw>> {
        let mut current = self.current.lock();
        if let Some(map) = &*current
            && map.len() as u64 >= end
        {
            return Some(Arc::clone(map));
        }
        let reserve_bytes = usize::try_from(self.reserve_bytes.max(end.checked_next_power_of_two()?)).ok()?;
        let map = Arc::new(MmapOptions::new().len(reserve_bytes).map_raw_read_only(file).ok()?);
        *current = Some(Arc::clone(&map));
        Some(map)
    }
}

/// The error of a range that ends beyond the file.
pub(super) fn beyond_end(range: &Range<u64>, file_bytes: u64) -> io::Error {
    let message = format!(
        "bytes {}..{} were asked for, the file has {file_bytes}; ask below that",
        range.start, range.end
    );
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

/// A range of a mapping, which it keeps alive. Made only by [`Mapping::view`], after its checks.
struct View {
    map: Arc<MmapRaw>,
    range: Range<usize>,
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `Mapping::view` checked that the range is not reversed and ends within the mapping, so the
        // pointer stays inside one allocation.
        let start = unsafe { self.map.as_ptr().add(self.range.start) };
        // SAFETY: the range ends within the mapping and at or below the file's length, which never falls while
        // the file is open here, so every page of it is backed by the file; the mapping is readable and lives as
        // long as `self`. Nobody writes these bytes while the view lives: that is `DiskFile::view`'s contract, and
        // the data directory's lock keeps other processes out.
        unsafe { std::slice::from_raw_parts(start, self.range.len()) }
    }
}
