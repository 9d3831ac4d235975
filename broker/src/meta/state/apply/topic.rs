//! Topics come, open, change and go.

use std::collections::BTreeSet;
use std::sync::Arc;

use fidelog_record::types::{BrokerId, PartitionEpoch, PartitionIndex, TopicId, TopicPartition};

use super::super::partition::Step;
use super::super::{
    Changes, ClusterState, OfflineReason, PartitionEntry, ReplicaEntry, Tombstone, TopicConfig, TopicEntry,
    TopicState,
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
        let partitions = self.new_partitions(assignment)?.into_iter().map(Arc::new).collect();
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
        let replication_factor = self.known_topic(topic)?.replication_factor;
        self.apply_replication_factor(topic, replication_factor, config)
    }

    pub(super) fn apply_replication_factor(
        &mut self,
        topic: TopicId,
        replication_factor: u16,
        config: &TopicConfig,
    ) -> Result<Changes, String> {
        let mut altered = TopicEntry::clone(self.known_topic(topic)?);
        let min_before = altered.min_insync_replicas();
        (altered.replication_factor, altered.config) = (replication_factor, config.clone());
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

    pub(super) fn apply_more_partitions(
        &mut self,
        topic: TopicId,
        assignment: &[Vec<BrokerId>],
    ) -> Result<Changes, String> {
        let mut grown = TopicEntry::clone(self.known_topic(topic)?);
        let mut added = self.new_partitions(assignment)?;
        let count = u32::try_from(added.len()).map_err(|_| format!("{} partitions more", added.len()))?;
        added.iter_mut().for_each(|partition| partition.offline = Some(OfflineReason::BeingMade {}));
        let first = grown.partition_count;
        grown.partition_count = first.checked_add(count).ok_or("too many partitions")?;
        let ends = first..grown.partition_count;
        self.topics.insert(topic, Arc::new(grown));
        if let Some(list) = self.partitions.get_mut(&topic) {
            Arc::make_mut(list).extend(added.into_iter().map(Arc::new));
        }
        let at = |index| TopicPartition { topic, partition: PartitionIndex(index) };
        let partitions = ends.map(at).collect();
        Ok(Changes { topics: BTreeSet::from([topic]), partitions, ..Changes::default() })
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

    /// Opens what can open (N14): a topic that is being created as a whole, and of an open one each partition that was
    /// added by itself.
    pub(super) fn open_if_ready(&mut self, topic: TopicId, changes: &mut Changes) {
        let Some(entry) = self.topics.get(&topic) else { return };
        let (min, is_new) = (entry.min_insync_replicas(), entry.state == TopicState::Creating);
        let waiting: Vec<TopicPartition> = self
            .ids_of(topic)
            .into_iter()
            .filter(|at| self.partition(*at).is_some_and(|it| !it.is_open()))
            .collect();
        let ready: Vec<TopicPartition> =
            waiting.iter().copied().filter(|at| self.is_ready(*at, min)).collect();
        if is_new && ready.len() < waiting.len() {
            return;
        }
        for at in ready {
            if let Some(mut partition) = self.partition(at).map(|it| PartitionEntry::clone(it)) {
                partition.open(&self.brokers);
                self.replace(at, partition, changes);
            }
        }
        if let Some(entry) = self.topics.get_mut(&topic).filter(|_| is_new) {
            Arc::make_mut(entry).state = TopicState::Open;
            changes.topics.insert(topic);
        }
    }

    fn is_ready(&self, at: TopicPartition, min: u16) -> bool {
        self.partition(at).is_some_and(|partition| partition.can_open(min, &self.brokers))
    }

    fn new_partitions(&self, assignment: &[Vec<BrokerId>]) -> Result<Vec<PartitionEntry>, String> {
        let partition = |brokers: &Vec<BrokerId>| {
            let replicas = brokers.iter().map(|&it| self.new_replica(it)).collect::<Result<Vec<_>, _>>()?;
            Ok(PartitionEntry::creating(replicas))
        };
        assignment.iter().map(partition).collect()
    }

    /// A replica on `broker` that has yet to be made.
    pub(super) fn new_replica(&self, broker: BrokerId) -> Result<ReplicaEntry, String> {
        let known = self.broker(broker).ok_or_else(|| format!("no broker {broker}"))?;
        Ok(ReplicaEntry { broker, directory: known.directory, made: false, since: PartitionEpoch(0) })
    }
}
