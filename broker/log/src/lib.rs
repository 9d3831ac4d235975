//! Fidelog's durable log, floors 2 and 3 of the broker.
//!
//! Floor 2, [`mod@env`], is the world as traits: disk, clock and entropy, with the real ones beside them. It holds the
//! only unsafe code and the only calls of `std::fs` in the project. Floor 3 is everything else here: one
//! partition's segmented log, and the flusher that makes many of them durable together. Nothing here is async and
//! nothing starts a task: threads belong to the node, which calls `flush_once`.

pub mod env;

mod aside;
mod ballast;
mod config;
mod damage;
mod data_dir;
mod epochs;
mod failure;
mod files;
mod flusher;
mod growth;
mod identity;
mod log;
mod mend;
mod offline;
mod open_files;
mod producer_files;
mod producers;
mod recovery;
mod recovery_points;
mod remove;
mod retention;
mod scan;
mod scrub;
mod segment;
mod small_file;
mod steps;
#[cfg(test)]
mod testing;
mod view;

pub use config::{ConfigError, LogConfig};
pub use data_dir::{DataDir, DataDirError, Expected, Found};
pub use epochs::{EpochHistory, EpochOrderError, EpochStart};
pub use failure::{LogFailure, SecureError};
pub use files::DiskError;
pub use flusher::{FlushCounts, FlushOutcome, FlushTiming, Flusher, LogEvents, LogHandle, LogWork, Room};
pub use identity::{DATA_FORMAT_VERSION, Identity};
pub use log::Log;
pub use mend::{MendAnswer, MendDone, MendError, Mended, Mending};
pub use offline::{
    BatchMisfit, OfflineBatch, OfflineDir, OfflineError, OfflinePartition, OfflineSegment, Piece,
    SegmentTail, SegmentVerdict, SegmentWalk, VerifiedSegment, VerifyProgress,
};
pub use producers::{ProducerLimits, ProducerTable, Verdict};
pub use recovery::{Finding, OpenError, RecoveryCase, RecoveryReport};
pub use recovery_points::{RecoveryPoint, RecoveryPoints};
pub use retention::{OVERSIZE_SEGMENTS_MAX, Retention, new_start};
pub use scrub::BatchesDigest;
pub use segment::{
    SEGMENT_FORMAT_VERSION, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC, SegmentHeader, SegmentHeaderMisfit,
};
pub use small_file::{SmallFileError, Stored};
pub use steps::CutDone;
pub use view::{LogView, ReadError, ReadOutcome, SegmentInfo};
