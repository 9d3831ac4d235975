//! What lies in a log's directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fidelog_record::types::{Offset, TopicPartition};

use super::{RecoveryCase, RecoveryReport};
use crate::data_dir::DataDir;
use crate::env::EntryKind;
use crate::epochs::EpochHistory;
use crate::files::DiskError;
use crate::producer_files;
use crate::scan::Scan;
use crate::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentFiles};
use crate::small_file::{self, SmallFileError, UNFINISHED};
use crate::steps::remove_segment;

/// The segments of a log, by their names alone.
#[derive(Debug)]
pub(super) struct FoundFiles {
    pub(super) directory: PathBuf,
    /// In order.
    pub(super) bases: Vec<Offset>,
}

impl FoundFiles {
    pub(super) fn list(
        home: &DataDir,
        directory: &Path,
        report: &mut RecoveryReport,
    ) -> Result<Self, DiskError> {
        let mut bases = Vec::new();
        for entry in home.files().list(directory)? {
            let name = entry.name.as_str();
            if entry.kind == EntryKind::File && name.ends_with(UNFINISHED) {
                home.files().remove_if_present(&directory.join(name))?;
                report.note(RecoveryCase::Unfinished, name);
                continue;
            }
            match kind_of(name).filter(|_| entry.kind == EntryKind::File) {
                Some(Ours::Segment(base)) => bases.push(base),
                Some(Ours::Other) => {}
                None => report.note(RecoveryCase::Stray, name),
            }
        }
        bases.sort_unstable();
        Ok(Self { directory: directory.to_owned(), bases })
    }

    /// Finishes what retention began: segments that end at or before `start` go.
    pub(super) fn drop_below(
        &mut self,
        home: &DataDir,
        start: Offset,
        report: &mut RecoveryReport,
    ) -> Result<(), DiskError> {
        let kept = self.bases.partition_point(|base| *base <= start).saturating_sub(1);
        // A cut or a copied tail may have ended a segment right at `start` after retention had looked: without the
        // snapshot that the rest begins with, those batches still are the only memory of their producers.
        if kept == 0 || !producer_files::is_stored(home, &self.directory, self.bases[kept])? {
            return Ok(());
        }
        for base in self.bases.drain(..kept) {
            remove_segment(home.files(), &SegmentFiles::new(&self.directory, base))?;
            report.note(RecoveryCase::RetentionFinished, format!("segment {base}, start is {start}"));
        }
        home.files().sync_dir(&self.directory)
    }

    /// Sets segments beyond the cut that was under way aside, from the highest down.
    pub(super) fn drop_beyond(
        &mut self,
        home: &DataDir,
        at: TopicPartition,
        to: Offset,
        report: &mut RecoveryReport,
    ) -> Result<(), DiskError> {
        report.note(RecoveryCase::CutFinished, format!("to offset {to}"));
        while let Some(base) = self.bases.pop_if(|base| *base > to) {
            let names = SegmentFiles::new(&self.directory, base);
            home.aside().take(home.files(), &names.log, at, base, "cut")?;
            remove_segment(home.files(), &names)?;
        }
        home.files().sync_dir(&self.directory)
    }

    /// All segments but the last: each ends where the next begins.
    pub(super) fn sealed(&self, directory: &Path) -> Vec<Arc<Segment>> {
        self.bases.windows(2).map(|pair| Segment::sealed(directory, pair[0], pair[1])).collect()
    }
}

enum Ours {
    Segment(Offset),
    Other,
}

fn kind_of(name: &str) -> Option<Ours> {
    if name == "epochs" {
        return Some(Ours::Other);
    }
    let (digits, kind) = name.split_once('.')?;
    let base = Offset(digits.parse().ok().filter(|_| digits.len() == 20)?);
    match kind {
        "log" => Some(Ours::Segment(base)),
        "index" | "time" | "producers" => Some(Ours::Other),
        _ => None,
    }
}

/// The stored epochs; `None` where they must be rebuilt.
pub(super) fn read_epochs(
    home: &DataDir,
    directory: &Path,
    report: &mut RecoveryReport,
) -> Result<Option<EpochHistory>, DiskError> {
    match small_file::read(home.files(), &directory.join("epochs")) {
        Ok(epochs) => Ok(Some(epochs)),
        Err(SmallFileError::Missing { .. }) => Ok(None),
        // A disk that does not answer says nothing about what is stored.
        Err(SmallFileError::Disk(error)) => Err(error),
        Err(error) => {
            report.note(RecoveryCase::EpochsRebuilt, error.to_string());
            Ok(None)
        }
    }
}

/// The epochs that the heads of all segments tell, as far as they follow each other. Slow, and rare.
pub(super) fn rebuild_epochs(
    home: &DataDir,
    at: TopicPartition,
    segments: &[Arc<Segment>],
    report: &mut RecoveryReport,
) -> Result<EpochHistory, DiskError> {
    let mut epochs = EpochHistory::default();
    if !segments.is_empty() && !report.met(RecoveryCase::EpochsRebuilt) {
        report.note(RecoveryCase::EpochsRebuilt, "the file is missing");
    }
    for segment in segments {
        let file = home.files().open_read(&segment.files.log)?;
        let mut scan = Scan::new(&file, at, file.len()?);
        let (mut position, mut base) = (SEGMENT_HEADER_BYTES, segment.base);
        while base < segment.end() {
            let head = match scan.head(position)? {
                Ok(head) if head.base == base => head,
                // Without epochs no head behind damage can be believed; the rest of the segment stays untold.
                _ => break,
            };
            if epochs.append(head.epoch, head.base).is_err() {
                break;
            }
            (position, base) = (position + head.length, head.end);
        }
    }
    Ok(epochs)
}
