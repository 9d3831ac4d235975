//! The Fidelog broker as a library: floors 4 to 9.
//!
//! A floor may use any floor below it and no floor above it:
//!
//! ```text
//!  9  node        builds everything once, runs it, drains it; owns the threads
//!  8  rpc         the only floor that names tonic and the proto crate
//!  7  group       consumer groups and their positions; state files are pure
//!  6  partition   one owner per partition: decide, write, wake; the machine is pure
//!  5  meta        cluster metadata behind one trait; the state is pure
//!  4  replica     leader and follower rules; pure
//! ```
//!
//! Floors 0 to 3 (vocabulary, batches, the world as traits, one partition's durable log) are the crates
//! `fidelog-record` and `fidelog-log`. Pure means: a step from (state, event, now) to (state, effects), without I/O,
//! clock, randomness, tasks or async, so that one seed can drive a whole cluster in a test.

pub mod group;
pub mod meta;
pub mod node;
pub mod partition;
pub mod replica;
pub mod rpc;

/// What the daemon needs of the floors below.
pub use fidelog_log::{DataDirError, Identity, LogConfig, env};
pub use fidelog_record::types;
