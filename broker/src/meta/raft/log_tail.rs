//! The last entries of the Raft log in memory, so that what was just appended is replicated and applied without
//! asking the disk, and can be read before it is synced.
//!
//! Always true: the entries follow each other without a hole, and end where the log ends; an entry that is not synced
//! yet is never dropped from the front.

use std::collections::VecDeque;
use std::ops::Range;

use super::types::TypeConfig;

/// Entries kept in memory.
const ENTRIES_MAX: usize = 1024;
/// Their bytes, as stored. One entry is kept however large it is.
const BYTES_MAX: usize = 4 << 20;

type Entry = openraft::Entry<TypeConfig>;

#[derive(Debug, Default)]
pub(super) struct LogTail {
    /// With the size of each as stored.
    entries: VecDeque<(Entry, usize)>,
    bytes_count: usize,
    /// Everything before this index is synced.
    synced_end: u64,
}

impl LogTail {
    /// Appends entries that are being written. They follow what is here.
    pub(super) fn push(&mut self, entries: impl Iterator<Item = (Entry, usize)>) {
        for (entry, len) in entries {
            self.bytes_count += len;
            self.entries.push_back((entry, len));
        }
        self.forget_old();
    }

    /// Everything before `end` is synced.
    pub(super) fn synced(&mut self, end: u64) {
        self.synced_end = self.synced_end.max(end);
        self.forget_old();
    }

    /// Removes the entries from `index` on.
    pub(super) fn cut_from(&mut self, index: u64) {
        self.synced_end = self.synced_end.min(index);
        while self.entries.back().is_some_and(|(entry, _)| entry.log_id.index >= index) {
            self.entries.pop_back().inspect(|(_, len)| self.bytes_count -= len);
        }
    }

    /// Removes the entries before `end`.
    pub(super) fn cut_below(&mut self, end: u64) {
        while self.first_index().is_some_and(|first| first < end) {
            self.forget_first();
        }
    }

    /// The first index in memory; none when nothing is.
    pub(super) fn first_index(&self) -> Option<u64> {
        self.entries.front().map(|(entry, _)| entry.log_id.index)
    }

    /// The entries of `range` that are in memory: all, or the first ones up to about `bytes_max`, and then one at
    /// least.
    pub(super) fn range(&self, range: Range<u64>, bytes_max: usize) -> Vec<Entry> {
        let Some(first) = self.first_index() else { return Vec::new() };
        let skip = usize::try_from(range.start.saturating_sub(first)).unwrap_or(usize::MAX);
        let (mut found, mut bytes_count) = (Vec::new(), 0_usize);
        for (entry, len) in self.entries.iter().skip(skip) {
            bytes_count = bytes_count.saturating_add(*len);
            if entry.log_id.index >= range.end || (bytes_count > bytes_max && !found.is_empty()) {
                break;
            }
            found.push(entry.clone());
        }
        found
    }

    fn forget_old(&mut self) {
        while (self.entries.len() > ENTRIES_MAX || self.bytes_count > BYTES_MAX)
            && self.entries.len() > 1
            && self.first_index().is_some_and(|first| first < self.synced_end)
        {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        self.entries.pop_front().inspect(|(_, len)| self.bytes_count -= len);
    }
}
