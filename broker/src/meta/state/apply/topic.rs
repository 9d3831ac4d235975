//! Topics come, open, change and go.

use std::collections::BTreeSet;
use std::sync::Arc;

use fidelog_record::types::{BrokerId, TopicId};

use super::super::partition::Step;
use super::super::{
    Changes, ClusterState, PartitionEntry, ReplicaEntry, Tombstone, TopicConfig, TopicEntry, TopicState,
};

impl ClusterState {
    pub(super) fn apply_creation(
        &mut self,
        topic: &TopicEntry,
        assignment: &[Vec<BrokerId>],
    ) -> Result<Changes, String> {
        if self.topics.contains_key(&topic.id) || self.topic_like(topic.name.as_str()).is_some() {
            return Err(format!("topic {} ({}) exists", topic.name, topic.id));
        }
        if u32::try_from(assignment.len()).ok() != Some(topic.partition_count) {
            return Err(format!("{} assignments for {} partitions", assignment.len(), topic.partition_count));
        }
        let partition = |brokers: &Vec<BrokerId>| {
            let replicas =
                brokers.iter().map(|&it| self.new_replica(it)).collect::<Result<Vec<_>, String>>()?;
            Ok(Arc::new(PartitionEntry::creating(replicas)))
        };
        let partitions = assignment.iter().map(partition).collect::<Result<Vec<_>, String>>()?;
        self.partitions.insert(topic.id, Arc::new(partitions));
        self.names.insert(topic.name.as_str().to_ascii_lowercase().into(), topic.id);
        self.topics.insert(topic.id, Arc::new(topic.clone()));
        Ok(self.whole_topic(topic.id))
    }

    pub(super) fn apply_alteration(
        &mut self,
        topic: TopicId,
        config: &TopicConfig,
    ) -> Result<Changes, String> {
        let mut altered = TopicEntry::clone(self.known_topic(topic)?);
        let min_before = altered.min_insync_replicas();
        altered.config = config.clone();
        let min = altered.min_insync_replicas();
        self.topics.insert(topic, Arc::new(altered));
        let mut changes = Changes { topics: BTreeSet::from([topic]), ..Changes::default() };
        if min != min_before {
            for at in self.ids_of(topic) {
                // What the isr can acknowledge is another thing now (N9).
                self.touch(at, &mut changes, |_, _| Step::NewVersion);
            }
        }
        self.open_if_ready(topic, &mut changes);
        Ok(changes)
    }

    pub(super) fn apply_deletion(&mut self, topic: TopicId, deleted_at_ms: u64) -> Result<Changes, String> {
        let name = self.known_topic(topic)?.name.clone();
        let changes = self.whole_topic(topic);
        let replicas = self.partitions_of(topic).iter().flat_map(|partition| &partition.replicas);
        let pending: BTreeSet<BrokerId> = replicas.map(|replica| replica.broker).collect();
        let pending = pending.into_iter().collect();
        self.names.remove(name.as_str().to_ascii_lowercase().as_str());
        self.topics.remove(&topic);
        self.partitions.remove(&topic);
        self.tombstones.insert(topic, Arc::new(Tombstone { topic, name, pending, deleted_at_ms }));
        Ok(changes)
    }

    pub(super) fn apply_confirmation(&mut self, broker: BrokerId, topic: TopicId) -> Result<Changes, String> {
        let tombstone = self.tombstones.get_mut(&topic).ok_or_else(|| format!("no tombstone of {topic}"))?;
        let tombstone = Arc::make_mut(tombstone);
        tombstone.pending.retain(|&it| it != broker);
        if tombstone.pending.is_empty() {
            self.tombstones.remove(&topic);
        }
        Ok(Changes { topics: BTreeSet::from([topic]), ..Changes::default() })
    }

    /// Opens a topic that is being created once every partition can (N14).
    pub(super) fn open_if_ready(&mut self, topic: TopicId, changes: &mut Changes) {
        let Some(entry) = self.topics.get(&topic).filter(|entry| entry.state == TopicState::Creating) else {
            return;
        };
        let min = entry.min_insync_replicas();
        if !self.partitions_of(topic).iter().all(|partition| partition.can_open(min, &self.brokers)) {
            return;
        }
        for at in self.ids_of(topic) {
            if let Some(mut partition) = self.partition(at).map(|it| PartitionEntry::clone(it)) {
                partition.open(&self.brokers);
                self.replace(at, partition, changes);
            }
        }
        if let Some(entry) = self.topics.get_mut(&topic) {
            Arc::make_mut(entry).state = TopicState::Open;
        }
        changes.topics.insert(topic);
    }

    /// A replica on `broker` that has yet to be made.
    fn new_replica(&self, broker: BrokerId) -> Result<ReplicaEntry, String> {
        let known = self.broker(broker).ok_or_else(|| format!("no broker {broker}"))?;
        Ok(ReplicaEntry { broker, directory: known.directory, made: false })
    }
}
