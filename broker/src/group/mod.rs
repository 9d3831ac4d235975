//! Floor 7: where named groups of consumers stand.
//!
//! A group is a named set of positions with one owner per partition at a time: opening a position raises its
//! generation, commits carry it, an older one is fenced. Commits are records of an internal topic and so as durable
//! as data (G8); there is no second way to disk.
//!
//! ```text
//!  rpc --> Positions --queue--> Owner --batch--> partition of the internal topic
//!             ^                   |  <--committed, in log order--  |
//!             +----- answers -----+-- state::PositionsState::apply -+
//! ```
//!
//! [`state`] is pure and decides everything; [`Owner`] is the shell that writes, applies and answers; [`Positions`]
//! finds the owner of a group. Sharing partitions out among the members of a group is not done here, and neither is
//! checking that topics, partitions and offsets exist: callers do.

mod coordinator;
mod error;
mod hands;
mod log_reader;
mod owner;
#[cfg(test)]
mod owner_tests;
mod request;
pub mod state;
mod turn;
mod witness;

pub use coordinator::{POSITIONS_PARTITIONS, POSITIONS_TOPIC, Positions};
pub use error::{CallOutcome, PositionsError};
pub use hands::{Hands, RuntimeHands};
pub use owner::Owner;
pub use request::{CommitAll, Delete, Fetch, List, Open, Reset};
pub use witness::{QuorumWitness, Testimony, Witness};
