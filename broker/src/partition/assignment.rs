//! What the metadata says about a partition, as far as a replica needs it.

use std::collections::{BTreeMap, BTreeSet};

use fidelog_record::types::{BrokerId, LeaderEpoch, PartitionEpoch};

use crate::meta::state::Recovery;

/// A partition's entry as the watch shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Everyone who holds a copy, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those of them that are made, each with the version of the entry its copy was begun with: when that changes, what the
    /// leader knows of the replica is of a copy that is gone.
    pub copies: BTreeMap<BrokerId, PartitionEpoch>,
    /// The in-sync set.
    pub isr: BTreeSet<BrokerId>,
    /// Who leads; `None` when nobody can.
    pub leader: Option<BrokerId>,
    /// Which leadership that is.
    pub leader_epoch: LeaderEpoch,
    /// Version of the entry.
    pub partition_epoch: PartitionEpoch,
    /// Fewest in-sync replicas that may acknowledge.
    pub min_insync: usize,
    /// Replicas with damage that is not mended, as their brokers said: nobody of them joins the in-sync set.
    pub damaged: BTreeSet<BrokerId>,
    /// Who led and came back without its data: DATA_LOSS.
    pub lost_leader: Option<BrokerId>,
    /// Cuts of committed records that operators permitted (N5).
    pub recoveries: Vec<Recovery>,
}
