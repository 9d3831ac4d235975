//! Walking over the batches of a segment file, around damage.
//!
//! ```text
//!  header | batch | batch | ###damage### | batch | 0 0 0 0 (allocated, not yet used)
//! ```
//!
//! A misfit with a batch behind it is damage: a range of offsets that cannot be read. In a sealed segment, whose end
//! is known, everything missing before that end is damage. What follows the last batch of the newest segment is its
//! tail. Behind a misfit the next head is believed when its checksum fits, its offsets lie beyond, and what it says
//! was committed lies before it.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use fidelog_client::types::{Offset, TopicPartition};
use fidelog_log::SEGMENT_HEADER_BYTES;
use fidelog_log::env::DiskFile;
use fidelog_record::BatchHeader;
use fidelog_record::batch::{HEADER_BYTES, MAGIC};

const WINDOW_BYTES: u64 = 1024 * 1024;

/// What stands at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole batch, undamaged.
    Batch { position: u64, header: BatchHeader },
    /// Offsets that cannot be read.
    Damage { position: u64, offsets: Range<u64>, misfit: String },
}

/// What follows the last batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing, or zeros: room that is not used yet.
    Unused { bytes: u64 },
    /// Bytes that are no batch: a write that a crash cut short. A start keeps them aside and goes on.
    Torn { position: u64, bytes: u64, misfit: String },
    /// Cut, and the log went on in the next segment.
    Cut { bytes: u64 },
}

/// A walk over one file.
#[derive(Debug)]
pub(super) struct Walk {
    file: Arc<dyn DiskFile>,
    file_bytes: u64,
    at: TopicPartition,
    end: Option<Offset>,
    position: u64,
    next: Offset,
    tail: Option<Tail>,
    window: Vec<u8>,
    window_start: u64,
}

impl Walk {
    /// From the first batch of a segment on, whose header was believed.
    pub(super) fn new(
        file: Arc<dyn DiskFile>,
        file_bytes: u64,
        at: TopicPartition,
        base: Offset,
        end: Option<Offset>,
    ) -> Self {
        Self {
            file,
            file_bytes,
            at,
            end,
            position: SEGMENT_HEADER_BYTES,
            next: base,
            tail: None,
            window: Vec::new(),
            window_start: 0,
        }
    }

    /// The exclusive end of what was walked over.
    pub(super) fn next_offset(&self) -> Offset {
        self.next
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// What follows the last batch, once the walk is over.
    pub(super) fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// The bytes of a batch that was just found.
    pub(super) fn batch_bytes(&mut self, position: u64, header: &BatchHeader) -> io::Result<Vec<u8>> {
        Ok(self.bytes(position, header.length.into())?.to_vec())
    }

    /// The next batch or damage; `None` at the end.
    pub(super) fn step(&mut self) -> io::Result<Option<Found>> {
        if self.tail.is_some() {
            return Ok(None);
        }
        if self.end.is_some_and(|end| self.next >= end) {
            self.tail = Some(Tail::Cut { bytes: self.file_bytes.saturating_sub(self.position) });
            return Ok(None);
        }
        let position = self.position;
        let misfit = match self.batch_at(position)? {
            Ok(header) => {
                self.position += u64::from(header.length);
                self.next = header.end_offset;
                return Ok(Some(Found::Batch { position, header }));
            }
            Err(misfit) => misfit,
        };
        // From here on, not behind it: a sound batch may stand here that comes too early.
        let beyond = match self.search(position)? {
            Some((position, base)) => Some((position, base)),
            None => self.end.map(|end| (self.file_bytes, end)),
        };
        match beyond {
            Some((resume, base)) => {
                let offsets = self.next.0..base.0;
                (self.position, self.next) = (resume, base);
                Ok(Some(Found::Damage { position, offsets, misfit }))
            }
            None => {
                self.tail = Some(self.judge_tail(misfit)?);
                Ok(None)
            }
        }
    }

    /// The batch that must stand at `position`, or why it does not.
    fn batch_at(&mut self, position: u64) -> io::Result<Result<BatchHeader, String>> {
        let (at, next, end) = (self.at, self.next, self.end);
        let head = self.bytes(position, HEADER_BYTES as u64)?;
        let length = match BatchHeader::scan_head(head, at) {
            Ok(length) => length,
            Err(misfit) => return Ok(Err(misfit.to_string())),
        };
        let header = BatchHeader::scan(self.bytes(position, length.into())?, at);
        Ok(match header {
            Err(misfit) => Err(misfit.to_string()),
            Ok(header) if header.base_offset != next => {
                Err(format!("a batch begins at offset {}; {next} was to come", header.base_offset))
            }
            Ok(header) if end.is_some_and(|end| header.end_offset > end) => {
                Err(format!("a batch ends at offset {}, beyond the segment", header.end_offset))
            }
            Ok(header) => Ok(header),
        })
    }

    /// The first believable head at or behind `position`: where it lies, and its first offset.
    fn search(&mut self, position: u64) -> io::Result<Option<(u64, Offset)>> {
        let (at, next, end) = (self.at, self.next, self.end);
        let believed = |header: &BatchHeader| {
            header.base_offset > next
                && header.committed_below <= header.base_offset
                && end.is_none_or(|end| header.end_offset <= end)
        };
        let mut position = position;
        while position + (HEADER_BYTES as u64) <= self.file_bytes {
            let bytes = self.bytes(position, WINDOW_BYTES)?;
            // A head that begins in this stretch has its whole header in it; the next stretch begins behind.
            let starts = bytes.len() - (HEADER_BYTES - 1);
            for index in (0..starts).filter(|&index| bytes[index] == MAGIC[0]) {
                let head = &bytes[index..];
                if BatchHeader::scan_head(head, at).is_ok()
                    && let Ok(header) = BatchHeader::parse(head)
                    && believed(&header)
                {
                    return Ok(Some((position + index as u64, header.base_offset)));
                }
            }
            position += starts as u64;
        }
        Ok(None)
    }

    fn judge_tail(&mut self, misfit: String) -> io::Result<Tail> {
        let begin = self.position.min(self.file_bytes);
        let (mut position, bytes) = (begin, self.file_bytes - begin);
        while position < self.file_bytes {
            let window = self.bytes(position, WINDOW_BYTES)?;
            if window.iter().any(|byte| *byte != 0) {
                return Ok(Tail::Torn { position: begin, bytes, misfit });
            }
            position += window.len() as u64;
        }
        Ok(Tail::Unused { bytes })
    }

    /// Up to `count` bytes from `position`: fewer only at the file's end. A copy: the file may be written to.
    fn bytes(&mut self, position: u64, count: u64) -> io::Result<&[u8]> {
        let start = position.min(self.file_bytes);
        let end = start.saturating_add(count).min(self.file_bytes);
        let window_end = self.window_start + self.window.len() as u64;
        if start < self.window_start || end > window_end {
            let read_end = start.saturating_add(count.max(WINDOW_BYTES)).min(self.file_bytes);
            self.window.resize(index(read_end - start), 0);
            self.window_start = start;
            self.file.read_exact_at(&mut self.window, start)?;
        }
        Ok(&self.window[index(start - self.window_start)..index(end - self.window_start)])
    }
}

/// Within a window, which is never larger than a batch or [`WINDOW_BYTES`].
fn index(place: u64) -> usize {
    usize::try_from(place).expect("windows are smaller than the address space")
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
