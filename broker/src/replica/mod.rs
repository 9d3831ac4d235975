//! Floor 4: the rules of leaders and followers (DESIGN §6, N1-N8), pure.
//!
//! [`Followers`] is what a leader knows of its followers, [`InSync`] which of them an acknowledgement waits for and
//! how that set changes, [`Reconciliation`] how a follower finds where its log and the leader's part. None of them
//! does I/O or reads a clock: the partition floor feeds them events and carries out what they say.

mod committed;
mod followers;
mod in_sync;
pub mod message;
mod reconciliation;

pub use committed::committed_end;
pub use followers::{Follower, FollowerState, Followers, Incarnate, StreamId, Told};
pub use in_sync::{InSync, Proposed};
pub use reconciliation::{Reconciliation, Step};
