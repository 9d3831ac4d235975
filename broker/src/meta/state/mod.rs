//! The cluster's metadata as a value: entries go in, a new state comes out.
//!
//! ```text
//!   Proposal --decide(state, now, minted ids)--> Entry --apply(index)--> state' + Changes
//!      \--> Refusal (definite, nothing happened)
//! ```
//!
//! Always true: [`ClusterState::decide`] and [`ClusterState::apply`] are pure; times and minted ids live inside
//! entries, so every node that applies the same entries holds the same state. An entry that `decide` produced always
//! applies; one that does not apply, or that this version does not know, stops the node. What is stored and sent
//! (entries, snapshots, proposals, refusals) is JSON with stable names, kept readable by golden files for ever.
//!
//! Elections happen inside apply: after every step on a partition it is settled who leads it, by the same rules
//! everywhere (N9-N12).
//!
//! Not here: who may decide (the quorum), where entries are kept (the store), sessions, heartbeats and timers
//! (volatile, at the active controller).

mod apply;
mod broker;
mod changes;
mod cluster;
mod codec;
mod config;
mod config_key;
mod controller;
mod decide;
mod defaults;
mod election;
mod entry;
mod moving;
mod outcome;
mod partition;
mod placement;
mod proposal;
mod rebuilt;
mod recovery;
mod refusal;
mod snapshot;
mod tombstone;
mod topic;

#[cfg(test)]
mod election_tests;
#[cfg(test)]
pub(in crate::meta) mod fixture;
#[cfg(test)]
mod giving_up_tests;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod operations_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod recovery_tests;

pub use apply::ApplyError;
pub use broker::{BrokerEntry, FenceReason, StartId};
pub use changes::Changes;
pub use cluster::{CLUSTER_PARTITION_COUNT_MAX, ClusterState, FEATURE_LEVEL};
pub use codec::{DecodeError, Stored};
pub(in crate::meta) use codec::{decode, encode};
pub use config::{ConfigError, Effective, EffectiveConfig, Source, TopicConfig};
pub use config_key::ConfigKey;
pub use controller::{ControllerEntry, ControllerRegistration};
pub use decide::Minted;
pub use defaults::{REPLICATION_FACTOR_MAX, TopicDefaults};
pub use entry::{DataFound, Entry, ReplicaEnd, ReplicaFailure};
pub use moving::Moving;
pub use outcome::Outcome;
pub use partition::{EndReport, OfflineReason, PartitionEntry, ReplicaEntry};
pub use proposal::{
    ConfigChange, IsrMember, LostReplica, MadeReplica, PRODUCER_IDS_PER_GRANT_MAX, Proposal,
    REPORTED_ENDS_MAX, Registration, SeenPartition,
};
pub use rebuilt::Ancestor;
pub use recovery::{KnownFor, RECOVERY_WAIT_MS, Recovery, RecoveryPlan};
pub use refusal::Refusal;
pub use snapshot::Snapshot;
pub use tombstone::Tombstone;
pub use topic::{TopicEntry, TopicState};
