//! Finding and reading batches of one segment.
//!
//! Every batch that leaves here has been verified: head, body, and that it begins where the one before it ended. A
//! misfit below the published end is damage; its range reaches to the next believable batch, or to the segment's end.

use std::ops::Range;

use bytes::Bytes;
use fidelog_record::BatchHeader;
use fidelog_record::types::{Offset, TopicPartition};

use super::file::{OpenSegment, Segment};
use super::header::SEGMENT_HEADER_BYTES;
use crate::epochs::EpochHistory;
use crate::files::DiskError;
use crate::scan::{Belief, Head, Scan};

/// Where a record is, or why it cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// In the batch with this head.
    Batch(Head),
    /// Beyond the last batch of the segment, which ends at this position.
    End { position: u64 },
    /// In these offsets, which are damaged.
    Damage(Range<Offset>),
}

/// Whole batches, verified.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) bytes: Bytes,
    pub(crate) end: Offset,
}

/// Looks for batches of one segment.
#[derive(Debug)]
pub(crate) struct Lookup<'a> {
    pub(crate) at: TopicPartition,
    pub(crate) segment: &'a Segment,
    pub(crate) open: &'a OpenSegment,
    pub(crate) epochs: &'a EpochHistory,
    /// Exclusive end of what the caller may see of this segment.
    pub(crate) end: Offset,
}

impl Lookup<'_> {
    /// Finds the batch that holds `offset`.
    pub(crate) fn locate(&self, offset: Offset) -> Result<Located, DiskError> {
        let mut scan = Scan::new(&self.open.file, self.at, self.open.written_position());
        let (position, base) = self.nearest(&mut scan, offset)?;
        self.walk(&mut scan, position, base, |head| head.end > offset, offset)
    }

    /// Reads whole batches from the one that holds `from`: at least one, then as many as end below `self.end` and
    /// fit into `bytes_max` together.
    pub(crate) fn read(&self, from: Offset, bytes_max: u64) -> Result<Result<Run, Range<Offset>>, DiskError> {
        let head = match self.locate(from)? {
            Located::Batch(head) => head,
            Located::End { .. } => return Ok(Err(from..self.end)),
            Located::Damage(range) => return Ok(Err(range)),
        };
        let limit = self.open.written_position();
        let view_end = head.position.saturating_add(bytes_max.max(head.length)).min(limit);
        let bytes = self.open.file.view(head.position..view_end)?;
        let (mut used, mut end) = (0, head.base);
        while end < self.end {
            match BatchHeader::scan(&bytes[used..], self.at) {
                Ok(header) if header.base_offset == end && header.end_offset <= self.end => {
                    used += header.length as usize;
                    end = header.end_offset;
                }
                _ => break,
            }
        }
        if used == 0 {
            return Ok(Err(head.base..head.end));
        }
        Ok(Ok(Run { bytes: bytes.slice(..used), end }))
    }

    /// The first batch, from the one that holds `start` on, with a timestamp of at least `time_ms`: its base offset.
    pub(crate) fn at_time(&self, time_ms: u64, start: Offset) -> Result<Option<Offset>, DiskError> {
        let from = self.open.indexes.read().times.floor(time_ms).unwrap_or(self.segment.base).max(start);
        let mut found = None;
        self.each_batch(from, |header| {
            found = (header.max_timestamp_ms >= time_ms).then_some(header.base_offset);
            found.is_none()
        })?;
        Ok(found)
    }

    /// Greatest timestamp and last append time of the segment, Unix milliseconds.
    pub(crate) fn newest_times(&self) -> Result<(u64, u64), DiskError> {
        let last = self.open.indexes.read().times.entries().last().copied();
        let from = last.map_or(self.segment.base, |entry| entry.offset);
        let (mut timestamp, mut append) = (last.map_or(0, |entry| entry.max_before_ms), 0);
        self.each_batch(from, |header| {
            timestamp = timestamp.max(header.max_timestamp_ms);
            append = append.max(header.append_time_ms);
            true
        })?;
        Ok((timestamp, append))
    }

    /// When the first undamaged batch of the segment was appended, Unix milliseconds; 0 without batches.
    pub(crate) fn oldest_append(&self) -> Result<u64, DiskError> {
        let mut oldest = 0;
        self.each_batch(self.segment.base, |header| {
            oldest = header.append_time_ms;
            false
        })?;
        Ok(oldest)
    }

    /// Calls `visit` with every undamaged batch from the one that holds `from`, until it says no. Tells the damaged
    /// ranges passed over, and the position behind the last batch.
    pub(crate) fn each_batch(
        &self,
        from: Offset,
        mut visit: impl FnMut(&BatchHeader) -> bool,
    ) -> Result<Vec<Range<Offset>>, DiskError> {
        let mut damage = Vec::new();
        let mut scan = Scan::new(&self.open.file, self.at, self.open.written_position());
        let mut offset = from;
        let (mut position, mut base) = self.nearest(&mut scan, from)?;
        while offset < self.end {
            match self.walk(&mut scan, position, base, |head| head.end > offset, offset)? {
                Located::End { .. } => break,
                Located::Damage(range) => {
                    offset = range.end;
                    damage.push(range);
                }
                Located::Batch(head) => {
                    match scan.batch(head.position)? {
                        Ok(header) if !visit(&header) => return Ok(damage),
                        Ok(_) => {}
                        Err(_) => damage.push(head.base..head.end),
                    }
                    (position, base) = (head.position + head.length, head.end);
                    offset = head.end;
                }
            }
        }
        Ok(damage)
    }

    /// The nearest batch at or before `offset` that the index points to and that is there; else the segment's start.
    fn nearest(&self, scan: &mut Scan, offset: Offset) -> Result<(u64, Offset), DiskError> {
        let mut wanted = offset;
        loop {
            let entry = self.open.indexes.read().offsets.floor(wanted);
            let Some(entry) = entry else { return Ok((SEGMENT_HEADER_BYTES, self.segment.base)) };
            if scan.head(entry.position)?.is_ok_and(|head| head.base == entry.offset) {
                return Ok((entry.position, entry.offset));
            }
            match entry.offset.0.checked_sub(1) {
                Some(before) => wanted = Offset(before),
                None => return Ok((SEGMENT_HEADER_BYTES, self.segment.base)),
            }
        }
    }

    /// Steps from head to head until `found` says yes, around damage that ends at or before `wanted`.
    fn walk(
        &self,
        scan: &mut Scan,
        position: u64,
        base: Offset,
        found: impl Fn(&Head) -> bool,
        wanted: Offset,
    ) -> Result<Located, DiskError> {
        let (mut position, mut base) = (position, base);
        while base < self.end {
            match scan.head(position)? {
                Ok(head) if head.base == base => {
                    if found(&head) {
                        return Ok(Located::Batch(head));
                    }
                    (position, base) = (position + head.length, head.end);
                }
                _ => {
                    let belief = Belief { beyond: base, end: self.end, epochs: Some([self.epochs; 2]) };
                    let next = scan.search(position + 1, &belief)?;
                    let damage_end = next.map_or(self.end, |head| head.base);
                    match next {
                        Some(head) if damage_end <= wanted => (position, base) = (head.position, head.base),
                        _ => return Ok(Located::Damage(base..damage_end)),
                    }
                }
            }
        }
        Ok(Located::End { position })
    }
}
