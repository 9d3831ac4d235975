//! Zstandard: exactly one frame.
//!
//! The output grows as it is really written. The decoder's own memory is bounded by the window it accepts: a frame
//! that asks for more than 2^23 bytes is refused before its window is reserved.

use zstd::bulk::Compressor;
use zstd::stream::raw::{CParameter, DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{Codec, ExpandError, exactly};

/// Compression level: the codec's own default.
const LEVEL: i32 = 3;
/// Window our encoder uses, base 2 logarithm of bytes; small, for the reader's sake.
const WINDOW_LOG: u32 = 21;
/// Largest window our decoder accepts, base 2 logarithm of bytes: 8 MiB. Part of the format.
const WINDOW_LOG_MAX: u32 = 23;
/// How far the output grows ahead of what was written: this, or as much as was written.
const STEP_BYTES: usize = 64 * 1024;

const _: () = assert!(WINDOW_LOG <= WINDOW_LOG_MAX);

/// Appends the compressed section; how many bytes that took, or `None` when it does not get smaller.
pub(super) fn compress(section: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let before = out.len();
    // Room for no more than the section itself: an encoder that runs out of it has shrunk nothing.
    out.resize(before + section.len(), 0);
    let mut compressor = Compressor::new(LEVEL).ok()?;
    compressor.set_parameter(CParameter::WindowLog(WINDOW_LOG)).ok()?;
    compressor.compress_to_buffer(section, &mut out[before..]).ok()
}

pub(super) fn expand(stored: &[u8], stated: usize, out: &mut Vec<u8>) -> Result<(), ExpandError> {
    let malformed =
        |error: std::io::Error| ExpandError::Malformed { codec: Codec::Zstd, reason: error.to_string() };
    let mut decoder = Decoder::new().map_err(malformed)?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(malformed)?;
    let mut input = InBuffer::around(stored);
    loop {
        grow(out, stated);
        let (read, written) = (input.pos(), out.len());
        let wanted = {
            let mut output = OutBuffer::around_pos(out, written);
            decoder.run(&mut input, &mut output).map_err(malformed)?
        };
        // A buffer used again may have room beyond what is stated; what lands there was not allocated for it.
        if out.len() > stated {
            return Err(ExpandError::MoreThanStated { stated });
        }
        if wanted == 0 {
            break;
        }
        if (input.pos(), out.len()) == (read, written) {
            return Err(match out.len() == stated && input.pos() < stored.len() {
                true => ExpandError::MoreThanStated { stated },
                false => ExpandError::Malformed { codec: Codec::Zstd, reason: "the frame is cut off".into() },
            });
        }
    }
    if input.pos() < stored.len() {
        return Err(ExpandError::Trailing { count: stored.len() - input.pos() });
    }
    exactly(out.len(), stated)
}

/// Makes room behind a full `out`, never beyond `stated`.
fn grow(out: &mut Vec<u8>, stated: usize) {
    if out.len() == out.capacity() && out.len() < stated {
        let step = out.len().max(STEP_BYTES).min(stated - out.len());
        out.reserve_exact(step);
    }
}
