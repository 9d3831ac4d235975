//! Reading logs without a broker: what lies in a data directory, and whether it is sound.
//!
//! Always true: nothing is written, created, locked or mapped, so a broker may go on using the directory; what it does
//! meanwhile is seen or not. Names are believed as far as they parse, headers and batches as far as their checksums
//! fit, and memory is bounded by a window and one batch. No repair: that is for a start, and for the other replicas.
//!
//! ```text
//!  header | batch | batch | ###damage### | batch | torn? | 0 0 0 0 (allocated, not used yet)
//! ```

mod copying;
mod dir;
mod verify;
mod walk;

pub use dir::{OfflineDir, OfflineError, OfflinePartition, OfflineSegment};
pub use verify::{SegmentVerdict, VerifiedSegment, VerifyProgress};
pub use walk::{BatchMisfit, OfflineBatch, Piece, SegmentTail, SegmentWalk};

#[cfg(test)]
mod tests;
