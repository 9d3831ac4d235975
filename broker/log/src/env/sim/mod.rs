//! The simulated world: a disk, a clock and entropy driven by one seed.
//!
//! Never part of a release build. The same seed and the same calls in the same order give the same world; calls from
//! several threads are safe but then their order is the scheduler's.

#[cfg(not(debug_assertions))]
compile_error!("feature `sim` needs debug assertions: build with the profile `sim`, never with `release`");

mod clock;
mod content;
mod disk;
mod entropy;
mod faults;
mod file;
mod tree;
mod world;

pub use clock::SimClock;
pub use disk::SimDisk;
pub use entropy::SimEntropy;
pub use faults::{Fault, FaultError};
