//! Reading what is stored to see whether it is still what was written: before anybody asks for it.
//!
//! Every read verifies; a scrub reads what nobody reads. Damage that it meets is noted like any other. Replicas hold the
//! same batches, so their heads, which hold the checksums of the bodies, are enough to compare them by. Not here: when,
//! how fast, and with whom.

use std::ops::Range;

use fidelog_record::Batches;
use fidelog_record::batch::HEAD_BYTES;
use fidelog_record::types::Offset;

use crate::view::{LogView, ReadError};

/// Read in one go.
const STEP_BYTES: usize = 1 << 20;

/// What a run of batches looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchesDigest {
    /// CRC-32/IEEE over the heads.
    pub digest: u32,
    /// How many batches.
    pub batch_count: u32,
    /// Where the last one ends; the start of the range when there is none.
    pub end: Offset,
    /// Bytes read.
    pub bytes: u64,
}

impl LogView {
    /// Verifies the batches of `range` and digests their heads, in steps until about `bytes_max` were read. Blocking.
    ///
    /// # Errors
    /// As [`ReadError`] tells: damage in the range is noted, and no digest is made of the rest.
    pub fn digest(&self, range: Range<Offset>, bytes_max: usize) -> Result<BatchesDigest, ReadError> {
        let mut hasher = crc32fast::Hasher::new();
        let mut digest = BatchesDigest { digest: 0, batch_count: 0, end: range.start, bytes: 0 };
        while digest.end < range.end && digest.bytes < bytes_max as u64 {
            let read = self.read(digest.end, STEP_BYTES.min(bytes_max), range.end)?;
            if read.next_offset <= digest.end {
                break;
            }
            for batch in Batches::new(read.batches.clone(), self.partition()).map_while(Result::ok) {
                hasher.update(&batch.parts().0[..HEAD_BYTES]);
                digest.batch_count += 1;
            }
            digest.bytes += read.batches.len() as u64;
            digest.end = read.next_offset;
        }
        digest.digest = hasher.finalize();
        Ok(digest)
    }

    /// Where the sealed part of the log ends: what lies below does not change any more.
    #[must_use]
    pub fn sealed_end(&self) -> Offset {
        let state = self.shared.state.read();
        match state.segments.last() {
            Some(last) if last.is_active() => last.base,
            _ => state.written_end,
        }
    }
}
