//! Where the replicas of a new topic go.
//!
//! Always true: the replicas of a partition are on different brokers; first replicas, and replicas, are spread as
//! evenly over the cluster as what already exists allows; racks are used once each before any is used twice. The same
//! state gives the same placement.

use std::collections::{BTreeMap, BTreeSet};

use fidelog_record::types::BrokerId;

use super::ClusterState;

/// How much a broker carries.
#[derive(Default)]
struct Load {
    first_count: usize,
    replica_count: usize,
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
            self.brokers.keys().map(|&id| (id, Load::default())).collect();
        for (_, partition) in self.partitions() {
            for (place, replica) in partition.replicas.iter().enumerate() {
                let load = loads.entry(replica.broker).or_default();
                load.replica_count += 1;
                load.first_count += usize::from(place == 0);
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
                let first_count = if place == 0 { load.first_count } else { 0 };
                (rack_used, first_count, load.replica_count, rotated(at))
            };
            let free = loads.iter().enumerate().filter(|(_, (id, _))| !chosen.contains(id));
            let Some(id) = free.min_by_key(|(at, (id, load))| cost(*at, id, load)).map(|(_, (&id, _))| id)
            else {
                break;
            };
            let load = loads.entry(id).or_default();
            load.replica_count += 1;
            load.first_count += usize::from(place == 0);
            racks.extend(self.rack(id));
            chosen.push(id);
        }
        chosen
    }

    fn rack(&self, id: BrokerId) -> Option<&str> {
        self.broker(id).and_then(|broker| broker.rack.as_deref())
    }
}
