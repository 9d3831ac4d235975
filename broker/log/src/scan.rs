//! Walking over stored batches, and searching for the next one behind damage.
//!
//! Bytes are looked at through windows of the file, so that neither a long scan nor a claimed length takes memory of
//! its own. A misfit is told, never judged: recovery and readers decide what it means.

use bytes::Bytes;
use fidelog_record::batch::{HEAD_BYTES, HEADER_BYTES, MAGIC};
use fidelog_record::types::{LeaderEpoch, Offset, TopicPartition};
use fidelog_record::{BatchHeader, Misfit};

use crate::epochs::EpochHistory;
use crate::files::{DiskError, StoredFile};

/// Bytes looked at in one go.
const WINDOW_BYTES: u64 = 256 * 1024;
const HEADER_LENGTH: u64 = HEADER_BYTES as u64;
/// The same around blocks that cannot be read.
const NARROW_BYTES: u64 = 2 * HEADER_LENGTH;

/// What a head says whose checksum fits this partition; its body is unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) position: u64,
    pub(crate) length: u64,
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) committed_below: Offset,
}

/// Looks at one file's batches, up to `limit`.
#[derive(Debug)]
pub(crate) struct Scan {
    file: StoredFile,
    at: TopicPartition,
    limit: u64,
    /// Bytes looked at in one go, at least.
    window_bytes: u64,
    window: Bytes,
    window_start: u64,
}

impl Scan {
    /// Looks at `file`, of partition `at`, below position `limit`, which is at most the file's length.
    pub(crate) fn new(file: &StoredFile, at: TopicPartition, limit: u64) -> Self {
        let window_bytes = WINDOW_BYTES;
        Self { file: file.clone(), at, limit, window_bytes, window: Bytes::new(), window_start: 0 }
    }

    /// The same in small windows, so that a block that cannot be read hides little else.
    pub(crate) fn narrow(file: &StoredFile, at: TopicPartition, limit: u64) -> Self {
        Self { window_bytes: NARROW_BYTES, ..Self::new(file, at, limit) }
    }

    /// The head at `position`, if one is there.
    pub(crate) fn head(&mut self, position: u64) -> Result<Result<Head, Misfit>, DiskError> {
        let at = self.at;
        let bytes = self.bytes(position, HEADER_LENGTH)?;
        Ok(read_head(bytes, at, position))
    }

    /// The batch at `position`, both checksums verified, if one is there.
    pub(crate) fn batch(&mut self, position: u64) -> Result<Result<BatchHeader, Misfit>, DiskError> {
        let head = match self.head(position)? {
            Ok(head) => head,
            Err(misfit) => return Ok(Err(misfit)),
        };
        let at = self.at;
        let bytes = self.bytes(position, head.length)?;
        Ok(BatchHeader::scan(bytes, at))
    }

    /// The first believable head at or behind `position`, searched byte by byte.
    pub(crate) fn search(&mut self, position: u64, belief: &Belief<'_>) -> Result<Option<Head>, DiskError> {
        let at = self.at;
        let mut position = position;
        while position + HEADER_LENGTH <= self.limit {
            // What is left of the window first: many heads in a row must not fetch it anew for each.
            let left = (self.window_start + self.window.len() as u64).saturating_sub(position);
            let in_window = position >= self.window_start && left >= HEADER_LENGTH;
            let count = if in_window { left } else { self.window_bytes };
            let bytes = self.bytes(position, count)?;
            // A head that begins in this stretch has its whole header in it; the next stretch begins behind.
            let starts = bytes.len() - (HEADER_BYTES - 1);
            for index in candidates(bytes, starts) {
                let head = read_head(&bytes[index..], at, position + index as u64);
                if let Ok(head) = head
                    && belief.believes(&head)
                {
                    return Ok(Some(head));
                }
            }
            position += starts as u64;
        }
        Ok(None)
    }

    /// All believable heads at or behind `position`: the first, and the greatest `committed_below`.
    pub(crate) fn search_all(&mut self, position: u64, belief: &Belief<'_>) -> Result<FoundHeads, DiskError> {
        let mut found = FoundHeads { first: None, committed_below: Offset::ZERO };
        let mut position = position;
        while let Some(head) = self.search(position, belief)? {
            found.first.get_or_insert(head);
            found.committed_below = found.committed_below.max(head.committed_below);
            position = head.position + 1;
        }
        Ok(found)
    }

    /// The bytes of the batch of `length` bytes at `position`, which was looked at before.
    pub(crate) fn batch_bytes(&mut self, position: u64, length: u64) -> Result<Bytes, DiskError> {
        let count = self.bytes(position, length)?.len();
        let from = usize::try_from(position - self.window_start)
            .expect("windows are smaller than the address space");
        Ok(self.window.slice(from..from + count))
    }

    /// Position behind the last byte from `position` on that is not zero; `position` when all are.
    pub(crate) fn last_nonzero_end(&mut self, position: u64) -> Result<u64, DiskError> {
        let (mut at, mut end) = (position, position);
        while at < self.limit {
            let bytes = self.bytes(at, WINDOW_BYTES.min(self.limit - at))?;
            if let Some(index) = bytes.iter().rposition(|&byte| byte != 0) {
                end = at + index as u64 + 1;
            }
            at += bytes.len() as u64;
        }
        Ok(end)
    }

    /// Up to `count` bytes from `position`: fewer only at the limit.
    fn bytes(&mut self, position: u64, count: u64) -> Result<&[u8], DiskError> {
        let end = position.saturating_add(count).min(self.limit);
        let start = position.min(end);
        if start < self.window_start || end > self.window_start + self.window.len() as u64 {
            let window_end = start.saturating_add(count.max(self.window_bytes)).min(self.limit);
            self.window = self.file.view(start..window_end)?;
            self.window_start = start;
        }
        let from =
            usize::try_from(start - self.window_start).expect("windows are smaller than the address space");
        let to =
            usize::try_from(end - self.window_start).expect("windows are smaller than the address space");
        Ok(&self.window[from..to])
    }
}

/// What a search for all heads found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundHeads {
    pub(crate) first: Option<Head>,
    pub(crate) committed_below: Offset,
}

/// Which heads are believed behind a misfit: a record may hold bytes that look like a batch.
#[derive(Debug)]
pub(crate) struct Belief<'a> {
    /// They begin beyond this offset.
    pub(crate) beyond: Offset,
    /// And before this one, the end of the segment.
    pub(crate) end: Offset,
    /// Their epoch is one of these; `None` where no epochs are known at all.
    pub(crate) epochs: Option<[&'a EpochHistory; 2]>,
}

impl Belief<'_> {
    fn believes(&self, head: &Head) -> bool {
        self.beyond < head.base
            && head.base < self.end
            && head.committed_below <= head.base
            && self.epochs.is_none_or(|epochs| epochs.iter().any(|epochs| epochs.knows(head.epoch)))
    }
}

fn candidates(bytes: &[u8], starts: usize) -> impl Iterator<Item = usize> {
    bytes[..starts]
        .iter()
        .enumerate()
        .filter(move |&(index, &byte)| byte == MAGIC[0] && bytes[index..].starts_with(&MAGIC))
        .map(|(index, _)| index)
}

/// Reads a head whose checksum fits; the layout is `fidelog_record::batch::header`'s.
fn read_head(bytes: &[u8], at: TopicPartition, position: u64) -> Result<Head, Misfit> {
    let length = u64::from(BatchHeader::scan_head(bytes, at)?);
    let head: &[u8; HEAD_BYTES] = bytes.first_chunk().expect("scan_head saw a whole header");
    let u64_at =
        |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes were sliced"));
    let epoch = u32::from_le_bytes(head[24..28].try_into().expect("four bytes were sliced"));
    Ok(Head {
        position,
        length,
        base: Offset(u64_at(8)),
        end: Offset(u64_at(16)),
        epoch: LeaderEpoch(epoch),
        committed_below: Offset(u64_at(40)),
    })
}
