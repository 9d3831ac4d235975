//! What an entry, or many, touched: enough to know where to look again.

use std::collections::BTreeSet;

use fidelog_record::types::{BrokerId, TopicId, TopicPartition};

use super::ClusterState;

/// Everything that may differ between two states. Created, changed and removed things are all named here; the later
/// state tells which it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Brokers registered.
    pub brokers: BTreeSet<BrokerId>,
    /// Topics created, opened, altered or deleted, and tombstones made, confirmed or dropped.
    pub topics: BTreeSet<TopicId>,
    /// Partitions created, changed or gone.
    pub partitions: BTreeSet<TopicPartition>,
    /// Controllers registered, changed or removed, by node.
    pub controllers: BTreeSet<BrokerId>,
    /// Whether the cluster's defaults for topics, or its feature level, changed.
    pub defaults: bool,
}

impl Changes {
    /// Whether nothing was touched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.brokers.is_empty()
            && self.controllers.is_empty()
            && self.topics.is_empty()
            && self.partitions.is_empty()
            && !self.defaults
    }

    /// Adds what happened later. Size stays bounded by what exists and existed, not by how often it changed.
    pub fn merge(&mut self, later: Self) {
        self.brokers.extend(later.brokers);
        self.controllers.extend(later.controllers);
        self.topics.extend(later.topics);
        self.partitions.extend(later.partitions);
        self.defaults |= later.defaults;
    }

    /// Everything there is, for a reader that knew nothing.
    #[must_use]
    pub fn of_everything(state: &ClusterState) -> Self {
        let tombstones = state.tombstones().map(|tombstone| tombstone.topic);
        Self {
            brokers: state.brokers().map(|broker| broker.id).collect(),
            controllers: state.controllers().map(|controller| controller.broker).collect(),
            topics: state.topics().map(|topic| topic.id).chain(tombstones).collect(),
            partitions: state.partitions().map(|(id, _)| id).collect(),
            defaults: true,
        }
    }

    /// What differs between two states, for a reader that got a snapshot instead of entries.
    #[must_use]
    pub fn between(old: &ClusterState, new: &ClusterState) -> Self {
        let mut changes = Self {
            defaults: old.defaults() != new.defaults() || old.feature_level() != new.feature_level(),
            ..Self::default()
        };
        for id in old.controllers().chain(new.controllers()).map(|controller| controller.broker) {
            if old.controller(id) != new.controller(id) {
                changes.controllers.insert(id);
            }
        }
        for id in old.brokers().chain(new.brokers()).map(|broker| broker.id) {
            if old.broker(id) != new.broker(id) {
                changes.brokers.insert(id);
            }
        }
        for id in old.topics().chain(new.topics()).map(|topic| topic.id) {
            if old.topic(id) != new.topic(id) {
                changes.topics.insert(id);
            }
        }
        for id in old.tombstones().chain(new.tombstones()).map(|tombstone| tombstone.topic) {
            if old.tombstone(id) != new.tombstone(id) {
                changes.topics.insert(id);
            }
        }
        for (id, _) in old.partitions().chain(new.partitions()) {
            if old.partition(id) != new.partition(id) {
                changes.partitions.insert(id);
            }
        }
        changes
    }
}
