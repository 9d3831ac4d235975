//! Floor 2: the world as traits.
//!
//! Files, time and randomness are reached only through these traits, so that a seed can drive everything above
//! them. `RealDisk`, `RealClock` and `RealEntropy` are this machine's; `sim` (behind the feature of that name) is
//! the simulated disk, clock and entropy. `Latched` stands between a disk and everything that uses one data
//! directory of it.
//!
//! The traits: `disk`, `clock`, `entropy`. The real ones: `real_disk` with `real_file`, `filesystem` and `mapping`
//! (the only unsafe code), `real_clock`, `real_entropy`. Failed syncs: `latched` with `latch` and `sync_group`. Bugs
//! planted for the simulator: `planted`.

mod clock;
mod disk;
mod entropy;
mod filesystem;
mod latch;
mod latched;
mod mapping;
mod operation;
pub mod planted;
mod real_clock;
mod real_disk;
mod real_entropy;
mod real_file;
#[cfg(feature = "sim")]
pub mod sim;
mod sync_failed;
mod sync_group;
mod written_tail;

pub use clock::{Clock, Moment};
pub use disk::{DirEntry, Disk, DiskFile, EntryKind, FilesystemKind, OpenMode};
pub use entropy::Entropy;
pub use latch::{DirectoryLatched, Latch, LatchReason};
pub use latched::Latched;
pub(crate) use latched::is_io_error;
pub use operation::Operation;
pub use real_clock::RealClock;
pub use real_disk::RealDisk;
pub use real_entropy::RealEntropy;
pub use sync_failed::SyncFailed;
