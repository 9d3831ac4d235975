//! Batches: the unit that is produced, checked, placed, stored, replicated and fetched.
//!
//! The bytes are laid out in [`mod@header`] and, for one record, in [`mod@layout`]. A batch is in one of two states,
//! and each is a type, because taking one for the other would lose data:
//!
//! - [`EncodedBatch`]: a producer fixed its records; it has no offsets. Made by [`BatchBuilder`], or from bytes
//!   that arrived, which [`crate::door`] checks.
//! - [`PlacedBatch`]: a leader gave it offsets, an epoch and a head checksum bound to its partition. Its body is
//!   the producer's, never copied and never changed.
//!
//! Readers verify both checksums before they look at a record: [`Batches`] does so for everything it yields,
//! [`PlacedBatch::verify`] for one batch, [`BatchHeader::scan`] for bytes on a disk.

mod batches;
mod builder;
mod encoded;
pub mod header;
mod header_error;
pub mod layout;
mod misfit;
mod placed;
mod records;

pub use batches::Batches;
pub use builder::{BatchBuilder, BatchLimits, FinishError, PushError};
pub use encoded::{EncodedBatch, Placement};
pub use header::{BatchHeader, HEAD_BYTES, HEADER_BYTES, MAGIC, ProducerStamp};
pub use header_error::HeaderError;
pub use layout::RecordError;
pub use misfit::Misfit;
pub use placed::PlacedBatch;
pub use records::{Records, RecordsError, StoredRecord};
