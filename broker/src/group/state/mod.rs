//! The state of one positions partition, and the entries of its log. Pure: no I/O, clock, randomness or async.
//!
//! ```text
//!  log of the partition:   entry entry entry [begin part part end] entry entry
//!                          ^ start before     ^ start after the trim
//!  Replay (from start) --finish--> PositionsState --apply--> PositionsState
//! ```
//!
//! Always true: the state is a function of the log alone, so that every owner of the partition, one after the other,
//! gives the same answers. Which commit counts is decided in [`PositionsState::apply`] and nowhere else (N18).

mod applied;
mod apply;
mod codec;
mod entry;
mod limits;
mod owner_name;
mod position;
mod positions;
mod replay;
mod snapshot;

#[cfg(test)]
mod apply_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod snapshot_tests;

pub use applied::{Applied, CommitFate, CommitResult, SnapshotStep};
pub use apply::ApplyError;
pub use codec::DecodeError;
pub use entry::{Commit, Entry, ResetTo, SnapshotSlice};
pub use limits::{Admission, LimitExceeded, PositionLimits};
pub use owner_name::{OwnerName, OwnerNameTooLong};
pub use position::{GroupPositions, PartitionPosition, Position, TopicPositions};
pub use positions::{GroupPage, PositionsState};
pub use replay::{NoSnapshot, Replay};
pub use snapshot::{SNAPSHOT_WEIGHT_MIN, SnapshotSizes};
