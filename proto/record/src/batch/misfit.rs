//! Why stored bytes are not the batch that should stand there.
//!
//! A misfit is a finding, not a verdict: whether it is a torn tail, to be cut, or damage, to be repaired, depends
//! on where it lies (DESIGN §5), and only the log knows that.

use crate::types::Offset;

use super::header::MAGIC;
use super::header_error::HeaderError;

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The bytes end before the batch does.
    #[error("a batch needs {needed} bytes; {available} are there")]
    TooShort {
        /// Bytes it takes: a header's, when not even that is there.
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// No batch begins here; four zeros are what an unwritten end of a file looks like.
    #[error("a batch begins with {MAGIC:02x?}, not {found:02x?}")]
    Magic {
        /// What stands there.
        found: [u8; 4],
    },
    /// A length that no batch has, or that disagrees with the bytes given.
    #[error("a batch states a length of {length} bytes, which does not fit")]
    Length {
        /// What it states.
        length: u32,
    },
    /// The head is damaged, or belongs to another partition.
    #[error(
        "the head's checksum is {computed:#010x}, stored is {stored:#010x}: damaged, or of another partition"
    )]
    HeadCrc {
        /// What the head states.
        stored: u32,
        /// What its bytes and the partition give.
        computed: u32,
    },
    /// The body is damaged.
    #[error("the body's checksum is {computed:#010x}, stored is {stored:#010x}: damaged")]
    BodyCrc {
        /// What the head states.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// Its offsets are fewer than its records.
    #[error("a batch covers too few offsets for its records: base {base}, end {end}")]
    Offsets {
        /// Its first offset.
        base: Offset,
        /// Its exclusive end.
        end: Offset,
    },
    /// It does not begin where the batch before it ended.
    #[error("a batch begins at offset {found}; the one before it ended at {expected}")]
    Order {
        /// Where the one before ended.
        expected: Offset,
        /// Where this one begins.
        found: Offset,
    },
    /// Undamaged, but not something this version reads.
    #[error("an undamaged batch cannot be read: {0}")]
    Unreadable(HeaderError),
}

impl From<HeaderError> for Misfit {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::TooShort { needed, available } => Self::TooShort { needed, available },
            HeaderError::Magic { found } => Self::Magic { found },
            HeaderError::Length { length } => Self::Length { length },
            other => Self::Unreadable(other),
        }
    }
}
