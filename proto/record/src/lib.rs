//! Fidelog's vocabulary and its record batch format: bytes and their meaning.
//!
//! Floor 0, [`types`], holds the words every other floor speaks in: offsets, epochs, ids, limits.
//! Floor 1 is everything else here. Nothing in this crate does I/O, reads a clock or starts a task, and nothing
//! in it panics on, or believes a size claimed by, bytes that came from elsewhere.
//!
//! | module | what it holds |
//! |---|---|
//! | [`types`] | offsets, epochs, ids, names, limits |
//! | [`record`] | a record as a program sees it: key, value, headers, timestamp |
//! | [`batch`] | the format byte by byte; building, placing, verifying and reading batches |
//! | [`door`] | everything a broker checks on a batch that arrives from a producer |
//! | [`codec`] | bounded compression of a records section |
//! | [`partitioner`] | which partition a key belongs to |
//!
//! The life of a batch, each arrow one call:
//!
//! ```text
//!  producer                              broker                              consumer
//!  BatchBuilder --finish--> EncodedBatch --door::check--> EncodedBatch
//!                                         --place--> PlacedBatch --parts--> stored, sent
//!                                                                  Batches --verified--> PlacedBatch --records--> StoredRecord
//! ```

pub mod batch;
mod checksum;
pub mod codec;
pub mod door;
pub mod partitioner;
pub mod record;
pub mod types;
mod varint;

pub use batch::{
    BatchBuilder, BatchHeader, Batches, EncodedBatch, HeaderError, Misfit, PlacedBatch, Placement,
    ProducerStamp, PushError, Records, StoredRecord,
};
pub use codec::Codec;
pub use record::{Header, HeaderName, HeaderRef, Record, RecordRef};
