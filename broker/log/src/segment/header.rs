//! The header at the front of every segment file, byte by byte. Kept for ever.
//!
//! ```text
//!   0   8  magic           "FLSEGMT1"
//!   8   4  format_version  u32, 1
//!  12   4  partition       u32
//!  16  16  cluster id
//!  32  16  topic id
//!  48   8  base_offset     u64, offset of the first record; also the file's name, in 20 digits
//!  56   4  reserved        zero
//!  60   4  crc             u32, CRC-32/IEEE over bytes 0..60
//!  64   .. batches, one behind the other; then zeros, allocated and not yet used
//! ```
//!
//! Numbers are little-endian. A sealed segment's batches end where the next segment's base offset says; whatever
//! lies behind them in the file was cut and belongs to nobody.

use fidelog_record::types::{ClusterId, Offset, PartitionIndex, TopicId, TopicPartition};

/// The first eight bytes of every segment.
pub const SEGMENT_MAGIC: [u8; 8] = *b"FLSEGMT1";
/// Bytes of the header; the first batch follows.
pub const SEGMENT_HEADER_BYTES: u64 = 64;
/// The only version so far.
pub const SEGMENT_FORMAT_VERSION: u32 = 1;

const HEADER_LENGTH: usize = 64;
const CRC_AT: usize = 60;

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The cluster.
    pub cluster: ClusterId,
    /// The partition.
    pub partition: TopicPartition,
    /// Offset of the first record.
    pub base: Offset,
}

/// Why a header was not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentHeaderMisfit {
    /// The file is shorter than a header.
    #[error("the file has {file_bytes} bytes; a segment header takes {SEGMENT_HEADER_BYTES}")]
    Short {
        /// Its length.
        file_bytes: u64,
    },
    /// Not a header, or a damaged one.
    #[error("the segment header is damaged, or is none")]
    Damaged,
    /// A format that is not known yet.
    #[error("the segment has format version {found}; this program reads {SEGMENT_FORMAT_VERSION}")]
    Version {
        /// What it states.
        found: u32,
    },
    /// An undamaged header of another log, or of another place in this one.
    #[error("the segment belongs to partition {} of cluster {}, base offset {}", .0.partition, .0.cluster, .0.base)]
    Foreign(SegmentHeader),
}

impl SegmentHeader {
    /// The 64 bytes that say this.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_LENGTH] {
        let mut raw = [0; HEADER_LENGTH];
        raw[..8].copy_from_slice(&SEGMENT_MAGIC);
        raw[8..12].copy_from_slice(&SEGMENT_FORMAT_VERSION.to_le_bytes());
        raw[12..16].copy_from_slice(&self.partition.partition.0.to_le_bytes());
        raw[16..32].copy_from_slice(self.cluster.as_bytes());
        raw[32..48].copy_from_slice(self.partition.topic.as_bytes());
        raw[48..56].copy_from_slice(&self.base.0.to_le_bytes());
        let crc = crc32fast::hash(&raw[..CRC_AT]);
        raw[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        raw
    }

    /// Reads the first 64 of `bytes`.
    ///
    /// # Errors
    /// Every misfit but [`SegmentHeaderMisfit::Foreign`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SegmentHeaderMisfit> {
        let Some(raw) = bytes.first_chunk::<HEADER_LENGTH>() else {
            return Err(SegmentHeaderMisfit::Short { file_bytes: bytes.len() as u64 });
        };
        if raw[..8] != SEGMENT_MAGIC || u32_at(raw, CRC_AT) != crc32fast::hash(&raw[..CRC_AT]) {
            return Err(SegmentHeaderMisfit::Damaged);
        }
        let found = u32_at(raw, 8);
        if found != SEGMENT_FORMAT_VERSION {
            return Err(SegmentHeaderMisfit::Version { found });
        }
        let topic = TopicId::from_bytes(id_at(raw, 32));
        Ok(Self {
            cluster: ClusterId::from_bytes(id_at(raw, 16)),
            partition: TopicPartition { topic, partition: PartitionIndex(u32_at(raw, 12)) },
            base: Offset(u64_at(raw, 48)),
        })
    }

    /// Checks that `bytes` begin with exactly this header.
    ///
    /// # Errors
    /// What does not fit.
    pub fn verify(&self, bytes: &[u8]) -> Result<(), SegmentHeaderMisfit> {
        let found = Self::parse(bytes)?;
        if found == *self { Ok(()) } else { Err(SegmentHeaderMisfit::Foreign(found)) }
    }
}

fn u32_at(raw: &[u8; HEADER_LENGTH], at: usize) -> u32 {
    u32::from_le_bytes(raw[at..at + 4].try_into().expect("four bytes were sliced"))
}

fn u64_at(raw: &[u8; HEADER_LENGTH], at: usize) -> u64 {
    u64::from_le_bytes(raw[at..at + 8].try_into().expect("eight bytes were sliced"))
}

fn id_at(raw: &[u8; HEADER_LENGTH], at: usize) -> [u8; 16] {
    raw[at..at + 16].try_into().expect("sixteen bytes were sliced")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        let partition = TopicPartition { topic: TopicId::from_random([3; 16]), partition: PartitionIndex(5) };
        SegmentHeader { cluster: ClusterId::from_random([1; 16]), partition, base: Offset(77) }
    }

    #[test]
    fn a_header_survives_its_bytes() {
        assert_eq!(SegmentHeader::parse(&header().to_bytes()), Ok(header()));
        header().verify(&header().to_bytes()).unwrap();
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        for at in 0..HEADER_LENGTH {
            let mut raw = header().to_bytes();
            raw[at] ^= 0x10;
            assert!(SegmentHeader::parse(&raw).is_err(), "byte {at}");
            assert!(SegmentHeader::parse(&raw[..at]).is_err(), "length {at}");
        }
    }

    #[test]
    fn a_header_of_another_place_is_foreign() {
        let other = SegmentHeader { base: Offset(78), ..header() };
        assert_eq!(header().verify(&other.to_bytes()), Err(SegmentHeaderMisfit::Foreign(other)));
    }
}
