//! The level of features a cluster is at, and could be at.

use std::collections::BTreeMap;

use fidelog_proto::v1;

use crate::meta::state::ClusterState;

/// What every node knows, as it registered: one that is a broker and a controller knows what both say.
pub(super) fn describe(state: &ClusterState) -> v1::DescribeFeaturesResponse {
    let brokers = state.brokers().map(|it| (it.id.0, it.feature_level));
    let controllers = state.controllers().map(|it| (it.broker.0, it.feature_level));
    let mut known: BTreeMap<u32, u32> = BTreeMap::new();
    for (broker, level) in brokers.chain(controllers) {
        known.entry(broker).and_modify(|least| *least = level.min(*least)).or_insert(level);
    }
    v1::DescribeFeaturesResponse {
        level: state.feature_level(),
        level_max: known.values().copied().min().unwrap_or(state.feature_level()),
        nodes: known
            .into_iter()
            .map(|(broker_id, level_max)| v1::NodeFeatures { broker_id, level_max })
            .collect(),
    }
}
