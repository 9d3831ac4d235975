//! Fidelog's durable log, floors 2 and 3 of the broker.
//!
//! Floor 2, [`env`], is the world as traits: disk, clock and entropy, with the real ones beside them. It holds the
//! only unsafe code and the only calls of `std::fs` in the project. Floor 3 is everything else here: one
//! partition's segmented log, and the flusher that makes many of them durable together. Nothing here is async and
//! nothing starts a task: threads belong to the node, which calls `flush_once`.

pub mod env;
