//! Where the replicas of a new topic go.
//!
//! Always true: the replicas of a partition are on different brokers; a topic's first replicas, and its replicas, are
//! spread evenly over the cluster, and among equals what already exists decides; racks are used once each before any is
//! used twice; draining brokers get nothing, and fenced ones only what would find no other place. The same state gives
//! the same placement.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fidelog_record::types::BrokerId;

use super::{BrokerEntry, ClusterState, FenceReason};

/// How much a broker carries.
#[derive(Default)]
struct Load {
    /// Of the new topic.
    own: Carried,
    /// Of all topics, the new one included.
    all: Carried,
}

#[derive(Clone, Copy, Default)]
struct Carried {
    first_count: usize,
    replica_count: usize,
}

impl Carried {
    fn add(&mut self, is_first: bool) {
        self.replica_count += 1;
        self.first_count += usize::from(is_first);
    }

    /// The least of these gets one more replica. Among equals, those who have yet to lead are kept free for that.
    fn cost(self, is_first: bool) -> (usize, Reverse<usize>, usize) {
        match is_first {
            true => (self.first_count, Reverse(0), self.replica_count),
            false => (self.replica_count, Reverse(self.first_count), 0),
        }
    }
}

impl ClusterState {
    /// Replicas for `partition_count` partitions. The caller has checked that there are enough brokers.
    pub(super) fn place(&self, partition_count: u32, replication_factor: u16) -> Vec<Vec<BrokerId>> {
        let mut loads = self.loads();
        (0..partition_count as usize)
            .map(|turn| self.place_one(&mut loads, turn, replication_factor))
            .collect()
    }

    fn loads(&self) -> BTreeMap<BrokerId, Load> {
        let mut loads: BTreeMap<BrokerId, Load> =
            self.undrained().map(|broker| (broker.id, Load::default())).collect();
        for (_, partition) in self.partitions() {
            for (place, replica) in partition.replicas.iter().enumerate() {
                if let Some(load) = loads.get_mut(&replica.broker) {
                    load.all.add(place == 0);
                }
            }
        }
        loads
    }

    fn place_one(&self, loads: &mut BTreeMap<BrokerId, Load>, turn: usize, count: u16) -> Vec<BrokerId> {
        let mut chosen: Vec<BrokerId> = Vec::with_capacity(usize::from(count));
        let mut racks: BTreeSet<&str> = BTreeSet::new();
        let broker_count = loads.len();
        for place in 0..usize::from(count) {
            // Equal loads are broken by a turn that rotates, so that neighbours of a partition differ too.
            let rotated = |at: usize| (at + broker_count - turn % broker_count) % broker_count;
            let cost = |at: usize, id: &BrokerId, load: &Load| {
                let rack_used = self.rack(*id).is_some_and(|rack| racks.contains(rack));
                (
                    self.is_away(*id),
                    rack_used,
                    load.own.cost(place == 0),
                    load.all.cost(place == 0),
                    rotated(at),
                )
            };
            let free = loads.iter().enumerate().filter(|(_, (id, _))| !chosen.contains(id));
            let Some(id) = free.min_by_key(|(at, (id, load))| cost(*at, id, load)).map(|(_, (&id, _))| id)
            else {
                break;
            };
            let load = loads.entry(id).or_default();
            load.own.add(place == 0);
            load.all.add(place == 0);
            racks.extend(self.rack(id));
            chosen.push(id);
        }
        chosen
    }

    /// Brokers that may get replicas.
    pub(super) fn undrained(&self) -> impl Iterator<Item = &Arc<BrokerEntry>> {
        self.brokers().filter(|broker| !broker.draining)
    }

    /// Whether it is fenced for longer than a start takes.
    fn is_away(&self, id: BrokerId) -> bool {
        self.broker(id).is_some_and(|it| it.fenced && it.fence_reason != Some(FenceReason::Starting))
    }

    fn rack(&self, id: BrokerId) -> Option<&str> {
        self.broker(id).and_then(|broker| broker.rack.as_deref())
    }
}
