//! The controller quorum: the one place that names the Raft library.
//!
//! ```text
//!   Proposal --proposer (at the leader): decide on the applied state--> Command::Batch --Raft log--> state machine
//!                                                                                          \--> published entries
//! ```
//!
//! Always true: a batch names the metadata index it was decided on and is applied there or nowhere, so that a change
//! of leaders can void a batch but never let an entry meet a state it was not decided on.

mod command;
mod types;

pub use command::{Applied, Command};
pub use types::{NodeId, TypeConfig, Voter};
