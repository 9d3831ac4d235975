//! The Raft log and the vote, over the store.
//!
//! ```text
//!            purged                                     last
//!   (removed) | entries in the file only | tail: also in memory |
//!                                              synced ^   ^ being written, readable already
//! ```
//!
//! Always true: a vote is synced before it is saved; an append's callback is called after its entries are synced; the
//! log has no holes, and entries that would make one are refused; the last entry known to be committed is written
//! along with whatever is written next, so that it may lag behind after a crash, and never runs ahead of the log.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{AnyError, DefensiveError, ErrorSubject, RaftLogReader, StorageIOError, Violation};
use parking_lot::Mutex;

use super::log_tail::LogTail;
use super::shared::Shared;
use super::stored::{decode_entry, encode_entry, encode_log_id, encode_vote};
use super::types::TypeConfig;
use super::{LogId, StorageError, Vote};
use crate::meta::store::{Change, Fact, StoreFile};

/// Bytes of entries sent to a follower in one message, as stored.
const READ_BYTES_MAX: usize = 1 << 20;

type Entry = openraft::Entry<TypeConfig>;

/// The log and the vote of one node. Clones are the same; all but the library's core only read.
#[derive(Clone, Debug)]
pub struct LogStore {
    shared: Arc<Shared>,
    head: Arc<Mutex<Head>>,
}

/// What is known of the log without reading it.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    /// The last entry removed from the front.
    pub(super) purged: Option<LogId>,
    /// The last entry; `purged` when there is none.
    pub(super) last: Option<LogId>,
    pub(super) tail: LogTail,
}

impl LogStore {
    pub(super) fn new(shared: Arc<Shared>, head: Head) -> Self {
        Self { shared, head: Arc::new(Mutex::new(head)) }
    }

    /// The entries from `start` up to before `end` that are there; the first ones of them when they are many bytes.
    async fn read(&self, start: u64, end: u64, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        let (start, tail_start, newer) = {
            let head = self.head.lock();
            let start = start.max(head.purged.map_or(0, |purged| purged.index + 1));
            (start, head.tail.first_index().unwrap_or(u64::MAX), head.tail.range(start..end, bytes_max))
        };
        if start >= end.min(tail_start) {
            return Ok(newer);
        }
        // What is in memory was taken first, so that nothing falls between the two.
        let older_end = end.min(tail_start);
        let read = move |file: &StoreFile| {
            let rows = file.log(start..older_end, bytes_max)?;
            let bytes_count: usize = rows.iter().map(|(_, bytes)| bytes.len()).sum();
            let decoded = rows.into_iter().map(|(index, bytes)| {
                decode_entry(&bytes).map_err(|error| file.damaged(format!("log entry {index}: {error}")))
            });
            Ok((decoded.collect::<Result<Vec<_>, _>>()?, bytes_count))
        };
        let (mut entries, bytes_count) = self.shared.read(read).await?;
        let reached = entries.last().is_some_and(|last| last.log_id.index + 1 == older_end);
        if bytes_max == usize::MAX || (reached && bytes_count < bytes_max) {
            entries.extend(newer);
        }
        Ok(entries)
    }

    /// The id of the entry before `index`, which is above what was purged.
    async fn id_before(&self, index: u64) -> Result<Option<LogId>, StorageError> {
        let before = match index.checked_sub(1) {
            Some(before) => self.read(before, index, usize::MAX).await?,
            None => Vec::new(),
        };
        Ok(before.last().map(|entry| entry.log_id).or(self.head.lock().purged))
    }
}

/// Entries that do not follow `last`, or each other.
fn hole_in(last: Option<LogId>, entries: &[Entry]) -> Option<Violation<u64>> {
    let mut prev = last;
    for entry in entries {
        let next = entry.log_id;
        if prev.is_some_and(|prev| prev.index.checked_add(1) != Some(next.index)) {
            return Some(Violation::LogsNonConsecutive { prev, next });
        }
        prev = Some(next);
    }
    None
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + std::fmt::Debug + Send>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start, end, usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        let mut entries = self.read(start, end, READ_BYTES_MAX).await?;
        // Purged meanwhile: what comes after the gap must not be sent as what follows before it.
        if entries.first().is_some_and(|first| first.log_id.index != start) {
            entries.clear();
        }
        Ok(entries)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let head = self.head.lock();
        Ok(LogState { last_purged_log_id: head.purged, last_log_id: head.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let changes = vec![Change::Keep(Fact::Vote, encode_vote(vote))];
        let written = self.shared.writer.write(changes).await;
        written.map_err(|stopped| StorageIOError::write_vote(AnyError::new(&stopped)))?;
        self.head.lock().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.head.lock().vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.head.lock().committed = committed;
        let Some(committed) = committed else { return Ok(()) };
        let change = Change::Keep(Fact::Committed, encode_log_id(&committed));
        let written = self.shared.writer.write_later(change);
        written.map_err(|stopped| StorageIOError::write(AnyError::new(&stopped)))?;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.head.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        // What was purged is covered by a snapshot, and is not kept again.
        let purged_end = self.head.lock().purged.map_or(0, |purged| purged.index + 1);
        let entries: Vec<Entry> =
            entries.into_iter().filter(|entry| entry.log_id.index >= purged_end).collect();
        let Some(last) = entries.last().map(|entry| entry.log_id) else {
            callback.log_io_completed(Ok(()));
            return Ok(());
        };
        let rows: Vec<_> = entries.iter().map(|entry| (entry.log_id.index, encode_entry(entry))).collect();
        {
            let mut head = self.head.lock();
            if let Some(violation) = hole_in(head.last, &entries) {
                return Err(DefensiveError::new(ErrorSubject::Logs, violation).into());
            }
            head.tail.push(entries.into_iter().zip(rows.iter().map(|(_, bytes)| bytes.len())));
            head.last = Some(last);
        }
        let head = Arc::clone(&self.head);
        self.shared.writer.write_then(vec![Change::Append(rows)], move |result| {
            if result.is_ok() {
                head.lock().tail.synced(last.index + 1);
            }
            callback.log_io_completed(result.map_err(std::io::Error::other));
        });
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let before = self.id_before(log_id.index).await?;
        // Gone from memory first, so that no reader finds them while they are removed.
        let reaches = {
            let mut head = self.head.lock();
            head.tail.cut_from(log_id.index);
            head.last.is_some_and(|last| last.index >= log_id.index)
        };
        let written = self.shared.writer.write(vec![Change::CutFrom(log_id.index)]).await;
        written.map_err(|stopped| StorageIOError::write_logs(AnyError::new(&stopped)))?;
        if reaches {
            self.head.lock().last = before;
        }
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let end = log_id.index + 1;
        // It may be written later, together with the snapshot that covers it; until then nobody reads what is gone.
        let change = Change::Purge { end, last: encode_log_id(&log_id) };
        let written = self.shared.writer.write(vec![change]).await;
        written.map_err(|stopped| StorageIOError::write_logs(AnyError::new(&stopped)))?;
        let mut head = self.head.lock();
        head.purged = Some(log_id);
        head.tail.cut_below(end);
        if head.last.is_none_or(|last| last.index < end) {
            head.last = Some(log_id);
        }
        Ok(())
    }
}
