//! Compression of a records section: bounded both ways, and never trusted.
//!
//! What is always true: nothing expands beyond the size its batch header states, and that size is held against
//! [`EXPANSION_RATIO_MAX`] and the batch limit before a byte is expanded. What is stored beside the section says
//! how large it becomes, so neither codec's own size fields are believed.
//!
//! | codec | stored as | memory while expanding, beyond the output |
//! |---|---|---|
//! | none | the section | none |
//! | lz4 | one LZ4 block, without size or frame | none; the output is reserved at once, at most 100 times what is stored and 64 KiB |
//! | zstd | exactly one frame, no dictionary, window at most 2^23 | 9 MiB: the window, and the decoder's tables |
//!
//! Not here: which codec a topic wants, and when compressing is worth it.

mod lz4;
mod zstandard;

use crate::batch::HEADER_BYTES;
use crate::types::limits::BATCH_BYTES_MAX;

/// A section may expand to this many times its stored size, and [`EXPANSION_FLOOR_BYTES`] more.
pub const EXPANSION_RATIO_MAX: usize = 100;
/// What any section may expand to, however small it is stored.
pub const EXPANSION_FLOOR_BYTES: usize = 64 * 1024;
/// The largest section once expanded.
pub const EXPANDED_BYTES_MAX: usize = BATCH_BYTES_MAX - HEADER_BYTES;

/// How a records section is compressed. The numbers are stored for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all: 0.
    #[default]
    None,
    /// As one LZ4 block: 1.
    Lz4,
    /// As one Zstandard frame: 2.
    Zstd,
}

impl Codec {
    /// Its number in a batch's attributes.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
        }
    }

    /// The codec with this number, if it is known.
    #[must_use]
    pub const fn from_id(id: u16) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Why a section cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// Its header states more than a batch may hold.
    #[error(
        "the records expand to {expanded} bytes; at most {EXPANDED_BYTES_MAX} are allowed, send smaller batches"
    )]
    TooLarge {
        /// What the header states.
        expanded: usize,
    },
    /// Its header states an expansion that only an attack needs.
    #[error(
        "the records expand from {stored} to {expanded} bytes; at most {EXPANSION_RATIO_MAX} times as many and \
         {EXPANSION_FLOOR_BYTES} bytes are allowed, send such records uncompressed"
    )]
    Ratio {
        /// Bytes stored.
        stored: usize,
        /// What the header states.
        expanded: usize,
    },
    /// It holds more than its header states; expanding stopped there.
    #[error("the records expand to more than the {stated} bytes their batch states")]
    MoreThanStated {
        /// What the header states.
        stated: usize,
    },
    /// It holds less than its header states.
    #[error("the records expand to {expanded} bytes; their batch states {stated}")]
    LessThanStated {
        /// What it really holds.
        expanded: usize,
        /// What the header states.
        stated: usize,
    },
    /// Bytes follow its end.
    #[error("{count} bytes follow the end of the compressed records")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// The codec cannot read it.
    #[error("the {codec:?} records cannot be read: {reason}")]
    Malformed {
        /// The codec.
        codec: Codec,
        /// What the codec says.
        reason: String,
    },
}

/// Compresses `section` onto the end of `out`; tells whether the result is worth storing.
///
/// When it is not (no smaller, or so much smaller that [`expand`] would call it an attack) `out` is as before.
pub(crate) fn compress(codec: Codec, section: &[u8], out: &mut Vec<u8>) -> bool {
    let before = out.len();
    let written = match codec {
        Codec::None => None,
        Codec::Lz4 => lz4::compress(section, out),
        Codec::Zstd => zstandard::compress(section, out),
    };
    let stored = written.unwrap_or(section.len());
    let worth = stored < section.len() && within_ratio(stored, section.len());
    out.truncate(if worth { before + stored } else { before });
    worth
}

/// Expands `stored` into `out`, whose former content is dropped and whose capacity is used again.
///
/// `expanded` is what the batch header states; the result has exactly that many bytes. `out` never grows beyond
/// it, save that it keeps a greater capacity it already had.
///
/// # Errors
/// When the stated size breaks a bound, or the section does not hold exactly that much. `out` then holds nothing.
pub fn expand(codec: Codec, stored: &[u8], expanded: usize, out: &mut Vec<u8>) -> Result<(), ExpandError> {
    out.clear();
    if expanded > EXPANDED_BYTES_MAX {
        return Err(ExpandError::TooLarge { expanded });
    }
    if !within_ratio(stored.len(), expanded) {
        return Err(ExpandError::Ratio { stored: stored.len(), expanded });
    }
    let outcome = match codec {
        Codec::None => copy(stored, expanded, out),
        Codec::Lz4 => lz4::expand(stored, expanded, out),
        Codec::Zstd => zstandard::expand(stored, expanded, out),
    };
    if outcome.is_err() {
        out.clear();
    }
    outcome
}

fn within_ratio(stored: usize, expanded: usize) -> bool {
    expanded <= stored.saturating_mul(EXPANSION_RATIO_MAX).saturating_add(EXPANSION_FLOOR_BYTES)
}

fn copy(stored: &[u8], stated: usize, out: &mut Vec<u8>) -> Result<(), ExpandError> {
    if stored.len() > stated {
        return Err(ExpandError::MoreThanStated { stated });
    }
    exactly(stored.len(), stated)?;
    out.extend_from_slice(stored);
    Ok(())
}

/// The last check of every codec: it holds what its batch states.
fn exactly(expanded: usize, stated: usize) -> Result<(), ExpandError> {
    if expanded < stated {
        return Err(ExpandError::LessThanStated { expanded, stated });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
