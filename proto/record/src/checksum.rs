//! The one checksum of the batch format, CRC-32/IEEE, and what each of its two uses covers.

use crate::types::TopicPartition;

/// The format's id of CRC-32/IEEE, the only algorithm so far.
pub(crate) const CRC32_IEEE: u8 = 1;

/// Where in the head its own checksum lies; everything else in the head is covered by it.
const HEAD_CRC_AT: std::ops::Range<usize> = 28..32;

/// The sum a producer makes over everything it fixed: the batch from byte 52 on.
pub(crate) fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body)
}

/// The sum a leader makes over the place of a batch: its partition, which is not stored, and the head.
pub(crate) fn head_crc(at: TopicPartition, head: &[u8; 52]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(at.topic.as_bytes());
    hasher.update(&at.partition.0.to_le_bytes());
    hasher.update(&head[..HEAD_CRC_AT.start]);
    hasher.update(&head[HEAD_CRC_AT.end..]);
    hasher.finalize()
}
