//! The files of a mended segment before they take their place.
//!
//! Always true: a byte is written only where its block was allocated; what was written is synced every few megabytes,
//! so that no sync of this thread keeps the flusher's waiting for long; a file that was not handed over is removed,
//! and one that outlives its process goes at the next start.

use std::io::IoSlice;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fidelog_record::types::Offset;

use super::MendError;
use crate::data_dir::DataDir;
use crate::epochs::EpochHistory;
use crate::files::{DiskError, StoredFile};
use crate::segment::{
    Indexes, Lookup, OpenSegment, SEGMENT_HEADER_BYTES, Segment, SegmentFiles, SegmentHeader, Survey,
};
use crate::small_file::UNFINISHED;
use crate::view::LogView;

/// Written between two syncs, at most and about.
const SYNC_BYTES: u64 = 4 << 20;
/// Copied in one go.
const STEP_BYTES: u64 = 1 << 20;
/// Damaged bytes of a segment that are kept aside, at most.
const ASIDE_BYTES_MAX: u64 = 16 << 20;

/// A file that goes away unless it is handed over.
#[derive(Debug)]
pub(super) struct Unfinished {
    home: Arc<DataDir>,
    pub(super) path: PathBuf,
    /// It has another name now.
    pub(super) handed_over: bool,
}

impl Unfinished {
    fn create(home: &Arc<DataDir>, path: PathBuf) -> Result<(Self, StoredFile), DiskError> {
        home.files().remove_if_present(&path)?;
        let file = home.files().create(&path)?;
        Ok((Self { home: Arc::clone(home), path, handed_over: false }, file))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.handed_over
            && let Err(error) = self.home.files().remove_if_present(&self.path)
        {
            tracing::debug!(%error, "a file that is not needed was left; the next start removes it");
        }
    }
}

/// One file, which becomes a segment.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) base: Offset,
    pub(super) end: Offset,
    pub(super) names: SegmentFiles,
    pub(super) name: Unfinished,
    file: StoredFile,
    position: u64,
    /// Of the batches; filled when they are verified.
    pub(super) indexes: Indexes,
}

impl NewFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        let end = self.position + bytes.len() as u64;
        self.file.allocate(self.position..end)?;
        self.file.write(&[IoSlice::new(bytes)], self.position)?;
        self.position = end;
        Ok(())
    }
}

/// The files that a segment becomes: one, but for missing ones that are more than a segment may hold.
#[derive(Debug)]
pub(super) struct NewFiles {
    home: Arc<DataDir>,
    directory: PathBuf,
    header: SegmentHeader,
    path: PathBuf,
    /// A file takes no further batch once it would pass this; bytes.
    bytes_max: u64,
    files: Vec<NewFile>,
    unsynced_bytes: u64,
}

impl NewFiles {
    /// `needed` tells whether anything is going to be written.
    pub(super) fn new(
        view: &LogView,
        offsets: &Range<Offset>,
        replaced: Option<&Arc<Segment>>,
        needed: bool,
    ) -> Result<Self, MendError> {
        let home = Arc::clone(&view.shared.home);
        let directory = home.partition_path(view.partition());
        let opened = replaced.map(|segment| segment.opened(home.files(), home.open_files()));
        let old_bytes = match opened {
            Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Some(Ok(old)) => old.written_position(),
            Some(Err(_)) | None => 0,
        };
        let needed_bytes = home.free_bytes_min()?.saturating_add(old_bytes);
        let free_bytes = home.files().free_bytes(home.root())?;
        if needed && free_bytes < needed_bytes {
            return Err(MendError::NoRoom { free_bytes, needed_bytes });
        }
        Ok(Self {
            header: SegmentHeader {
                cluster: home.cluster_id(),
                partition: view.partition(),
                base: offsets.start,
            },
            path: SegmentFiles::new(&directory, offsets.start).log,
            bytes_max: home.config().segment_bytes.max(old_bytes),
            home,
            directory,
            files: Vec::new(),
            unsynced_bytes: 0,
        })
    }

    /// The file to be replaced.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file that takes `bytes` more, whose batches begin at `from`.
    fn file_for(&mut self, bytes: u64, from: Offset) -> Result<&mut NewFile, MendError> {
        let fits =
            |file: &NewFile| file.position + bytes <= self.bytes_max || file.position == SEGMENT_HEADER_BYTES;
        if !self.files.last().is_some_and(fits) {
            let names = SegmentFiles::new(&self.directory, from);
            let path = self.directory.join(format!("{:020}.mended{UNFINISHED}", from.0));
            let (name, file) = Unfinished::create(&self.home, path)?;
            let header = SegmentHeader { base: from, ..self.header };
            let indexes = Indexes::default();
            let mut file = NewFile { base: from, end: from, names, name, file, position: 0, indexes };
            file.write(&header.to_bytes())?;
            self.files.push(file);
        }
        Ok(self.files.last_mut().expect("one was pushed where none was fit"))
    }

    /// Writes batches of `offsets`, behind the last ones.
    pub(super) fn append(&mut self, batches: &Bytes, offsets: Range<Offset>) -> Result<(), MendError> {
        let bytes = batches.len() as u64;
        let file = self.file_for(bytes, offsets.start)?;
        file.write(batches)?;
        file.end = offsets.end;
        self.sync_some(bytes)
    }

    /// Copies `positions` of `old`, which hold `offsets`.
    pub(super) fn copy(
        &mut self,
        old: &StoredFile,
        positions: Range<u64>,
        offsets: Range<Offset>,
        paced: &mut impl FnMut(u64),
    ) -> Result<(), MendError> {
        self.file_for(positions.end - positions.start, offsets.start)?;
        let mut position = positions.start;
        while position < positions.end {
            let step = STEP_BYTES.min(positions.end - position);
            let bytes = old.read(position, step)?;
            let file = self.files.last_mut().expect("there is one, as asked for above");
            file.write(&bytes)?;
            file.end = offsets.end;
            self.sync_some(step)?;
            position += step;
            paced(step);
        }
        Ok(())
    }

    fn sync_some(&mut self, bytes: u64) -> Result<(), MendError> {
        self.unsynced_bytes += bytes;
        if self.unsynced_bytes >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    /// Syncs all files; a file is never left behind unsynced, so two are rarely dirty at once.
    fn sync(&mut self) -> Result<(), MendError> {
        for file in &self.files {
            file.file.sync()?;
        }
        self.unsynced_bytes = 0;
        Ok(())
    }

    /// Syncs the last bytes and reads all of them back.
    pub(super) fn finish(
        mut self,
        view: &LogView,
        epochs: &EpochHistory,
        end: Offset,
    ) -> Result<Vec<NewFile>, MendError> {
        self.sync()?;
        let mut due = self.header.base;
        for file in &mut self.files {
            if file.base != due {
                return Err(not_read_back(file, due..file.base));
            }
            verify(view, epochs, &self.directory, file)?;
            due = file.end;
        }
        match self.files.last() {
            Some(last) if due != end => Err(not_read_back(last, due..end)),
            _ => Ok(self.files),
        }
    }
}

/// Goes over every batch of a new file.
fn verify(
    view: &LogView,
    epochs: &EpochHistory,
    directory: &Path,
    file: &mut NewFile,
) -> Result<(), MendError> {
    let segment = Segment::sealed(directory, file.base, file.end);
    let open = OpenSegment::new(file.file.clone(), file.position, Indexes::default());
    let lookup = Lookup { at: view.partition(), segment: &segment, open: &open, epochs, end: file.end };
    let mut survey = Survey::whole(&lookup);
    while let Some(found) = survey.next()? {
        let Some(batch) = found.batch else { return Err(not_read_back(file, found.offsets)) };
        let every_bytes = view.shared.home.config().index_every_bytes;
        file.indexes.note(&batch, found.positions.start, every_bytes);
    }
    file.indexes.close(file.end);
    Ok(())
}

fn not_read_back(file: &NewFile, range: Range<Offset>) -> MendError {
    MendError::NotReadBack { path: file.name.path.clone(), range }
}

/// The damaged bytes, for whoever asks what became of them.
#[derive(Debug)]
pub(super) struct KeptAside {
    pub(super) name: Unfinished,
}

impl KeptAside {
    /// Copies `ranges` of the file of `old`, one behind the other, as far as there is room and they can be read.
    pub(super) fn copy_of(
        view: &LogView,
        old: &Arc<Segment>,
        ranges: &[Range<u64>],
    ) -> Result<Option<Self>, MendError> {
        let home = &view.shared.home;
        let path =
            home.partition_path(view.partition()).join(format!("{:020}.damaged{UNFINISHED}", old.base.0));
        let copied = || -> Result<Option<Self>, DiskError> {
            let (name, file) = Unfinished::create(home, path)?;
            let old = old.opened(home.files(), home.open_files())?;
            let mut position = 0;
            for range in ranges {
                let end = range.end.min(range.start.saturating_add(ASIDE_BYTES_MAX - position));
                if range.start < end {
                    file.allocate(position..position + (end - range.start))?;
                    file.copy_from(&old.file, range.start..end, position)?;
                    position += end - range.start;
                }
            }
            file.sync()?;
            Ok((position > 0).then_some(Self { name }))
        };
        match copied() {
            Err(error) if home.latched().is_none() => {
                tracing::warn!(%error, partition = %view.partition(), "damaged bytes are not kept aside");
                Ok(None)
            }
            result => Ok(result?),
        }
    }
}
