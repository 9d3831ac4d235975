//! What is disturbed as it begins: leaderships that have just moved, and replicas that are about to join an in-sync set.
//! What follows from those moments is where rules meet; a run decides how often it wants to see that.

use fidelog_broker::meta::state::{ClusterState, PartitionEntry};
use fidelog_record::types::TopicPartition;
use rand::seq::IndexedRandom;
use std::sync::Arc;

use crate::broker::index_of;
use crate::cluster::Sim;

/// How long what is disturbed stays so, microseconds.
const FOR: u64 = 500_000;
/// Changes of a disk before its process ends, at most.
const CHANGES_MAX: u64 = 60;

impl Sim {
    /// Leaderships that began since `before` may be disturbed.
    pub(crate) fn disturb_moved(&mut self, before: &ClusterState) {
        let moved = |at, entry: &PartitionEntry| {
            before.partition(at).is_some_and(|old| old.leader_epoch < entry.leader_epoch)
        };
        let state = Arc::clone(self.quorum.state());
        for (at, _) in state.partitions().filter(|&(at, entry)| moved(at, entry)) {
            self.disturb(at);
        }
    }

    /// A leadership has just moved: what follows from that is disturbed.
    fn disturb(&mut self, at: TopicPartition) {
        if self.healing || !self.percent(self.settings.aftermath) {
            return;
        }
        let Some(entry) = self.quorum.state().partition(at) else { return };
        let replicas: Vec<_> = entry.replicas.iter().map(|replica| index_of(replica.broker)).collect();
        let Some(&broker) = replicas.choose(&mut self.random) else { return };
        match self.below(4) {
            0 | 1 => self.end_amid_work(broker, CHANGES_MAX),
            2 => self.slow_stream(broker, FOR),
            _ => self.cut_link(broker, FOR),
        }
    }

    /// `leader` is about to propose that `joining` joins an in-sync set: either of them, or the way to the quorum, is
    /// disturbed.
    pub(crate) fn disturb_growth(&mut self, leader: usize, joining: usize) {
        if self.healing || !self.percent(self.settings.aftermath / 2) {
            return;
        }
        match self.below(4) {
            0 => self.end_amid_work(joining, CHANGES_MAX / 3),
            1 | 2 => self.slow_proposals(leader, FOR),
            _ => self.pause(leader, FOR),
        }
    }
}
