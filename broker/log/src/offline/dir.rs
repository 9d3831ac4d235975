//! Finding segments: below a data directory, a topic's or a partition's, or one file.

use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fidelog_record::types::{Offset, PartitionIndex, TopicId, TopicPartition};

use super::copying::Copying;
use super::walk::SegmentWalk;
use crate::env::{DirEntry, Disk, EntryKind, Latched, RealClock};
use crate::epochs::EpochHistory;
use crate::files::{DiskError, Files};
use crate::recovery_points::{RecoveryPoint, RecoveryPoints};
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, SegmentHeaderMisfit};
use crate::small_file::{self, SmallFileError, Stored};

/// Topic directory, partition directory, and one above for `topics` itself.
const DEPTH_MAX: usize = 3;
/// What was cut lies there: logs no more.
const NOT_LOGS: &str = "aside";

/// Why nothing can be read there.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OfflineError {
    /// No segment is there.
    #[error("{} holds no segments; segments are named after their base offset, 20 digits and .log", path.display())]
    NoSegments {
        /// Where they were looked for.
        path: PathBuf,
    },
    /// Neither its header nor its place says which partition it is of, and without that no checksum can be checked.
    #[error("{} cannot be read: {misfit}; below topics/<topic id>/<partition>/ it could be", path.display())]
    UnknownPartition {
        /// The file.
        path: PathBuf,
        /// Why its header is not believed.
        misfit: SegmentHeaderMisfit,
    },
    /// The disk said no.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Logs found below a path, as they were when it was opened.
#[derive(Debug)]
pub struct OfflineDir {
    files: Files,
    partitions: Vec<OfflinePartition>,
}

/// The segments of one directory.
#[derive(Clone, Debug)]
pub struct OfflinePartition {
    /// The directory.
    pub directory: PathBuf,
    /// Which partition, by the directory's place or, failing that, the first believable header.
    pub partition: Option<TopicPartition>,
    /// What `recovery-points` says of it, if that can be found and read.
    pub point: Option<RecoveryPoint>,
    /// Oldest first. When one file was asked for: that one.
    pub segments: Vec<OfflineSegment>,
    /// What `epochs` says, if it can be read; searching behind damage believes no other epochs.
    pub epochs: Option<EpochHistory>,
    is_whole: bool,
}

/// One segment file.
#[derive(Clone, Debug)]
pub struct OfflineSegment {
    /// The file.
    pub path: PathBuf,
    /// Offset of its first record, by its name.
    pub base: Offset,
    /// Exclusive, by the next segment's name; `None`: the newest, sealed by nothing.
    pub end: Option<Offset>,
    /// Its length, allocated and unused bytes included.
    pub file_bytes: u64,
    /// What its header says, or why it is not believed. One of another partition or place is not.
    pub header: Result<SegmentHeader, SegmentHeaderMisfit>,
}

impl OfflineSegment {
    /// Whether a later segment says where it ends.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.end.is_some()
    }
}

impl OfflinePartition {
    /// Offsets before the oldest segment that nobody gave up: their files are missing. Told only where the recovery
    /// point was found and all segments were asked for.
    #[must_use]
    pub fn missing(&self) -> Option<Range<Offset>> {
        let (start, first) = (self.point.as_ref()?.start, self.segments.first()?.base);
        (self.is_whole && start < first).then_some(start..first)
    }
}

impl OfflineDir {
    /// Finds the logs at `path`: a data directory, one within it, or a segment file. Takes no lock, and reads names,
    /// headers and small files only.
    ///
    /// # Errors
    /// [`OfflineError::NoSegments`], and whatever the disk says.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, OfflineError> {
        let disk = Arc::new(Copying(disk));
        let files = Files::new(Latched::new(disk, path, Arc::new(RealClock)));
        let mut finder = Finder { files: &files, points: None };
        let mut partitions = Vec::new();
        match files.list(path) {
            Ok(entries) => finder.below(path, &entries, DEPTH_MAX, &mut partitions)?,
            // A file has no entries; which error says so is up to the disk.
            Err(error) => match path.file_name().and_then(segment_base) {
                Some(base) => partitions.extend(finder.one_file(path, base)?),
                None if error.kind() == io::ErrorKind::NotADirectory => {}
                None => return Err(error.into()),
            },
        }
        if partitions.is_empty() {
            return Err(OfflineError::NoSegments { path: path.to_owned() });
        }
        Ok(Self { files, partitions })
    }

    /// The partitions found, in order of their directories.
    #[must_use]
    pub fn partitions(&self) -> &[OfflinePartition] {
        &self.partitions
    }

    /// Bytes of all segment files.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.partitions
            .iter()
            .flat_map(|partition| &partition.segments)
            .map(|segment| segment.file_bytes)
            .sum()
    }

    /// Reads the batches of one of `partition`'s segments.
    ///
    /// # Errors
    /// [`OfflineError::UnknownPartition`], and whatever the disk says.
    pub fn walk(
        &self,
        partition: &OfflinePartition,
        segment: &OfflineSegment,
    ) -> Result<SegmentWalk, OfflineError> {
        let at = match (partition.partition, &segment.header) {
            (Some(at), _) => at,
            (None, Ok(header)) => header.partition,
            (None, Err(misfit)) => {
                let (path, misfit) = (segment.path.clone(), misfit.clone());
                return Err(OfflineError::UnknownPartition { path, misfit });
            }
        };
        let file = self.files.open_read(&segment.path)?;
        let synced_end = match (&partition.point, segment.end) {
            (Some(point), None) if point.starting_over.is_none() => point.synced_end,
            _ => Offset::ZERO,
        };
        Ok(SegmentWalk::new(file, at, segment, synced_end, partition.epochs.clone()))
    }
}

/// Looks for segments.
struct Finder<'a> {
    files: &'a Files,
    /// Of the data directory looked at last; there may be ten thousand partitions, and one such file.
    points: Option<(PathBuf, RecoveryPoints)>,
}

impl Finder<'_> {
    fn below(
        &mut self,
        directory: &Path,
        entries: &[DirEntry],
        depth: usize,
        found: &mut Vec<OfflinePartition>,
    ) -> Result<(), OfflineError> {
        let bases = segment_bases(entries);
        if !bases.is_empty() {
            found.push(self.partition(directory, &bases, None)?);
        }
        let directories = entries.iter().filter(|entry| entry.kind == EntryKind::Directory);
        for entry in directories.filter(|entry| depth > 0 && entry.name != NOT_LOGS) {
            let inner = directory.join(&entry.name);
            match self.files.list(&inner) {
                Ok(entries) => self.below(&inner, &entries, depth - 1, found)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // deleted meanwhile
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn one_file(&mut self, path: &Path, base: Offset) -> Result<Option<OfflinePartition>, OfflineError> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let bases = segment_bases(&self.files.list(directory)?);
        let found = self.partition(directory, &bases, Some(base))?;
        Ok(Some(found).filter(|found| !found.segments.is_empty()))
    }

    /// The segments of one directory, or only the one at `only`.
    fn partition(
        &mut self,
        directory: &Path,
        bases: &[Offset],
        only: Option<Offset>,
    ) -> Result<OfflinePartition, OfflineError> {
        let placed = placed_partition(directory);
        let mut segments = Vec::new();
        let wanted = |base: Offset| only.is_none_or(|only| base == only);
        for (index, &base) in bases.iter().enumerate().filter(|(_, base)| wanted(**base)) {
            let path = directory.join(format!("{:020}.log", base.0));
            match look_at(self.files, path, base, bases.get(index + 1).copied(), placed) {
                Ok(segment) => segments.push(segment),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // given up meanwhile
                Err(error) => return Err(error.into()),
            }
        }
        let told = || segments.iter().find_map(|segment| Some(segment.header.as_ref().ok()?.partition));
        Ok(OfflinePartition {
            point: placed.and_then(|at| self.point(directory, at)),
            epochs: read_small(self.files, &directory.join("epochs")),
            directory: directory.to_owned(),
            partition: placed.or_else(told),
            is_whole: only.is_none(),
            segments,
        })
    }

    fn point(&mut self, directory: &Path, at: TopicPartition) -> Option<RecoveryPoint> {
        let root = directory.parent()?.parent()?.parent()?;
        if self.points.as_ref().is_none_or(|(of, _)| of != root) {
            let points = read_small(self.files, &root.join("recovery-points")).unwrap_or_default();
            self.points = Some((root.to_owned(), points));
        }
        self.points.as_ref().and_then(|(_, points)| points.get(at).cloned())
    }
}

fn look_at(
    files: &Files,
    path: PathBuf,
    base: Offset,
    end: Option<Offset>,
    placed: Option<TopicPartition>,
) -> Result<OfflineSegment, DiskError> {
    let file = files.open_read(&path)?;
    let file_bytes = file.len()?;
    let raw = file.read(0, file_bytes.min(SEGMENT_HEADER_BYTES))?;
    let header = SegmentHeader::parse(&raw).and_then(|header| {
        let here = header.base == base && placed.is_none_or(|at| header.partition == at);
        if here { Ok(header) } else { Err(SegmentHeaderMisfit::Foreign(header)) }
    });
    Ok(OfflineSegment { path, base, end, file_bytes, header })
}

/// Small files only sharpen the judgement; without them it is a little milder.
fn read_small<T: Stored>(files: &Files, path: &Path) -> Option<T> {
    match small_file::read(files, path) {
        Ok(value) => Some(value),
        Err(SmallFileError::Missing { .. }) => None,
        Err(error) => {
            tracing::debug!(%error, "read without it");
            None
        }
    }
}

/// Which partition a directory `<topic id>/<partition>` is of.
fn placed_partition(directory: &Path) -> Option<TopicPartition> {
    let partition = directory.file_name()?.to_str()?;
    let topic = directory.parent()?.file_name()?.to_str()?;
    let index: u32 = partition.parse().ok()?;
    let topic: TopicId = topic.parse().ok()?;
    let named = index.to_string() == partition;
    named.then_some(TopicPartition { topic, partition: PartitionIndex(index) })
}

/// In order.
fn segment_bases(entries: &[DirEntry]) -> Vec<Offset> {
    let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
    let mut bases: Vec<_> = files.filter_map(|entry| segment_base(OsStr::new(&entry.name))).collect();
    bases.sort_unstable();
    bases
}

fn segment_base(name: &OsStr) -> Option<Offset> {
    let digits = name.to_str()?.strip_suffix(".log")?;
    let sound = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    sound.then(|| digits.parse().ok().map(Offset))?
}
