//! Walking over the batches of one segment, around damage, judged as a start would judge it.
//!
//! Let S be the highest of: the recovery point, the segment's base, and any `committed_below` found. In the newest
//! segment a misfit below S is damage, and from S on a torn tail; in a sealed segment everything missing before its
//! end is damage. Zeros behind the last batch are room that is not used yet, and no damage.

use std::ops::Range;

use bytes::Bytes;
use fidelog_record::types::{Offset, TopicPartition};
use fidelog_record::{BatchHeader, Misfit};

use super::dir::OfflineSegment;
use crate::epochs::{EpochHistory, EpochOrderError};
use crate::files::{DiskError, StoredFile};
use crate::scan::{Belief, Scan};
use crate::segment::SEGMENT_HEADER_BYTES;

/// What stands at a place of a segment.
#[derive(Clone, Debug)]
pub enum Piece {
    /// A whole batch that fits: both checksums, its place, its epoch.
    Batch(OfflineBatch),
    /// Offsets that cannot be read.
    Damage {
        /// Where in the file it begins, bytes.
        position: u64,
        /// Which offsets.
        offsets: Range<Offset>,
        /// What did not fit.
        misfit: BatchMisfit,
    },
}

/// A verified batch.
#[derive(Clone, Debug)]
pub struct OfflineBatch {
    /// Where it begins in the file, bytes.
    pub position: u64,
    /// Its header.
    pub header: BatchHeader,
    /// All its bytes, as stored; `PlacedBatch::from_bytes` takes them.
    pub bytes: Bytes,
}

/// Why what stands at a place is not the batch that belongs there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchMisfit {
    /// It is no whole, undamaged batch of this partition.
    #[error(transparent)]
    Batch(#[from] Misfit),
    /// It begins at another offset than where the one before it ended.
    #[error("a batch begins at offset {found}; {expected} was to come")]
    Offset {
        /// Where it begins.
        found: Offset,
        /// Where it should.
        expected: Offset,
    },
    /// It ends beyond where the next segment begins.
    #[error("a batch ends at offset {found}, beyond the segment's end {end}")]
    BeyondEnd {
        /// Where it ends.
        found: Offset,
        /// The segment's end.
        end: Offset,
    },
    /// Its epoch does not follow.
    #[error(transparent)]
    Epoch(#[from] EpochOrderError),
}

/// What follows the last batch of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentTail {
    /// Nothing, or zeros: allocated, and not used yet.
    Unused {
        /// Up to the file's end.
        bytes: u64,
    },
    /// What a crash left behind the last batch of the newest segment: the next start keeps it aside and goes on. Of a
    /// broker that still runs it may be a batch that is being written right now.
    Torn {
        /// Where it begins.
        position: u64,
        /// Up to the last byte that is not zero.
        bytes: u64,
        /// Why it is no batch of the log.
        misfit: BatchMisfit,
    },
    /// Bytes behind the end of a sealed segment: cut, and the log went on in the next one. They belong to nobody.
    Cut {
        /// Where they begin.
        position: u64,
        /// Up to the last byte that is not zero.
        bytes: u64,
    },
}

/// Reads the batches of a segment, one by one.
#[derive(Debug)]
pub struct SegmentWalk {
    scan: Scan,
    file_bytes: u64,
    position: u64,
    next: Offset,
    /// Exclusive, of a sealed segment.
    end: Option<Offset>,
    /// S, as far as it is known.
    synced_end: Offset,
    stored_epochs: Option<EpochHistory>,
    /// Of the batches walked over.
    epochs: EpochHistory,
    tail: Option<SegmentTail>,
}

impl SegmentWalk {
    pub(super) fn new(
        file: StoredFile,
        at: TopicPartition,
        segment: &OfflineSegment,
        synced_end: Offset,
        stored_epochs: Option<EpochHistory>,
    ) -> Self {
        Self {
            scan: Scan::new(&file, at, segment.file_bytes),
            file_bytes: segment.file_bytes,
            position: SEGMENT_HEADER_BYTES.min(segment.file_bytes),
            next: segment.base,
            end: segment.end,
            synced_end: synced_end.max(segment.base),
            stored_epochs,
            epochs: EpochHistory::default(),
            tail: None,
        }
    }

    /// Exclusive end of what was walked over.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// Where in the file the walk stands, bytes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What follows the last batch, once [`Self::step`] has said `None`.
    #[must_use]
    pub fn tail(&self) -> Option<&SegmentTail> {
        self.tail.as_ref()
    }

    /// The next batch or damage; `None` behind the last one.
    ///
    /// # Errors
    /// Whatever the disk says; the walk may be asked again, and stands where it stood.
    pub fn step(&mut self) -> Result<Option<Piece>, DiskError> {
        if self.tail.is_some() {
            return Ok(None);
        }
        if self.end.is_some_and(|end| self.next >= end) {
            let bytes = self.scan.last_nonzero_end(self.position)? - self.position;
            let position = self.position;
            let unused = SegmentTail::Unused { bytes: self.file_bytes - position };
            self.tail = Some(if bytes == 0 { unused } else { SegmentTail::Cut { position, bytes } });
            return Ok(None);
        }
        match self.expected_batch()? {
            Ok(batch) => {
                self.position += u64::from(batch.header.length);
                self.next = batch.header.end_offset;
                self.synced_end = self.synced_end.max(batch.header.committed_below);
                Ok(Some(Piece::Batch(batch)))
            }
            Err(misfit) => self.judge(misfit),
        }
    }

    /// The batch that belongs here, or why what is here is not it.
    fn expected_batch(&mut self) -> Result<Result<OfflineBatch, BatchMisfit>, DiskError> {
        let position = self.position;
        let header = match self.scan.batch(position)? {
            Ok(header) => header,
            Err(misfit) => return Ok(Err(misfit.into())),
        };
        let (found, expected) = (header.base_offset, self.next);
        if found != expected {
            return Ok(Err(BatchMisfit::Offset { found, expected }));
        }
        if let Some(end) = self.end.filter(|end| header.end_offset > *end) {
            return Ok(Err(BatchMisfit::BeyondEnd { found: header.end_offset, end }));
        }
        if let Err(error) = self.epochs.append(header.leader_epoch, header.base_offset) {
            return Ok(Err(error.into()));
        }
        let bytes = self.scan.batch_bytes(position, u64::from(header.length))?;
        Ok(Ok(OfflineBatch { position, header, bytes }))
    }

    fn judge(&mut self, misfit: BatchMisfit) -> Result<Option<Piece>, DiskError> {
        let position = self.position;
        let used_end = self.scan.last_nonzero_end(position)?;
        let epochs = self.stored_epochs.as_ref().map(|stored| [stored, &self.epochs]);
        let end = self.end.unwrap_or(Offset(u64::MAX));
        let belief = Belief { beyond: self.next, end, epochs };
        let (next, missing_end) = match self.end {
            Some(end) => (self.scan.search(position.saturating_add(1), &belief)?, end),
            None => {
                let found = self.scan.search_all(position.saturating_add(1), &belief)?;
                self.synced_end = self.synced_end.max(found.committed_below);
                (found.first, self.synced_end)
            }
        };
        if self.next >= missing_end {
            let bytes = used_end - position;
            let unused = SegmentTail::Unused { bytes: self.file_bytes - position };
            self.tail = Some(if bytes == 0 { unused } else { SegmentTail::Torn { position, bytes, misfit } });
            return Ok(None);
        }
        let resumes = next.filter(|head| head.base <= missing_end);
        let offsets = self.next..resumes.map_or(missing_end, |head| head.base);
        self.next = offsets.end;
        // With nothing to go on with, what is left in the file is part of the damage.
        self.position = resumes.map_or(used_end, |head| head.position);
        Ok(Some(Piece::Damage { position, offsets, misfit }))
    }
}
