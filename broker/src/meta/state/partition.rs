//! One partition's replicas, sets and leader, and the steps that change the sets.
//!
//! ```text
//!                 grows (N7)                      leaves while the rest is below the minimum (N9)
//!   replica -----------------------> isr ---------------------------------------------------> eligible
//!      ^                              |  leaves while the rest has the minimum                    |
//!      +------------------------------+-----------------------------------------------------------+
//!                                        the isr has the minimum again; proven loss
//! ```
//!
//! Always true: `isr` and `eligible` are disjoint subsets of the replicas, and every acknowledged record is on each of
//! their members; the leader is in the isr; an open partition without a leader has a reason; both epochs only rise,
//! and `epoch` rises with every change (N7).
//!
//! Not here: whether a step may be taken (`decide`), and who leads afterwards (`election`).

use std::collections::BTreeMap;

use fidelog_log::env::planted::{Planted, is_planted};
use fidelog_record::types::{BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, Offset, PartitionEpoch};
use serde::{Deserialize, Serialize};

use super::{Moving, Recovery, ReplicaFailure};

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
    /// The version of the entry this copy was begun with, in this directory: what an earlier copy in it held says nothing of
    /// it.
    #[serde(default, skip_serializing_if = "is_first")]
    pub since: PartitionEpoch,
}

fn is_first(since: &PartitionEpoch) -> bool {
    *since == PartitionEpoch(0)
}

/// Where a replica that restarted uncleanly ends, as it found it on its disk (N10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndReport {
    /// Whose replica.
    pub broker: BrokerId,
    /// The registration that reported it; a later one reports anew.
    pub broker_epoch: BrokerEpoch,
    /// The epoch of its last batch; 0 when it is empty.
    pub last_epoch: LeaderEpoch,
    /// The end of what is written and synced.
    pub durable_end: Offset,
}

/// Why an open partition has no leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OfflineReason {
    /// Nobody is left who is known to hold every acknowledged record: the last of them came back without its data,
    /// emptied, rolled back, or with this replica missing. Only an operator's recovery ends it.
    LeaderLostItsData {
        /// The last of them.
        broker: BrokerId,
        /// The directory that held the data.
        directory: DirectoryId,
    },
    /// Those who may lead are fenced, or cannot use their logs. The first that is back leads.
    NoLiveMember {},
    /// All who may lead restarted uncleanly; the quorum waits until all have told where they end, or 5 s (N10).
    RestartedUncleanly {
        /// When the last of them registered, Unix milliseconds of the deciding node.
        since_ms: u64,
        /// What they told.
        reports: Vec<EndReport>,
    },
    /// The partition was added to an open topic, and its replicas are making their directories (N14).
    BeingMade {},
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
    /// Version of this entry; 0 before the partition opens.
    pub epoch: PartitionEpoch,
    /// Why there is no leader although the topic is open.
    pub offline: Option<OfflineReason>,
    /// Members of `isr` or `eligible` that restarted uncleanly since they joined: not believed to hold what they
    /// reported (N10), until the leader finds them in sync again (N7).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unproven: Vec<BrokerId>,
    /// Whether nobody is to lead before every member has told where it ends, however long that takes: so after the
    /// metadata was rebuilt from one voter's copy. An operator's recovery ends it, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub awaits_all: bool,
    /// Replicas with damage that is not repaired yet: they lead only when no other member lives (N10).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<BrokerId>,
    /// Replicas whose log cannot be used, as their brokers say (N11): they lead nothing until it can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<BrokerId>,
    /// The leader an operator chose, for as long as it leads: it is not sent back to the preferred replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<BrokerId>,
    /// Where it is going, if it is (N15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Moving>,
    /// Cuts of committed records that operators permitted, in order (N5).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recoveries: Vec<Recovery>,
}

/// What a step on a partition comes to, beside what it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// What it changed, if anything.
    Changed,
    /// A new version even if nothing changed: what was proposed on the old one is void (N7).
    NewVersion,
    /// A new leadership even under the same leader (N1, and a log that goes on only under a higher epoch).
    NewLeadership,
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
            unproven: Vec::new(),
            awaits_all: false,
            damaged: Vec::new(),
            unusable: Vec::new(),
            chosen: None,
            moving: None,
            recoveries: Vec::new(),
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

    /// Whether it has opened: until then nothing is in it and nobody leads it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.epoch > PartitionEpoch(0)
    }

    /// Whether `broker` is in the isr or eligible: on it is every acknowledged record, as far as it can be believed.
    #[must_use]
    pub fn is_member(&self, broker: BrokerId) -> bool {
        self.isr.contains(&broker) || self.eligible.contains(&broker)
    }

    /// The isr and, behind it, the eligible ones.
    pub fn members(&self) -> impl Iterator<Item = BrokerId> {
        self.isr.iter().chain(&self.eligible).copied()
    }

    /// The members of `set` in the order of the replicas: the one form in which an isr is stored.
    pub(super) fn in_replica_order(&self, set: &[BrokerId]) -> Vec<BrokerId> {
        self.replicas.iter().map(|replica| replica.broker).filter(|broker| set.contains(broker)).collect()
    }

    /// `broker` has made its directory.
    pub(super) fn replica_made(&mut self, broker: BrokerId) -> Step {
        if let Some(replica) = self.replicas.iter_mut().find(|replica| replica.broker == broker) {
            replica.made = true;
        }
        Step::Changed
    }

    /// The replicas that are made, and since when each is the copy it is.
    #[must_use]
    pub fn copies(&self) -> BTreeMap<BrokerId, PartitionEpoch> {
        self.replicas.iter().filter(|it| it.made).map(|it| (it.broker, it.since)).collect()
    }

    /// The isr becomes `isr`. Who joins was found in sync by the leader, and is what it says again.
    pub(super) fn change_isr(&mut self, isr: &[BrokerId]) -> Step {
        let joined = |broker: &BrokerId| isr.contains(broker) && !self.isr.contains(broker);
        let [unproven, unusable] = [&self.unproven, &self.unusable]
            .map(|marked| marked.iter().copied().filter(|broker| !joined(broker)).collect());
        (self.unproven, self.unusable) = (unproven, unusable);
        let isr = self.in_replica_order(isr);
        let left: Vec<BrokerId> = self.isr.iter().copied().filter(|member| !isr.contains(member)).collect();
        self.isr = isr;
        self.eligible.retain(|member| !self.isr.contains(member));
        self.eligible.extend(left);
        Step::NewVersion
    }

    /// The broker of this replica started anew on the data it had (N1, N10).
    pub(super) fn broker_restarted(&mut self, broker: BrokerId, clean: bool) -> Step {
        let believed = clean || is_planted(Planted::UncleanBelieved);
        if !believed && self.is_member(broker) && !self.unproven.contains(&broker) {
            self.unproven.push(broker);
        }
        self.unusable.retain(|&it| it != broker);
        match self.leader == Some(broker) {
            true => Step::NewLeadership,
            false => Step::Changed,
        }
    }

    /// What was wrong with the replica on `broker` is no more; without `reason` nothing is.
    pub(super) fn replica_repaired(&mut self, broker: BrokerId, reason: Option<ReplicaFailure>) -> Step {
        let is_over = |it: ReplicaFailure| reason.is_none_or(|reason| reason == it);
        if is_over(ReplicaFailure::Damaged) {
            self.damaged.retain(|&it| it != broker);
        }
        if is_over(ReplicaFailure::Unusable) {
            self.unusable.retain(|&it| it != broker);
        }
        Step::Changed
    }

    /// The replica on `broker` is proven lost; its next home is `directory`. It is in no set until it is filled again.
    pub(super) fn replica_lost(&mut self, broker: BrokerId, directory: DirectoryId) -> Step {
        let (was_member, since) = (self.is_member(broker), self.epoch.next());
        let Some(replica) = self.replicas.iter_mut().find(|replica| replica.broker == broker) else {
            return Step::Changed;
        };
        let lost = std::mem::replace(&mut replica.directory, directory);
        replica.made = false;
        // Another directory is another copy by its name.
        if lost == directory {
            replica.since = since;
        }
        for set in
            [&mut self.isr, &mut self.eligible, &mut self.unproven, &mut self.damaged, &mut self.unusable]
        {
            set.retain(|&member| member != broker);
        }
        if was_member && self.members().next().is_none() {
            self.offline = Some(OfflineReason::LeaderLostItsData { broker, directory: lost });
        }
        Step::Changed
    }
}
