//! Time index of one segment: from where on, roughly, records are as young as a given time.
//!
//! An entry says that every batch of the segment before `offset` has no timestamp above `max_before_ms`. Stored in
//! `<base>.time` as entries of 20 bytes, a hint like the offset index:
//!
//! ```text
//!   0  8  max_before_ms  u64, Unix milliseconds, greatest timestamp of the segment's batches before `offset`
//!   8  8  offset         u64, base offset of a batch
//!  16  4  crc            u32, CRC-32/IEEE over the segment's base offset (u64) and bytes 0..16
//! ```

use fidelog_record::types::Offset;

use super::offset_index::entry_crc;

/// Bytes of a stored entry.
pub(crate) const ENTRY_BYTES: usize = 20;

/// How young the batches before an offset are at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) max_before_ms: u64,
    pub(crate) offset: Offset,
}

/// Entries in rising order of offset; times never fall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimeIndex {
    entries: Vec<TimeEntry>,
}

impl TimeIndex {
    pub(crate) fn entries(&self) -> &[TimeEntry] {
        &self.entries
    }

    pub(crate) fn push(&mut self, entry: TimeEntry) {
        self.entries.push(entry);
    }

    /// The greatest offset known to have only batches older than `time_ms` before it.
    pub(crate) fn floor(&self, time_ms: u64) -> Option<Offset> {
        let after = self.entries.partition_point(|entry| entry.max_before_ms < time_ms);
        after.checked_sub(1).map(|index| self.entries[index].offset)
    }

    /// Forgets entries beyond `end`; one at `end` speaks of batches before it only, and stays.
    pub(crate) fn cut(&mut self, end: Offset) {
        let kept = self.entries.partition_point(|entry| entry.offset <= end);
        self.entries.truncate(kept);
    }

    /// The stored form of the entries from index `from` on.
    pub(crate) fn encode(&self, base: Offset, from: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity((self.entries.len() - from) * ENTRY_BYTES);
        for entry in &self.entries[from..] {
            let start = bytes.len();
            bytes.extend_from_slice(&entry.max_before_ms.to_le_bytes());
            bytes.extend_from_slice(&entry.offset.0.to_le_bytes());
            let crc = entry_crc(base, &bytes[start..]);
            bytes.extend_from_slice(&crc.to_le_bytes());
        }
        bytes
    }

    /// Reads entries of the segment at `base` while they verify and rise.
    pub(crate) fn decode(base: Offset, bytes: &[u8]) -> Self {
        let mut index = Self::default();
        for raw in bytes.chunks_exact(ENTRY_BYTES) {
            let Some(entry) = decode_entry(base, raw) else { break };
            let rises =
                |last: &TimeEntry| last.offset < entry.offset && last.max_before_ms <= entry.max_before_ms;
            if entry.offset < base || !index.entries.last().is_none_or(rises) {
                break;
            }
            index.entries.push(entry);
        }
        index
    }
}

fn decode_entry(base: Offset, raw: &[u8]) -> Option<TimeEntry> {
    let max_before_ms = u64::from_le_bytes(raw[..8].try_into().ok()?);
    let offset = Offset(u64::from_le_bytes(raw[8..16].try_into().ok()?));
    let crc = u32::from_le_bytes(raw[16..20].try_into().ok()?);
    (crc == entry_crc(base, &raw[..16])).then_some(TimeEntry { max_before_ms, offset })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_survive_and_the_floor_never_skips(times in prop::collection::vec(0u64..50, 1..40), wanted in 0u64..60) {
            let mut index = TimeIndex::default();
            let mut max_before_ms = 0;
            for (place, time) in times.iter().enumerate() {
                index.push(TimeEntry { max_before_ms, offset: Offset(10 + place as u64) });
                max_before_ms = max_before_ms.max(*time);
            }
            prop_assert_eq!(&TimeIndex::decode(Offset(10), &index.encode(Offset(10), 0)), &index);
            let found = times.iter().position(|time| *time >= wanted).unwrap_or(times.len()) as u64;
            prop_assert!(index.floor(wanted).unwrap_or(Offset(10)).0 <= 10 + found);
        }
    }
}
