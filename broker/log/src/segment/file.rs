//! One segment on disk.
//!
//! Always true: batches lie one behind the other from byte 64 on; what is below `written_position` never changes,
//! so readers share the file with the one writer. A sealed segment ends where the next one begins, whatever its file
//! holds behind that. Files never shrink.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fidelog_record::BatchHeader;
use fidelog_record::types::Offset;
use parking_lot::{Mutex, RwLock};

use super::header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use super::offset_index::{self, IndexEntry, OffsetIndex};
use super::time_index::{self, TimeEntry, TimeIndex};
use crate::files::{DiskError, Files, StoredFile};
use crate::open_files::OpenFiles;
use crate::small_file::unfinished_path;
use crate::view::SegmentInfo;

/// The names of a segment's files.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFiles {
    pub(crate) log: PathBuf,
    pub(crate) index: PathBuf,
    pub(crate) time: PathBuf,
    pub(crate) producers: PathBuf,
}

impl SegmentFiles {
    pub(crate) fn new(directory: &Path, base: Offset) -> Self {
        let named = |kind: &str| directory.join(format!("{:020}.{kind}", base.0));
        Self { log: named("log"), index: named("index"), time: named("time"), producers: named("producers") }
    }
}

/// A segment: its bounds, and its file while that is open.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: Offset,
    pub(crate) files: SegmentFiles,
    /// Exclusive end of its batches: grows while it is written to, fixed once sealed.
    end: AtomicU64,
    open: Mutex<Option<Arc<OpenSegment>>>,
    /// Set while the writer owns it: its descriptor must live until the last sync (R4).
    pinned: AtomicBool,
    last_read: AtomicU64,
    /// What was found when it was looked at last.
    info: Mutex<Option<SegmentInfo>>,
}

impl Segment {
    /// A sealed segment, opened when it is read.
    pub(crate) fn sealed(directory: &Path, base: Offset, end: Offset) -> Arc<Self> {
        Self::build(directory, base, end, None)
    }

    /// The segment that is written to.
    pub(crate) fn active(directory: &Path, base: Offset, end: Offset, open: Arc<OpenSegment>) -> Arc<Self> {
        Self::build(directory, base, end, Some(open))
    }

    fn build(directory: &Path, base: Offset, end: Offset, open: Option<Arc<OpenSegment>>) -> Arc<Self> {
        Arc::new(Self {
            base,
            files: SegmentFiles::new(directory, base),
            end: AtomicU64::new(end.0),
            pinned: AtomicBool::new(open.is_some()),
            open: Mutex::new(open),
            last_read: AtomicU64::new(0),
            info: Mutex::new(None),
        })
    }

    pub(crate) fn end(&self) -> Offset {
        Offset(self.end.load(Ordering::Acquire))
    }

    pub(crate) fn set_end(&self, end: Offset) {
        self.end.store(end.0, Ordering::Release);
    }

    pub(crate) fn is_active(&self) -> bool {
        self.pinned.load(Ordering::Acquire)
    }

    /// Nothing more is written: it may be closed and opened as reads need it.
    pub(crate) fn seal(self: &Arc<Self>, open_files: &OpenFiles) {
        self.pinned.store(false, Ordering::Release);
        open_files.opened(self);
    }

    /// What was found of it before, which holds until something is appended or it is sealed: its end only rises.
    pub(crate) fn info(&self) -> Option<SegmentInfo> {
        let (end, active) = (self.end(), self.is_active());
        self.info.lock().clone().filter(|info| (info.end, info.active) == (end, active))
    }

    pub(crate) fn keep_info(&self, info: SegmentInfo) {
        *self.info.lock() = Some(info);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.lock().is_some()
    }

    pub(crate) fn last_read(&self) -> u64 {
        self.last_read.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        if !self.is_active() {
            *self.open.lock() = None;
        }
    }

    /// Its file, opened if it is not.
    pub(crate) fn opened(
        self: &Arc<Self>,
        files: &Files,
        open_files: &OpenFiles,
    ) -> Result<Arc<OpenSegment>, DiskError> {
        self.last_read.store(open_files.tick(), Ordering::Relaxed);
        let mut open = self.open.lock();
        if let Some(open) = &*open {
            return Ok(Arc::clone(open));
        }
        let opened = Arc::new(OpenSegment::open_sealed(files, &self.files, self.base, self.end())?);
        *open = Some(Arc::clone(&opened));
        drop(open);
        open_files.opened(self);
        Ok(opened)
    }
}

/// An open segment file and its indexes.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) file: StoredFile,
    /// Readers look at nothing behind it.
    written_position: AtomicU64,
    pub(crate) indexes: RwLock<Indexes>,
}

impl OpenSegment {
    pub(crate) fn new(file: StoredFile, written_position: u64, indexes: Indexes) -> Arc<Self> {
        Arc::new(Self {
            file,
            written_position: AtomicU64::new(written_position),
            indexes: RwLock::new(indexes),
        })
    }

    fn open_sealed(
        files: &Files,
        names: &SegmentFiles,
        base: Offset,
        end: Offset,
    ) -> Result<Self, DiskError> {
        let file = files.open_read(&names.log)?;
        let written_position = file.len()?;
        let indexes = Indexes::load(files, names, base, end);
        Ok(Self { file, written_position: AtomicU64::new(written_position), indexes: RwLock::new(indexes) })
    }

    /// Creates the file of a new, empty segment with room for `room_bytes` of batches; durable, its name included,
    /// when this returns. A file of that name is replaced in one step: at no moment does the log seem to end in the
    /// segment before, whose file may hold bytes that were cut.
    pub(crate) fn create(
        files: &Files,
        names: &SegmentFiles,
        header: SegmentHeader,
        room_bytes: u64,
    ) -> Result<Arc<Self>, DiskError> {
        let unfinished = unfinished_path(&names.log);
        files.remove_if_present(&unfinished)?;
        files.remove_if_present(&names.index)?;
        files.remove_if_present(&names.time)?;
        let file = files.create(&unfinished)?;
        let filled = file
            .allocate(0..SEGMENT_HEADER_BYTES + room_bytes)
            .and_then(|()| file.write(&[IoSlice::new(&header.to_bytes())], 0));
        if let Err(error) = filled {
            if files.latched().is_none() {
                files.remove_if_present(&unfinished)?; // refused: as if it had not been tried
            }
            return Err(error);
        }
        file.sync()?;
        files.rename(&unfinished, &names.log)?;
        files.sync_parent(&names.log)?;
        Ok(Self::new(file.renamed(&names.log), SEGMENT_HEADER_BYTES, Indexes::default()))
    }

    pub(crate) fn written_position(&self) -> u64 {
        self.written_position.load(Ordering::Acquire)
    }

    pub(crate) fn set_written_position(&self, position: u64) {
        self.written_position.store(position, Ordering::Release);
    }
}

/// Both indexes of a segment, with how much of them is stored.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    pub(crate) offsets: OffsetIndex,
    pub(crate) times: TimeIndex,
    offsets_stored: usize,
    times_stored: usize,
    /// Whether the hint files told of batches beyond the end they were loaded for.
    stored_beyond: bool,
    /// Greatest timestamp of the batches noted so far; only right while the segment is written to.
    max_timestamp_ms: u64,
    next_entry_position: u64,
}

impl Indexes {
    /// What the hint files hold of batches below `end`; nothing where they are missing or damaged.
    pub(crate) fn load(files: &Files, names: &SegmentFiles, base: Offset, end: Offset) -> Self {
        let mut offsets = OffsetIndex::decode(base, &read_hints(files, &names.index));
        let mut times = TimeIndex::decode(base, &read_hints(files, &names.time));
        let entries = (offsets.entries().len(), times.entries().len());
        offsets.cut(end);
        times.cut(end);
        let stored_beyond = entries != (offsets.entries().len(), times.entries().len());
        Self {
            offsets_stored: offsets.entries().len(),
            times_stored: times.entries().len(),
            stored_beyond,
            next_entry_position: offsets.entries().last().map_or(0, |last| last.position + 1),
            max_timestamp_ms: times.entries().last().map_or(0, |last| last.max_before_ms),
            offsets,
            times,
        }
    }

    /// Notes a batch that lies at `position`.
    pub(crate) fn note(&mut self, header: &BatchHeader, position: u64, every_bytes: u64) {
        if position >= self.next_entry_position {
            let after = |last: Option<Offset>| last.is_none_or(|last| last < header.base_offset);
            if after(self.offsets.entries().last().map(|entry| entry.offset)) {
                self.offsets.push(IndexEntry { offset: header.base_offset, position });
            }
            if after(self.times.entries().last().map(|entry| entry.offset)) {
                let max_before_ms = self.max_timestamp_ms;
                self.times.push(TimeEntry { max_before_ms, offset: header.base_offset });
            }
            self.next_entry_position = position + every_bytes;
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(header.max_timestamp_ms);
    }

    /// Takes in a timestamp of a batch that was noted in an earlier life.
    pub(crate) fn raise_max_timestamp(&mut self, timestamp_ms: u64) {
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
    }

    /// Notes that `end` is where the batches end for now, so that nobody must walk to learn the newest timestamp.
    pub(crate) fn close(&mut self, end: Offset) {
        if self.times.entries().last().is_some_and(|last| last.offset < end) {
            self.times.push(TimeEntry { max_before_ms: self.max_timestamp_ms, offset: end });
        }
    }

    /// Whether the hint files told of more, which nobody may believe.
    pub(crate) fn stored_beyond(&self) -> bool {
        self.stored_beyond
    }

    /// The files are gone: everything is to be stored again.
    pub(crate) fn forget_stored(&mut self) {
        self.stored_beyond = false;
        (self.offsets_stored, self.times_stored) = (0, 0);
    }

    /// Stores what is not stored yet. Hints are never synced; a full disk only means fewer of them.
    pub(crate) fn store(
        &mut self,
        files: &Files,
        names: &SegmentFiles,
        base: Offset,
    ) -> Result<(), DiskError> {
        let (offsets, times) = (self.offsets.entries().len(), self.times.entries().len());
        let bytes = self.offsets.encode(base, self.offsets_stored);
        append_hints(files, &names.index, &bytes, self.offsets_stored * offset_index::ENTRY_BYTES)?;
        let bytes = self.times.encode(base, self.times_stored);
        append_hints(files, &names.time, &bytes, self.times_stored * time_index::ENTRY_BYTES)?;
        (self.offsets_stored, self.times_stored) = (offsets, times);
        Ok(())
    }
}

/// Hints of one segment are never more than this; a longer file is not ours.
const HINT_BYTES_MAX: u64 = 512 * 1024 * 1024;

fn read_hints(files: &Files, path: &Path) -> Vec<u8> {
    let read = || {
        let file = files.open_read(path)?;
        let file_bytes = file.len()?;
        if file_bytes > HINT_BYTES_MAX { Ok(Vec::new()) } else { file.read(0, file_bytes) }
    };
    read().unwrap_or_else(|error: DiskError| {
        tracing::debug!(%error, "an index is missing; lookups walk the segment instead");
        Vec::new()
    })
}

fn append_hints(files: &Files, path: &Path, bytes: &[u8], at: usize) -> Result<(), DiskError> {
    const STEP_BYTES: u64 = 4096;
    if bytes.is_empty() {
        return Ok(());
    }
    let stored = || {
        let file = match files.open_write(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => files.create(path),
            result => result,
        }?;
        let (at, end) = (at as u64, (at + bytes.len()) as u64);
        let file_bytes = file.len()?;
        if end > file_bytes {
            file.allocate(file_bytes..end.next_multiple_of(STEP_BYTES))?;
        }
        file.write(&[IoSlice::new(bytes)], at)
    };
    match stored() {
        Err(error) if files.latched().is_some() => Err(error),
        Err(error) => {
            tracing::warn!(%error, "an index could not be stored; lookups will walk the segment instead");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
