//! The metadata quorum, as one log of entries: compare-and-set on the partition epoch, and a watch that each broker
//! follows at its own pace.

use std::collections::BTreeSet;

use fidelog_record::types::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch};

use crate::partition::Assignment;
use crate::replica::Proposed;

/// A change on its way to the quorum.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) from: BrokerId,
    pub(super) epoch: LeaderEpoch,
    pub(super) proposed: Proposed,
}

#[derive(Debug)]
pub(super) struct Quorum {
    pub(super) entries: Vec<Assignment>,
    pub(super) proposals: Vec<Proposal>,
}

impl Quorum {
    pub(super) fn new(ids: &[BrokerId], min_insync: usize) -> Self {
        let entry = Assignment {
            replicas: ids.to_vec(),
            isr: ids.iter().copied().collect(),
            leader: Some(ids[0]),
            leader_epoch: LeaderEpoch(1),
            partition_epoch: PartitionEpoch(1),
            min_insync,
            lost_leader: None,
        };
        Self { entries: vec![entry], proposals: Vec::new() }
    }

    pub(super) fn now(&self) -> &Assignment {
        self.entries.last().expect("there is a first entry")
    }

    fn change(&mut self, change: impl FnOnce(&mut Assignment)) {
        let mut entry = self.now().clone();
        entry.partition_epoch = entry.partition_epoch.next();
        change(&mut entry);
        self.entries.push(entry);
    }

    /// A broker registers a new process (N1): the epoch of what it leads rises.
    pub(super) fn register(&mut self, id: BrokerId) {
        if self.now().leader == Some(id) {
            self.change(|entry| entry.leader_epoch = entry.leader_epoch.next());
        }
    }

    /// Another member of the in-sync set leads, or the same one anew.
    pub(super) fn elect(&mut self, id: BrokerId) {
        assert!(self.now().isr.contains(&id), "only a member of the in-sync set leads");
        self.change(|entry| {
            entry.leader = Some(id);
            entry.leader_epoch = entry.leader_epoch.next();
        });
    }

    /// A proposal arrives; tells whether it was accepted.
    pub(super) fn consider(&mut self, proposal: &Proposal, lives: &[BrokerEpoch]) -> bool {
        let now = self.now();
        let current = now.leader == Some(proposal.from)
            && now.leader_epoch == proposal.epoch
            && now.partition_epoch == proposal.proposed.partition_epoch;
        let is_another_life = |id: &BrokerId| {
            let meant = proposal.proposed.added.iter().find(|life| life.broker == *id);
            meant.map(|life| life.epoch) != Some(lives[id.0 as usize - 1])
        };
        let added: BTreeSet<_> = proposal.proposed.isr.difference(&now.isr).copied().collect();
        if !current || added.iter().any(is_another_life) {
            return false;
        }
        let isr = proposal.proposed.isr.clone();
        self.change(|entry| entry.isr = isr);
        true
    }
}
