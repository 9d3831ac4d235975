//! One partition's replicas, in-sync set and leader, and the steps that change them.
//!
//! Always true: `isr` and `eligible` are disjoint subsets of the replicas; the leader is in the isr; a partition of
//! an open topic without a leader has a reason; both epochs only rise, and `epoch` rises with every change (N7).
//!
//! Not here: whether a step may be taken. That is `decide`'s.

use fidelog_record::types::{BrokerId, DirectoryId, LeaderEpoch, PartitionEpoch};
use serde::{Deserialize, Serialize};

/// One replica of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaEntry {
    /// The broker that holds it.
    pub broker: BrokerId,
    /// The data directory it lies in.
    pub directory: DirectoryId,
    /// Whether the broker has made and synced its directory there. From then on a missing directory means lost,
    /// never empty (N14).
    pub made: bool,
}

/// Why a partition of an open topic has no leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OfflineReason {
    /// The leader came back without its data: emptied, rolled back, or with this replica missing.
    LeaderLostItsData {
        /// The former leader.
        broker: BrokerId,
        /// The directory that held the data.
        directory: DirectoryId,
    },
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionEntry {
    /// All replicas; the first is the preferred leader.
    pub replicas: Vec<ReplicaEntry>,
    /// The in-sync set, in the order of `replicas`.
    pub isr: Vec<BrokerId>,
    /// Left the isr while the rest was below the minimum: may hold all that was acknowledged (N9). In order of leaving.
    pub eligible: Vec<BrokerId>,
    /// The leader; a member of the isr.
    pub leader: Option<BrokerId>,
    /// Which leadership this is, or was last; 0 before the first.
    pub leader_epoch: LeaderEpoch,
    /// Version of this entry; 0 before the topic opens.
    pub epoch: PartitionEpoch,
    /// Why there is no leader although the topic is open.
    pub offline: Option<OfflineReason>,
}

impl PartitionEntry {
    /// A partition of a topic that is being created.
    #[must_use]
    pub fn creating(replicas: Vec<ReplicaEntry>) -> Self {
        Self {
            replicas,
            isr: Vec::new(),
            eligible: Vec::new(),
            leader: None,
            leader_epoch: LeaderEpoch(0),
            epoch: PartitionEpoch(0),
            offline: None,
        }
    }

    /// The replica on `broker`, if it has one.
    #[must_use]
    pub fn replica(&self, broker: BrokerId) -> Option<&ReplicaEntry> {
        self.replicas.iter().find(|replica| replica.broker == broker)
    }

    /// Whether `broker` holds a replica, in sync or not.
    #[must_use]
    pub fn has_replica(&self, broker: BrokerId) -> bool {
        self.replica(broker).is_some()
    }

    /// The members of `set` in the order of the replicas: the one form in which an isr is stored.
    pub(super) fn in_replica_order(&self, set: &[BrokerId]) -> Vec<BrokerId> {
        self.replicas.iter().map(|replica| replica.broker).filter(|broker| set.contains(broker)).collect()
    }

    /// Whether the first replica and at least `min` replicas are made.
    pub(super) fn can_open(&self, min: u16) -> bool {
        let made = self.replicas.iter().filter(|replica| replica.made).count();
        self.replicas.first().is_some_and(|first| first.made) && made >= usize::from(min)
    }

    /// The topic opens: the replicas made so far are the first isr, and the first of them leads (N14).
    pub(super) fn open(&mut self) {
        self.isr =
            self.replicas.iter().filter(|replica| replica.made).map(|replica| replica.broker).collect();
        self.leader = self.isr.first().copied();
        self.leader_epoch = self.leader_epoch.next();
        self.epoch = self.epoch.next();
    }

    /// `broker` has made its directory. Returns whether anything changed.
    pub(super) fn replica_made(&mut self, broker: BrokerId, open: bool) -> bool {
        let Some(replica) = self.replicas.iter_mut().find(|replica| replica.broker == broker) else {
            return false;
        };
        if replica.made {
            return false;
        }
        replica.made = true;
        if open {
            self.epoch = self.epoch.next();
        }
        true
    }

    /// The isr becomes `isr`, of which `min` members make a write acknowledgeable.
    pub(super) fn change_isr(&mut self, isr: &[BrokerId], min: u16) {
        let isr = self.in_replica_order(isr);
        let left: Vec<BrokerId> = self.isr.iter().copied().filter(|member| !isr.contains(member)).collect();
        self.isr = isr;
        self.eligible.extend(left);
        self.settle_eligible(min);
        self.epoch = self.epoch.next();
    }

    /// The minimum became `min`, which changes what the present isr can acknowledge (N9).
    pub(super) fn change_minimum(&mut self, min: u16) {
        self.settle_eligible(min);
        self.epoch = self.epoch.next();
    }

    /// The leading process starts anew: whatever its former self still has under way is fenced by the epoch (N1).
    pub(super) fn leader_restarted(&mut self) {
        self.leader_epoch = self.leader_epoch.next();
        self.epoch = self.epoch.next();
    }

    /// The replica on `broker` is proven lost; its next home is `directory`. It is in no set until it is filled again.
    pub(super) fn replica_lost(&mut self, broker: BrokerId, directory: DirectoryId, open: bool) {
        let Some(replica) = self.replicas.iter_mut().find(|replica| replica.broker == broker) else {
            return;
        };
        let lost = std::mem::replace(&mut replica.directory, directory);
        replica.made = false;
        self.isr.retain(|&member| member != broker);
        self.eligible.retain(|&member| member != broker);
        if self.leader == Some(broker) {
            self.leader = None;
            self.leader_epoch = self.leader_epoch.next();
            self.offline = Some(OfflineReason::LeaderLostItsData { broker, directory: lost });
        }
        if open {
            self.epoch = self.epoch.next();
        }
    }

    /// With the minimum in the isr, every acknowledged record is there: nobody else is needed.
    fn settle_eligible(&mut self, min: u16) {
        if self.isr.len() >= usize::from(min) {
            self.eligible.clear();
        }
        let isr = &self.isr;
        self.eligible.retain(|member| !isr.contains(member));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(count: u32) -> PartitionEntry {
        let replicas = (1..=count)
            .map(|n| ReplicaEntry {
                broker: BrokerId(n),
                directory: DirectoryId::from_bytes([u8::try_from(n).unwrap(); 16]),
                made: true,
            })
            .collect();
        let mut partition = PartitionEntry::creating(replicas);
        partition.open();
        partition
    }

    fn ids(numbers: &[u32]) -> Vec<BrokerId> {
        numbers.iter().copied().map(BrokerId).collect()
    }

    #[test]
    fn only_who_leaves_below_the_minimum_becomes_eligible() {
        let mut partition = opened(3);
        partition.change_isr(&ids(&[1, 2]), 2);
        assert_eq!(partition.eligible, ids(&[]), "the rest still had the minimum");
        partition.change_isr(&ids(&[1]), 2);
        assert_eq!(partition.eligible, ids(&[2]));
        partition.change_isr(&ids(&[3, 1]), 2);
        assert_eq!((partition.isr, partition.eligible), (ids(&[1, 3]), ids(&[])));
    }

    #[test]
    fn a_new_minimum_clears_eligible_only_when_the_isr_has_it() {
        let mut partition = opened(3);
        partition.change_isr(&ids(&[1]), 2);
        assert_eq!(partition.eligible, ids(&[2, 3]));
        partition.change_minimum(3);
        assert_eq!(partition.eligible, ids(&[2, 3]));
        partition.change_minimum(1);
        assert_eq!(partition.eligible, ids(&[]));
        assert_eq!(partition.epoch, PartitionEpoch(4));
    }

    #[test]
    fn a_leader_that_lost_its_data_leaves_the_partition_without_one() {
        let mut partition = opened(3);
        partition.replica_lost(BrokerId(1), DirectoryId::NIL, true);
        assert_eq!((partition.leader, partition.leader_epoch), (None, LeaderEpoch(2)));
        assert_eq!(partition.isr, ids(&[2, 3]));
        let lost = DirectoryId::from_bytes([1; 16]);
        assert_eq!(
            partition.offline,
            Some(OfflineReason::LeaderLostItsData { broker: BrokerId(1), directory: lost })
        );
    }
}
