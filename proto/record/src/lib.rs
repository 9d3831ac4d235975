//! Fidelog's vocabulary and its record batch format: bytes and their meaning.
//!
//! Floor 0, [`types`], holds the words every other floor speaks in: offsets, epochs, ids, limits.
//! Floor 1 is everything else here: the batch format with its two checksums, records, compression
//! and the partitioner. Nothing in this crate does I/O, reads a clock or starts a task.

pub mod types;
