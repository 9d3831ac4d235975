//! What may be read of a partition here: committed batches, and what its leader remembers of producers.
//!
//! Always true: nothing is told that this leader does not know to be committed; what it does not know yet is "not yet",
//! never "out of range" (N6). Both read the disk: call them where blocking is allowed.

use bytes::Bytes;
use fidelog_record::types::{LeaderEpoch, Offset};

use super::shell::Partition;

/// What a read found.
#[derive(Debug)]
pub enum ReadAnswer {
    /// Whole batches as stored; the first may begin before the offset asked for.
    Batches {
        /// The bytes.
        bytes: Bytes,
        /// Where to go on.
        next: Offset,
    },
    /// Nothing is committed at or after the offset yet.
    Nothing,
}

/// Why a read cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadRefusal {
    /// This replica does not lead an open epoch.
    NotLeader,
    /// Below the start or above the end.
    OutOfRange {
        /// First offset kept.
        start: Offset,
        /// First offset not committed.
        committed_end: Offset,
    },
    /// It may exist, but this leader does not know it to be committed yet (N6).
    NotYet {
        /// First offset not known to be committed.
        committed_end: Offset,
    },
    /// Damaged, and not yet repaired.
    DataLoss(String),
    /// The disk could not be read.
    Disk(String),
}

impl Partition {
    /// Committed batches from `offset` on, about `bytes_max` of them and at least one. Reads the disk: call it where
    /// blocking is allowed.
    ///
    /// # Errors
    /// [`ReadRefusal`].
    pub fn read(&self, offset: Offset, bytes_max: usize) -> Result<ReadAnswer, ReadRefusal> {
        let published = self.published.borrow().clone();
        let positions = published.positions;
        if published.leading.is_none() {
            return Err(ReadRefusal::NotLeader);
        }
        if offset < positions.start {
            let (start, committed_end) = (positions.start, positions.committed_end);
            return Err(ReadRefusal::OutOfRange { start, committed_end });
        }
        if offset > positions.committed_end {
            let committed_end = positions.committed_end;
            // Out of touch, another may lead by now, and hold more.
            let knows = published.confirmed && published.in_touch;
            return Err(if knows && offset > self.inspect(|machine| machine.positions().end) {
                ReadRefusal::OutOfRange { start: positions.start, committed_end }
            } else {
                ReadRefusal::NotYet { committed_end }
            });
        }
        if offset == positions.committed_end {
            return Ok(ReadAnswer::Nothing);
        }
        let read = self.view().read(offset, bytes_max, positions.committed_end).map_err(refusal_of)?;
        Ok(ReadAnswer::Batches { bytes: read.batches, next: read.next_offset })
    }

    /// What this leader of `epoch` remembers of producers below `at`, for a follower that begins anew there, with a
    /// checksum. Reads the disk: call it where blocking is allowed.
    ///
    /// # Errors
    /// A sentence: it leads that epoch no more, its log begins elsewhere by now, or the disk says no.
    pub fn producers_below(&self, at: Offset, epoch: LeaderEpoch) -> Result<Vec<u8>, String> {
        let may_tell = || {
            let seen = self.published.borrow().clone();
            match (seen.leading == Some(epoch), seen.positions.start <= at) {
                (false, _) => Err(format!("{}: this broker does not lead in epoch {epoch}", self.id())),
                // Some of what lies below is forgotten.
                (_, false) => {
                    Err(format!("{}: the log begins at {} by now", self.id(), seen.positions.start))
                }
                (true, true) if at > seen.positions.committed_end => {
                    Err(format!("{}: {at} is above {}", self.id(), seen.positions.committed_end))
                }
                (true, true) => Ok(()),
            }
        };
        may_tell()?;
        let table = self.view().producers_at(at).map_err(|error| error.to_string())?;
        may_tell()?;
        Ok(table.to_bytes(at))
    }
}

fn refusal_of(error: fidelog_log::ReadError) -> ReadRefusal {
    use fidelog_log::ReadError;
    match error {
        ReadError::OutOfRange { start, end, .. } => ReadRefusal::OutOfRange { start, committed_end: end },
        damaged @ ReadError::DataLoss { .. } => ReadRefusal::DataLoss(damaged.to_string()),
        ReadError::Disk(error) => ReadRefusal::Disk(error.to_string()),
    }
}
