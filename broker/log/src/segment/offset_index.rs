//! Offset index of one segment: where, roughly, a record lies.
//!
//! One entry for every `index_every_bytes` of batches. Stored in `<base>.index` as entries of 16 bytes:
//!
//! ```text
//!   0  8  offset    u64, base offset of a batch
//!   8  4  position  u32, where in the file that batch begins
//!  12  4  crc       u32, CRC-32/IEEE over the segment's base offset (u64) and bytes 0..12
//! ```
//!
//! The file is a hint: never synced, read up to the first entry that does not verify or does not rise, and no entry
//! is believed before the batch it points to has been found there. A missing file costs time, never data.

use fidelog_record::types::Offset;

/// Bytes of a stored entry.
pub(crate) const ENTRY_BYTES: usize = 16;

/// A batch and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) offset: Offset,
    pub(crate) position: u64,
}

/// Entries in rising order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OffsetIndex {
    entries: Vec<IndexEntry>,
}

impl OffsetIndex {
    pub(crate) fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    pub(crate) fn push(&mut self, entry: IndexEntry) {
        debug_assert!(
            self.entries
                .last()
                .is_none_or(|last| last.offset < entry.offset && last.position < entry.position)
        );
        self.entries.push(entry);
    }

    /// The last entry at or before `offset`.
    pub(crate) fn floor(&self, offset: Offset) -> Option<IndexEntry> {
        let after = self.entries.partition_point(|entry| entry.offset <= offset);
        after.checked_sub(1).map(|index| self.entries[index])
    }

    /// Forgets entries at or beyond `end`.
    pub(crate) fn cut(&mut self, end: Offset) {
        let kept = self.entries.partition_point(|entry| entry.offset < end);
        self.entries.truncate(kept);
    }

    /// The stored form of the entries from index `from` on.
    pub(crate) fn encode(&self, base: Offset, from: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity((self.entries.len() - from) * ENTRY_BYTES);
        for entry in &self.entries[from..] {
            let position = u32::try_from(entry.position).expect("a segment is smaller than 4 GiB");
            let start = bytes.len();
            bytes.extend_from_slice(&entry.offset.0.to_le_bytes());
            bytes.extend_from_slice(&position.to_le_bytes());
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
            let rises = |last: &IndexEntry| last.offset < entry.offset && last.position < entry.position;
            if entry.offset < base || !index.entries.last().is_none_or(rises) {
                break;
            }
            index.entries.push(entry);
        }
        index
    }
}

fn decode_entry(base: Offset, raw: &[u8]) -> Option<IndexEntry> {
    let offset = Offset(u64::from_le_bytes(raw[..8].try_into().ok()?));
    let position = u64::from(u32::from_le_bytes(raw[8..12].try_into().ok()?));
    let crc = u32::from_le_bytes(raw[12..16].try_into().ok()?);
    (crc == entry_crc(base, &raw[..12])).then_some(IndexEntry { offset, position })
}

/// Checksum of a hint entry, bound to its segment.
pub(super) fn entry_crc(base: Offset, fields: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&base.0.to_le_bytes());
    hasher.update(fields);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(steps: &[(u64, u64)]) -> OffsetIndex {
        let mut index = OffsetIndex::default();
        let (mut offset, mut position) = (100, 64);
        for (offset_step, position_step) in steps {
            index.push(IndexEntry { offset: Offset(offset), position });
            offset += offset_step;
            position += position_step;
        }
        index
    }

    #[test]
    fn the_floor_is_the_last_entry_at_or_before() {
        let index = index(&[(10, 300), (5, 300), (1, 300)]);
        assert_eq!(index.floor(Offset(99)), None);
        assert_eq!(index.floor(Offset(109)).unwrap().position, 64);
        assert_eq!(index.floor(Offset(110)).unwrap().position, 364);
        assert_eq!(index.floor(Offset(9999)).unwrap().position, 664);
    }

    proptest! {
        #[test]
        fn entries_survive_and_damage_only_shortens(steps in prop::collection::vec((1u64..99, 1u64..9999), 1..40), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let index = index(&steps);
            let mut bytes = index.encode(Offset(100), 0);
            bytes.extend_from_slice(&[0; 40]); // allocated, unused
            prop_assert_eq!(&OffsetIndex::decode(Offset(100), &bytes), &index);
            prop_assert_eq!(OffsetIndex::decode(Offset(101), &bytes).entries().len(), 0);
            let at = at.index(steps.len() * ENTRY_BYTES);
            bytes[at] ^= flip;
            let shorter = OffsetIndex::decode(Offset(100), &bytes);
            prop_assert_eq!(shorter.entries(), &index.entries()[..at / ENTRY_BYTES]);
        }
    }
}
