//! Going over a segment batch by batch, around whatever cannot be kept of it.
//!
//! Stricter than a read: a batch counts only under the epoch that the log's history names for its offset. And more
//! patient: an unreadable block costs the batches that touch it, not the segment. Nothing is decided here.

use std::ops::Range;

use fidelog_record::BatchHeader;
use fidelog_record::batch::HEADER_BYTES;
use fidelog_record::types::Offset;

use super::header::SEGMENT_HEADER_BYTES;
use super::read::Lookup;
use crate::files::DiskError;
use crate::scan::{Belief, Head, Scan};

/// What a disk loses at once, at least; behind an unreadable block the search goes on at the next one.
const SECTOR_BYTES: u64 = 512;
/// How far the search behind an unreadable block goes sector by sector.
const AROUND_BYTES: u64 = 512 * 1024;

/// One batch, or a stretch that holds none that fits.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) offsets: Range<Offset>,
    /// Its bytes in the file; empty where the file ends before.
    pub(crate) positions: Range<u64>,
    /// `None`: damaged, unreadable, or not of this history.
    pub(crate) batch: Option<BatchHeader>,
}

/// A walk over one segment.
#[derive(Debug)]
pub(crate) struct Survey<'a> {
    lookup: &'a Lookup<'a>,
    limit: u64,
    scan: Scan,
    position: u64,
    next: Offset,
}

impl<'a> Survey<'a> {
    /// From the segment's first batch on.
    pub(crate) fn whole(lookup: &'a Lookup<'a>) -> Self {
        Self::begin(lookup, SEGMENT_HEADER_BYTES, lookup.segment.base)
    }

    /// From the nearest batch on that the index points to and that is there.
    pub(crate) fn near(lookup: &'a Lookup<'a>, offset: Offset) -> Self {
        let mut survey = Self::whole(lookup);
        let mut wanted = offset;
        loop {
            let entry = lookup.open.indexes.read().offsets.floor(wanted);
            let Some(entry) = entry else { return survey };
            survey.position = entry.position;
            if survey.head().is_ok_and(|head| head.is_some_and(|head| head.base == entry.offset)) {
                survey.next = entry.offset;
                return survey;
            }
            survey.position = SEGMENT_HEADER_BYTES;
            match entry.offset.0.checked_sub(1) {
                Some(before) => wanted = Offset(before),
                None => return survey,
            }
        }
    }

    fn begin(lookup: &'a Lookup<'a>, position: u64, next: Offset) -> Self {
        let limit = lookup.open.written_position();
        Self { lookup, limit, scan: Scan::new(&lookup.open.file, lookup.at, limit), position, next }
    }

    /// The next batch or damaged stretch; `None` at the end of the segment.
    ///
    /// # Errors
    /// Whatever the disk says but that it cannot read.
    pub(crate) fn next(&mut self) -> Result<Option<Found>, DiskError> {
        if self.next >= self.lookup.end {
            return Ok(None);
        }
        let (next, end) = (self.next, self.lookup.end);
        let fits = |head: &Head| head.base == next && next < head.end && head.end <= end;
        let found = match self.head()?.filter(fits) {
            Some(head) => {
                let batch = readable(self.scan.batch(head.position))?;
                let batch = match batch {
                    Some(batch) => batch.ok(),
                    None => readable(self.narrow().batch(head.position))?.and_then(Result::ok),
                };
                let named = self.lookup.epochs.epoch_at(head.base);
                Found {
                    offsets: head.base..head.end,
                    positions: head.position..head.position + head.length,
                    batch: batch.filter(|batch| named.is_none_or(|epoch| epoch == batch.leader_epoch)),
                }
            }
            None => {
                let resumes = self.search()?;
                let end = resumes.map_or((self.lookup.end, self.limit), |head| (head.base, head.position));
                let positions = self.position..end.1.max(self.position);
                Found { offsets: self.next..end.0, positions, batch: None }
            }
        };
        (self.position, self.next) = (found.positions.end, found.offsets.end);
        Ok(Some(found))
    }

    /// The head at the present position, if one is there and can be read.
    fn head(&mut self) -> Result<Option<Head>, DiskError> {
        match readable(self.scan.head(self.position))? {
            Some(head) => Ok(head.ok()),
            None => Ok(readable(self.narrow().head(self.position))?.and_then(Result::ok)),
        }
    }

    /// Looks at no more bytes than it is asked for.
    fn narrow(&self) -> Scan {
        Scan::narrow(&self.lookup.open.file, self.lookup.at, self.limit)
    }

    /// The first believable head behind the present position.
    fn search(&mut self) -> Result<Option<Head>, DiskError> {
        let belief =
            Belief { beyond: self.next, end: self.lookup.end, epochs: Some([self.lookup.epochs; 2]) };
        let mut position = self.position + 1;
        let mut narrow = None;
        while position < self.limit {
            let scan = narrow.as_mut().map_or(&mut self.scan, |(scan, _)| scan);
            match scan.search(position, &belief) {
                Ok(Some(head)) => return Ok(Some(head)),
                Ok(None) => match narrow.take() {
                    Some((_, end)) => position = end,
                    None => return Ok(None),
                },
                Err(error) if error.is_unreadable() => {
                    let failed = error.range.map_or(position, |range| range.start.max(position));
                    match &narrow {
                        // Narrow windows begin where they fail, or shortly before.
                        Some((_, end)) => {
                            position = (failed / SECTOR_BYTES + 1) * SECTOR_BYTES;
                            if position >= *end {
                                narrow = None;
                            }
                        }
                        None => {
                            position = failed;
                            let end = failed.saturating_add(AROUND_BYTES);
                            let limit = end.saturating_add(HEADER_BYTES as u64).min(self.limit);
                            let scan = Scan::narrow(&self.lookup.open.file, self.lookup.at, limit);
                            narrow = Some((scan, end));
                        }
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// `None` where the disk could not read.
fn readable<T>(result: Result<T, DiskError>) -> Result<Option<T>, DiskError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_unreadable() => Ok(None),
        Err(error) => Err(error),
    }
}
