//! Verifying every batch of what was found.

use std::ops::Range;
use std::path::PathBuf;

use fidelog_record::types::{Offset, TopicPartition};

use super::dir::{OfflineDir, OfflineError, OfflinePartition, OfflineSegment};
use super::walk::{BatchMisfit, Piece, SegmentTail};
use crate::files::DiskError;
use crate::segment::SegmentHeaderMisfit;

/// Damaged places kept per segment; more are only counted.
const DAMAGE_KEPT_MAX: usize = 1000;

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Bytes of segment files looked at.
    pub bytes_done: u64,
    /// Bytes of all segment files.
    pub bytes_total: u64,
}

/// What a segment turned out to be, in rising order of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SegmentVerdict {
    /// Everything fits.
    Sound,
    /// Everything fits, but the next start has something to cut at the end.
    TornTail,
    /// Its header or some of its records are damaged.
    Damaged,
    /// The disk did not answer somewhere; what was not read may be sound.
    Unreadable,
}

/// A verified segment.
#[derive(Clone, Debug)]
pub struct VerifiedSegment {
    /// The file.
    pub path: PathBuf,
    /// The partition, where it could be told.
    pub partition: Option<TopicPartition>,
    /// Offset of its first record, by its name.
    pub base: Offset,
    /// Exclusive end of what was walked over.
    pub end: Offset,
    /// Whole batches.
    pub batches: u64,
    /// Their records.
    pub records: u64,
    /// Their bytes.
    pub batch_bytes: u64,
    /// Why its header is not believed, if so.
    pub header_misfit: Option<SegmentHeaderMisfit>,
    /// Damaged places: position in the file, offsets, why. The first thousand.
    pub damage: Vec<(u64, Range<Offset>, BatchMisfit)>,
    /// All damaged places.
    pub damage_count: u64,
    /// What follows the last batch; `None` when the walk did not come so far.
    pub tail: Option<SegmentTail>,
    /// What the disk said, if it did not answer.
    pub unreadable: Option<DiskError>,
}

impl VerifiedSegment {
    fn new(partition: Option<TopicPartition>, segment: &OfflineSegment) -> Self {
        Self {
            path: segment.path.clone(),
            partition,
            base: segment.base,
            end: segment.base,
            batches: 0,
            records: 0,
            batch_bytes: 0,
            header_misfit: segment.header.as_ref().err().cloned(),
            damage: Vec::new(),
            damage_count: 0,
            tail: None,
            unreadable: None,
        }
    }

    /// The worst of what was found.
    #[must_use]
    pub fn verdict(&self) -> SegmentVerdict {
        // A crash may leave a newest segment that has no byte yet: the next append replaces it.
        let unused = self.batches == 0 && matches!(self.tail, Some(SegmentTail::Unused { .. }));
        let header_lost = match &self.header_misfit {
            None => false,
            Some(SegmentHeaderMisfit::Short { .. } | SegmentHeaderMisfit::Damaged) => !unused,
            Some(_) => true,
        };
        if self.unreadable.is_some() {
            SegmentVerdict::Unreadable
        } else if self.damage_count > 0 || header_lost {
            SegmentVerdict::Damaged
        } else if matches!(self.tail, Some(SegmentTail::Torn { .. })) {
            SegmentVerdict::TornTail
        } else {
            SegmentVerdict::Sound
        }
    }

    fn note(&mut self, piece: Piece) {
        match piece {
            Piece::Batch(batch) => {
                self.batches += 1;
                self.records += u64::from(batch.header.record_count);
                self.batch_bytes += u64::from(batch.header.length);
            }
            Piece::Damage { position, offsets, misfit } => {
                self.damage_count += 1;
                if self.damage.len() < DAMAGE_KEPT_MAX {
                    self.damage.push((position, offsets, misfit));
                }
            }
        }
    }
}

impl OfflineDir {
    /// Verifies every batch of every segment. `progress` is told after each batch, and stops the verification by
    /// answering `false`: what was verified so far is then the answer, without the segment that was under way.
    ///
    /// Never fails: a disk that does not answer is told of the segment, and the others are looked at.
    pub fn verify(&self, mut progress: impl FnMut(VerifyProgress) -> bool) -> Vec<VerifiedSegment> {
        let bytes_total = self.file_bytes();
        let mut bytes_before = 0;
        let mut verified = Vec::new();
        for partition in self.partitions() {
            for segment in &partition.segments {
                let mut report = |position: u64| {
                    let bytes_done = (bytes_before + position).min(bytes_total);
                    progress(VerifyProgress { bytes_done, bytes_total })
                };
                match self.verify_segment(partition, segment, &mut report) {
                    Some(done) => verified.push(done),
                    None => return verified,
                }
                bytes_before += segment.file_bytes;
            }
        }
        verified
    }

    /// Verifies one segment; `progress` is told the position in the file. `None` when it said stop.
    pub fn verify_segment(
        &self,
        partition: &OfflinePartition,
        segment: &OfflineSegment,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Option<VerifiedSegment> {
        let mut verified = VerifiedSegment::new(partition.partition, segment);
        match self.walk(partition, segment) {
            Ok(mut walk) => loop {
                match walk.step() {
                    Ok(Some(piece)) => verified.note(piece),
                    Ok(None) => {
                        verified.end = walk.next_offset();
                        verified.tail = walk.tail().cloned();
                        break;
                    }
                    Err(error) => {
                        verified.end = walk.next_offset();
                        verified.unreadable = Some(error);
                        break;
                    }
                }
                if !progress(walk.position()) {
                    return None;
                }
            },
            Err(OfflineError::Disk(error)) => verified.unreadable = Some(error),
            Err(OfflineError::UnknownPartition { .. } | OfflineError::NoSegments { .. }) => {} // its header says why
        }
        progress(segment.file_bytes).then_some(verified)
    }
}
