//! LZ4: one block, nothing around it.
//!
//! A block's decoder writes into a buffer of the final size. That size is not a mere claim when it gets here: it
//! is at most 100 times the bytes that were really sent, and 64 KiB.

use lz4_flex::block;

use super::{Codec, ExpandError, exactly};

/// Appends the compressed section; how many bytes that took, or `None` when it cannot be done.
pub(super) fn compress(section: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let before = out.len();
    out.resize(before + block::get_maximum_output_size(section.len()), 0);
    block::compress_into(section, &mut out[before..]).ok()
}

pub(super) fn expand(stored: &[u8], stated: usize, out: &mut Vec<u8>) -> Result<(), ExpandError> {
    out.reserve_exact(stated);
    out.resize(stated, 0);
    match block::decompress_into(stored, out) {
        Ok(expanded) => exactly(expanded, stated),
        Err(block::DecompressError::OutputTooSmall { .. }) => Err(ExpandError::MoreThanStated { stated }),
        Err(error) => Err(ExpandError::Malformed { codec: Codec::Lz4, reason: error.to_string() }),
    }
}
