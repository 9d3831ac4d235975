//! The metadata quorum, as one log of entries: compare-and-set on the partition epoch, elections by N9-N11, and a watch
//! that each broker follows at its own pace.

use std::collections::{BTreeMap, BTreeSet};

use fidelog_record::types::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch};

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
    /// Who left the in-sync set while the rest was below the minimum, best first (N9).
    pub(super) eligible: Vec<BrokerId>,
    pub(super) fenced: BTreeSet<BrokerId>,
    /// Who restarted uncleanly as a member, and has not joined anew since (N10).
    unproven: BTreeSet<BrokerId>,
    /// How often an eligible one led, and one that restarted uncleanly.
    pub(super) rare_elections: [usize; 2],
}

impl Quorum {
    pub(super) fn new(ids: &[BrokerId], min_insync: usize) -> Self {
        let entry = Assignment {
            replicas: ids.to_vec(),
            copies: ids.iter().map(|&id| (id, PartitionEpoch(0))).collect(),
            isr: ids.iter().copied().collect(),
            leader: Some(ids[0]),
            leader_epoch: LeaderEpoch(1),
            partition_epoch: PartitionEpoch(1),
            min_insync,
            damaged: Default::default(),
            lost_leader: None,
            recoveries: Vec::new(),
        };
        Self {
            entries: vec![entry],
            proposals: Vec::new(),
            eligible: Vec::new(),
            fenced: BTreeSet::new(),
            unproven: BTreeSet::new(),
            rare_elections: [0; 2],
        }
    }

    pub(super) fn now(&self) -> &Assignment {
        self.entries.last().expect("there is a first entry")
    }

    /// Everyone known to hold what was acknowledged, in the order of N9.
    pub(super) fn members(&self) -> Vec<BrokerId> {
        self.now().isr.iter().copied().chain(self.eligible.iter().copied()).collect()
    }

    /// Changes the entry, then settles by N9 and N10: whoever is fenced or not believed leaves a set in which another
    /// lives that is neither, and a leader that may not lead any more is followed by the next one, or by nobody.
    fn change(&mut self, change: impl FnOnce(&mut Assignment)) {
        let mut entry = self.now().clone();
        change(&mut entry);
        let (stays, leaves): (Vec<_>, Vec<_>) = entry.isr.iter().copied().partition(|&id| self.may_lead(id));
        if !stays.is_empty() {
            entry.isr = stays.into_iter().collect();
            self.eligible.extend(leaves);
        }
        if !entry.leader.is_some_and(|id| self.may_lead(id) && entry.isr.contains(&id)) {
            let mut members = entry.isr.iter().chain(&self.eligible).copied();
            entry.leader = members.find(|&id| self.may_lead(id));
        }
        if let Some(next) = entry.leader.filter(|next| !entry.isr.contains(next)) {
            // Nothing was acknowledged since it left: those it replaces hold all that was, too.
            let left = std::mem::replace(&mut entry.isr, BTreeSet::from([next]));
            self.eligible.extend(left);
            self.rare_elections[0] += 1;
        }
        let enough = entry.leader.is_some() && entry.isr.len() >= entry.min_insync;
        self.eligible.retain(|id| !enough && !entry.isr.contains(id));
        if entry.leader != self.now().leader && entry.leader_epoch == self.now().leader_epoch {
            entry.leader_epoch = entry.leader_epoch.next();
        }
        entry.partition_epoch = entry.partition_epoch.next();
        self.entries.push(entry);
    }

    fn may_lead(&self, id: BrokerId) -> bool {
        !self.fenced.contains(&id) && !self.unproven.contains(&id)
    }

    /// A broker registers a new process: the epoch of what it leads rises (N1), it is fenced until its heartbeats
    /// come, and after an unclean stop it is not believed to hold what it reported (N10).
    pub(super) fn register(&mut self, id: BrokerId, unclean: bool) {
        if unclean && self.members().contains(&id) {
            self.unproven.insert(id);
        }
        self.fenced.insert(id);
        let led = self.now().leader == Some(id);
        self.change(|entry| {
            if led {
                entry.leader_epoch = entry.leader_epoch.next();
            }
        });
    }

    /// A broker is thought dead, rightly or not.
    pub(super) fn fence(&mut self, id: BrokerId) {
        if self.fenced.insert(id) {
            self.change(|_| ());
        }
    }

    pub(super) fn unfence(&mut self, id: BrokerId) {
        if self.fenced.remove(&id) {
            self.change(|_| ());
        }
    }

    /// A planned move, to a member of the in-sync set; or the same one leads anew.
    pub(super) fn elect(&mut self, id: BrokerId) {
        if self.now().isr.contains(&id) && self.may_lead(id) {
            self.change(|entry| {
                entry.leader = Some(id);
                entry.leader_epoch = entry.leader_epoch.next();
            });
        }
    }

    /// Nobody is left that did not restart uncleanly: of those that told what they hold, the one with the greatest
    /// (last epoch, end) leads, if it lives (N10).
    pub(super) fn elect_unclean(&mut self, told: &BTreeMap<BrokerId, (LeaderEpoch, Offset)>) {
        let members = self.members();
        let best = members.iter().filter_map(|&id| Some((*told.get(&id)?, id))).max();
        if let Some((_, id)) = best.filter(|_| members.iter().all(|id| self.unproven.contains(id))) {
            self.unproven.remove(&id);
            self.change(|_| ());
            self.rare_elections[1] += 1;
        }
    }

    /// A proposal arrives; tells whether it was accepted.
    pub(super) fn consider(&mut self, proposal: &Proposal, lives: &[BrokerEpoch]) -> bool {
        let now = self.now();
        let current = now.leader == Some(proposal.from)
            && now.leader_epoch == proposal.epoch
            && now.partition_epoch == proposal.proposed.partition_epoch;
        let may_not_join = |id: &BrokerId| {
            let meant = proposal.proposed.added.iter().find(|life| life.broker == *id);
            meant.map(|life| life.epoch) != Some(lives[id.0 as usize - 1]) || self.fenced.contains(id)
        };
        let isr = proposal.proposed.isr.clone();
        let added: BTreeSet<_> = isr.difference(&now.isr).copied().collect();
        if !current || added.iter().any(may_not_join) {
            return false;
        }
        let gone: Vec<_> = now.isr.difference(&isr).copied().collect();
        let live = now.isr.iter().filter(|&&id| id != proposal.from && self.may_lead(id));
        let live: Vec<_> = live.copied().collect();
        if !gone.is_empty() && isr.len() < now.min_insync && live.len() >= now.min_insync {
            self.elect(live[0]); // N11
            return false;
        }
        self.eligible.extend(gone);
        self.unproven.retain(|id| !added.contains(id));
        self.change(|entry| entry.isr = isr);
        true
    }
}
