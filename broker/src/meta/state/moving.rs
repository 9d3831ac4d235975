//! A partition on its way to other brokers: adds first, removes at the end (N15).
//!
//! ```text
//!   replicas 1 2 3 --move to 4 2 3--> 1 2 3 4 --4 is in sync--> 4 2 3      one entry, or the settling after another
//!                                       \--cancelled--> 1 2 3
//! ```
//!
//! Always true: while a partition moves, its replicas are the old ones and behind them the added ones; the old ones go
//! in one step, when all targets are in the isr and these are at least the minimum, so that each of those left holds
//! every acknowledged record.

use fidelog_record::types::BrokerId;
use serde::{Deserialize, Serialize};

use super::broker::Brokers;
use super::partition::Step;
use super::{PartitionEntry, ReplicaEntry};

/// Where a partition is going.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moving {
    /// The replicas at the end, the preferred leader first.
    pub targets: Vec<BrokerId>,
    /// Those of them that were added for it.
    pub added: Vec<BrokerId>,
}

impl PartitionEntry {
    /// The replicas it has, or will have when its move is done.
    #[must_use]
    pub fn replicas_wanted(&self) -> Vec<BrokerId> {
        match &self.moving {
            Some(moving) => moving.targets.clone(),
            None => self.replicas.iter().map(|replica| replica.broker).collect(),
        }
    }

    /// It is to move to `targets`; `added` are new replicas on those of them that have none.
    pub(super) fn start_move(&mut self, targets: &[BrokerId], mut added: Vec<ReplicaEntry>) -> Step {
        let since = self.epoch.next();
        added.iter_mut().for_each(|replica| replica.since = since);
        let moving =
            Moving { targets: targets.to_vec(), added: added.iter().map(|replica| replica.broker).collect() };
        self.replicas.extend(added);
        self.moving = Some(moving);
        Step::Changed
    }

    /// What was added goes again.
    pub(super) fn cancel_move(&mut self) -> Step {
        if let Some(moving) = self.moving.take() {
            let kept: Vec<BrokerId> =
                self.replicas.iter().map(|it| it.broker).filter(|it| !moving.added.contains(it)).collect();
            self.keep_replicas(&kept);
        }
        Step::Changed
    }

    /// Whether the added replicas may go: without them the isr has the minimum and somebody who can lead, or none of
    /// them is a member.
    pub(super) fn can_cancel_move(&self, min: u16, brokers: &Brokers) -> bool {
        let Some(moving) = &self.moving else { return false };
        let rest: Vec<BrokerId> = self.isr.iter().copied().filter(|it| !moving.added.contains(it)).collect();
        let enough = rest.len() >= usize::from(min) && rest.iter().any(|&it| self.can_lead(it, brokers));
        enough || !moving.added.iter().any(|&it| self.is_member(it))
    }

    /// Ends the move when all targets hold everything.
    pub(super) fn complete_move(&mut self, min: u16, brokers: &Brokers) {
        let Some(moving) = &self.moving else { return };
        let targets = moving.targets.clone();
        let in_sync = targets.iter().all(|target| self.isr.contains(target));
        let led = targets.iter().any(|&target| self.can_lead(target, brokers));
        if in_sync && led && targets.len() >= usize::from(min) {
            self.moving = None;
            self.keep_replicas(&targets);
        }
    }

    /// Only `kept` stay, in this order.
    fn keep_replicas(&mut self, kept: &[BrokerId]) {
        self.replicas = kept.iter().filter_map(|&it| self.replica(it).cloned()).collect();
        self.isr = self.in_replica_order(&self.isr);
        for set in [&mut self.eligible, &mut self.unproven, &mut self.damaged, &mut self.unusable] {
            set.retain(|member| kept.contains(member));
        }
        self.leader = self.leader.filter(|leader| kept.contains(leader));
    }
}
