//! Why bytes are not the header of a batch, each cause by name. Says nothing about damage: that is
//! [`super::Misfit`].

use crate::codec::EXPANDED_BYTES_MAX;
use crate::types::limits::{BATCH_BYTES_MAX, BATCH_RECORD_COUNT_MAX};
use crate::types::{ProducerEpoch, Sequence};

use super::header::{HEADER_BYTES, MAGIC};

/// Why 104 bytes are not a header this version reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than a header, or than the batch it starts.
    #[error("a batch of {needed} bytes was cut to {available}")]
    TooShort {
        /// Bytes it takes.
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// More bytes than the batch.
    #[error("a batch of {length} bytes came in {available}; send exactly one batch")]
    TooLong {
        /// What it states.
        length: usize,
        /// Bytes there are.
        available: usize,
    },
    /// It does not begin like a batch.
    #[error("a batch begins with {MAGIC:02x?}, not {found:02x?}")]
    Magic {
        /// What stands there.
        found: [u8; 4],
    },
    /// A length no batch has.
    #[error(
        "a batch states a length of {length} bytes; more than {HEADER_BYTES} and at most {BATCH_BYTES_MAX} are allowed"
    )]
    Length {
        /// What it states.
        length: u32,
    },
    /// Attribute bits that have no meaning yet.
    #[error("a batch sets the reserved attribute bits {bits:#06x}; they must be zero")]
    Attributes {
        /// Those that are set.
        bits: u16,
    },
    /// A codec that does not exist yet.
    #[error("a batch is compressed with codec {id}; use 0 (none), 1 (lz4) or 2 (zstd)")]
    Codec {
        /// Its number.
        id: u16,
    },
    /// A checksum algorithm that does not exist yet.
    #[error("a batch uses checksum algorithm {id}; use 1 (CRC-32/IEEE)")]
    Checksum {
        /// Its number.
        id: u8,
    },
    /// An encoding of records that does not exist yet.
    #[error("a batch holds payload format {id}; use 1 (Fidelog records)")]
    PayloadFormat {
        /// Its number.
        id: u8,
    },
    /// No records, or too many.
    #[error("a batch states {count} records; 1 to {BATCH_RECORD_COUNT_MAX} are allowed")]
    RecordCount {
        /// What it states.
        count: u32,
    },
    /// An epoch or a sequence without a producer id.
    #[error(
        "a batch without a producer id states producer epoch {epoch} and base sequence {base_sequence}; both must be 0"
    )]
    Producer {
        /// What it states.
        epoch: ProducerEpoch,
        /// What it states.
        base_sequence: Sequence,
    },
    /// Sequences beyond the last one.
    #[error("a batch of {count} records starts at sequence {base_sequence}; sequences never wrap")]
    Sequence {
        /// What it states.
        base_sequence: Sequence,
        /// What it states.
        count: u32,
    },
    /// An expanded size that cannot be.
    #[error(
        "a batch states {expanded} bytes of records, stored as {stored}; at most {EXPANDED_BYTES_MAX} are allowed, and codec none keeps the size"
    )]
    ExpandedBytes {
        /// What it states.
        expanded: u32,
        /// Bytes of its records section as stored.
        stored: usize,
    },
    /// The reserved field is set.
    #[error("a batch sets its reserved field to {found:#010x}; it must be zero")]
    Reserved {
        /// What stands there.
        found: u32,
    },
}
