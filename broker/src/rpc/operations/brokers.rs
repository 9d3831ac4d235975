//! Brokers as people who run them see them: what they hold, what they lead, whether they take part.

use std::collections::{BTreeMap, BTreeSet};

use fidelog_proto::v1;
use fidelog_record::types::BrokerId;

use crate::meta::state::{BrokerEntry, ClusterState, FenceReason};
use crate::rpc::context::Context;
use crate::rpc::route::id_bytes;

/// What a broker holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    replicas: u32,
    leads: u32,
    not_in_sync: u32,
    preferred: u32,
}

/// All brokers, by id.
pub(super) fn descriptions(context: &Context, state: &ClusterState) -> Vec<v1::BrokerDescription> {
    let loads = loads(state);
    let voters: BTreeSet<BrokerId> =
        context.quorum.status().voters.iter().map(|voter| voter.broker).collect();
    let describe = |broker: &BrokerEntry| {
        let load = loads.get(&broker.id).copied().unwrap_or_default();
        let fenced_because = broker.fence_reason.filter(|_| broker.fenced).map(FenceReason::text);
        v1::BrokerDescription {
            id: broker.id.0,
            address: broker.client_address.clone(),
            peer_address: broker.peer_address.clone(),
            rack: broker.rack.clone().unwrap_or_default(),
            broker_epoch: broker.epoch.0,
            directory_id: id_bytes(broker.directory.as_bytes()),
            generation: broker.generation.0,
            registered_at_ms: broker.registered_at_ms,
            fenced: broker.fenced,
            fenced_because: fenced_because.unwrap_or_default().to_owned(),
            fenced_at_ms: if broker.fenced { broker.fenced_at_ms } else { 0 },
            draining: broker.draining,
            reachable: context.reaches(broker.id),
            replicas: load.replicas,
            leads: load.leads,
            not_in_sync: load.not_in_sync,
            preferred: load.preferred,
            controller: voters.contains(&broker.id),
            feature_level: broker.feature_level,
        }
    };
    state.brokers().map(|broker| describe(broker)).collect()
}

fn loads(state: &ClusterState) -> BTreeMap<BrokerId, Load> {
    let mut loads: BTreeMap<BrokerId, Load> = BTreeMap::new();
    for (_, entry) in state.partitions() {
        for (place, replica) in entry.replicas.iter().enumerate() {
            let load = loads.entry(replica.broker).or_default();
            load.replicas += 1;
            load.leads += u32::from(entry.leader == Some(replica.broker));
            load.preferred += u32::from(place == 0);
            load.not_in_sync += u32::from(!entry.isr.contains(&replica.broker));
        }
    }
    loads
}
