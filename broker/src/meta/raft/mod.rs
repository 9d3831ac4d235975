//! The controller quorum: the one place that names the Raft library.
//!
//! ```text
//!   Proposal --proposer (at the leader): decide on the applied state--> Command::Batch --Raft log--> state machine
//!                                                                                          \--> published entries
//! ```
//!
//! What the library keeps: `store` opens it, `log_store` is its log and vote, `state_machine` its state with
//! `snapshot`; `stored` is how all that looks on disk.
//!
//! Always true: a batch names the metadata index it was decided on and is applied there or nowhere, so that a change
//! of leaders can void a batch but never let an entry meet a state it was not decided on.

mod ask;
mod command;
mod config;
mod confirmer;
mod heard;
mod leadership;
mod log_store;
mod log_tail;
mod members;
mod network;
mod proposer;
mod quorum;
mod rebuild;
mod receive;
mod seat;
mod shared;
mod snapshot;
mod state_machine;
mod store;
mod stored;
mod types;
mod until;
mod wire;

#[cfg(test)]
mod cluster_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod machine_tests;
#[cfg(test)]
mod stored_tests;
#[cfg(test)]
mod suite_tests;

pub use command::{Applied, Command};
pub use log_store::LogStore;
pub use quorum::{RaftParts, RaftQuorum, RaftStartError};
pub use rebuild::{RebuildError, RebuildPlan, Rebuilder, fnv};
pub use seat::{SeatParts, TellGeneration};
pub use snapshot::SnapshotBuilder;
pub use state_machine::StateMachine;
pub use store::{Contents, Opened, RaftStore};
pub use types::{NodeId, TypeConfig, Voter};
pub use wire::{Answer, CallError, Controller, Question, QuorumWire, RaftKind, RaftMessage};

/// The library's types over ours.
pub type LogId = openraft::LogId<NodeId>;
/// Whom a node follows or votes for.
pub type Vote = openraft::Vote<NodeId>;
/// Who votes and who learns.
pub type Membership = openraft::Membership<NodeId, Voter>;
/// The same, with the entry that says so.
pub type StoredMembership = openraft::StoredMembership<NodeId, Voter>;
/// What a snapshot is about.
pub type SnapshotMeta = openraft::SnapshotMeta<NodeId, Voter>;
/// A snapshot with its bytes.
pub type Snapshot = openraft::Snapshot<TypeConfig>;
/// Why the library stops.
pub type StorageError = openraft::StorageError<NodeId>;
