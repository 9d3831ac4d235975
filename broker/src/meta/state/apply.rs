//! Entries become state, one at a time, in order.
//!
//! Always true: an entry that fails to apply has changed nothing, and its node stops: either the log is not the one
//! this state came from, or this version does not know what others have decided.

use std::collections::BTreeSet;
use std::sync::Arc;

use fidelog_record::types::{BrokerId, DirectoryId, MetaIndex, PartitionIndex, TopicId, TopicPartition};

use super::{
    BrokerEntry, Changes, ClusterState, DataFound, Entry, PartitionEntry, ReplicaEntry, Tombstone,
    TopicConfig, TopicEntry, TopicState,
};

/// Why an entry does not apply. The node that meets one stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// An entry is missing, or comes a second time.
    #[error("metadata entry {given} does not follow {applied}")]
    OutOfOrder {
        /// Its index.
        given: MetaIndex,
        /// The last one applied.
        applied: MetaIndex,
    },
    /// It speaks of something that is not there.
    #[error("metadata entry {index} does not fit the state before it: {reason}")]
    Misfit {
        /// Its index.
        index: MetaIndex,
        /// What does not fit.
        reason: String,
    },
}

impl ClusterState {
    /// Applies the entry at `index`, which must be the next one, and tells what it touched.
    ///
    /// # Errors
    /// [`ApplyError`]; the state is as before, and the node must stop.
    pub fn apply(&mut self, index: MetaIndex, entry: &Entry) -> Result<Changes, ApplyError> {
        if index != self.index.next() {
            return Err(ApplyError::OutOfOrder { given: index, applied: self.index });
        }
        let changes = self.apply_entry(entry).map_err(|reason| ApplyError::Misfit { index, reason })?;
        self.index = index;
        Ok(changes)
    }

    fn apply_entry(&mut self, entry: &Entry) -> Result<Changes, String> {
        match entry {
            Entry::BrokerRegistered { broker, data } => self.apply_registration(broker, *data),
            Entry::GenerationRaised { broker, generation } => {
                let known = self.brokers.get_mut(broker).ok_or_else(|| format!("no broker {broker}"))?;
                Arc::make_mut(known).generation = *generation;
                Ok(Changes { brokers: BTreeSet::from([*broker]), ..Changes::default() })
            }
            Entry::TopicDefaultsSet { defaults } => {
                self.defaults = defaults.clone();
                Ok(Changes { defaults: true, ..Changes::default() })
            }
            Entry::TopicCreated { topic, assignment } => self.apply_creation(topic, assignment),
            Entry::ReplicasReady { broker, directory, topic } => {
                self.apply_ready(*broker, *directory, *topic)
            }
            Entry::ReplicasLost { broker, partitions } => self.apply_lost(*broker, partitions),
            Entry::IsrChanged { partition, isr } => self.apply_isr(*partition, isr),
            Entry::TopicAltered { topic, config } => self.apply_alteration(*topic, config),
            Entry::TopicDeleted { topic, deleted_at_ms } => self.apply_deletion(*topic, *deleted_at_ms),
            Entry::ReplicaDeleted { broker, topic } => self.apply_confirmation(*broker, *topic),
            Entry::ProducerIdsGranted { from, to_end, .. } => {
                if *from != self.next_producer_id || to_end <= from {
                    return Err(format!(
                        "producer ids {from}..{to_end}, the next is {}",
                        self.next_producer_id
                    ));
                }
                self.next_producer_id = *to_end;
                Ok(Changes::default())
            }
        }
    }

    fn apply_registration(&mut self, broker: &BrokerEntry, data: DataFound) -> Result<Changes, String> {
        if broker.epoch <= self.last_broker_epoch {
            return Err(format!("broker epoch {} is not above {}", broker.epoch, self.last_broker_epoch));
        }
        self.last_broker_epoch = broker.epoch;
        let id = broker.id;
        self.brokers.insert(id, Arc::new(broker.clone()));
        let mut changes = Changes { brokers: BTreeSet::from([id]), ..Changes::default() };
        let held: Vec<TopicPartition> =
            self.partitions().filter(|(_, it)| it.has_replica(id)).map(|(at, _)| at).collect();
        for at in held {
            let touched = match data {
                DataFound::Intact => self.partition(at).is_some_and(|it| it.leader == Some(id)),
                DataFound::OtherDirectory | DataFound::RolledBack => true,
            };
            if touched {
                self.touch(at, &mut changes, |partition, open| match data {
                    DataFound::Intact => partition.leader_restarted(),
                    DataFound::OtherDirectory | DataFound::RolledBack => {
                        partition.replica_lost(id, broker.directory, open);
                    }
                });
            }
        }
        Ok(changes)
    }

    fn apply_creation(
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
        let replica = |&broker: &BrokerId| {
            let known = self.broker(broker).ok_or_else(|| format!("no broker {broker}"))?;
            Ok(ReplicaEntry { broker, directory: known.directory, made: false })
        };
        let partition = |brokers: &Vec<BrokerId>| {
            let replicas = brokers.iter().map(replica).collect::<Result<Vec<_>, String>>()?;
            Ok(Arc::new(PartitionEntry::creating(replicas)))
        };
        let partitions = assignment.iter().map(partition).collect::<Result<Vec<_>, String>>()?;
        self.partitions.insert(topic.id, Arc::new(partitions));
        self.names.insert(topic.name.as_str().to_ascii_lowercase().into(), topic.id);
        self.topics.insert(topic.id, Arc::new(topic.clone()));
        Ok(self.whole_topic(topic.id))
    }

    fn apply_ready(
        &mut self,
        broker: BrokerId,
        directory: DirectoryId,
        topic: TopicId,
    ) -> Result<Changes, String> {
        self.known_topic(topic)?;
        let mut changes = Changes::default();
        for at in self.ids_of(topic) {
            let is_new = self
                .partition(at)
                .and_then(|it| it.replica(broker))
                .is_some_and(|replica| !replica.made && replica.directory == directory);
            if is_new {
                self.touch(at, &mut changes, |partition, open| {
                    partition.replica_made(broker, open);
                });
            }
        }
        self.open_if_ready(topic, &mut changes);
        Ok(changes)
    }

    fn apply_lost(&mut self, broker: BrokerId, partitions: &[TopicPartition]) -> Result<Changes, String> {
        let directory = self.broker(broker).ok_or_else(|| format!("no broker {broker}"))?.directory;
        if let Some(at) = partitions.iter().find(|at| self.partition(**at).is_none()) {
            return Err(format!("no partition {at}"));
        }
        let mut changes = Changes::default();
        for &at in partitions {
            self.touch(at, &mut changes, |partition, open| partition.replica_lost(broker, directory, open));
        }
        Ok(changes)
    }

    fn apply_isr(&mut self, at: TopicPartition, isr: &[BrokerId]) -> Result<Changes, String> {
        let min = self.known_topic(at.topic)?.min_insync_replicas();
        let partition = self.partition(at).ok_or_else(|| format!("no partition {at}"))?;
        if let Some(broker) = isr.iter().find(|&&broker| !partition.has_replica(broker)) {
            return Err(format!("broker {broker} holds no replica of {at}"));
        }
        let mut changes = Changes::default();
        self.touch(at, &mut changes, |partition, _| partition.change_isr(isr, min));
        Ok(changes)
    }

    fn apply_alteration(&mut self, topic: TopicId, config: &TopicConfig) -> Result<Changes, String> {
        let mut altered = TopicEntry::clone(self.known_topic(topic)?);
        let min_before = altered.min_insync_replicas();
        altered.config = config.clone();
        let (min, open) = (altered.min_insync_replicas(), altered.state == TopicState::Open);
        self.topics.insert(topic, Arc::new(altered));
        let mut changes = Changes { topics: BTreeSet::from([topic]), ..Changes::default() };
        if min != min_before && open {
            for at in self.ids_of(topic) {
                self.touch(at, &mut changes, |partition, _| partition.change_minimum(min));
            }
        }
        self.open_if_ready(topic, &mut changes);
        Ok(changes)
    }

    fn apply_deletion(&mut self, topic: TopicId, deleted_at_ms: u64) -> Result<Changes, String> {
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

    fn apply_confirmation(&mut self, broker: BrokerId, topic: TopicId) -> Result<Changes, String> {
        let tombstone = self.tombstones.get_mut(&topic).ok_or_else(|| format!("no tombstone of {topic}"))?;
        let tombstone = Arc::make_mut(tombstone);
        tombstone.pending.retain(|&it| it != broker);
        if tombstone.pending.is_empty() {
            self.tombstones.remove(&topic);
        }
        Ok(Changes { topics: BTreeSet::from([topic]), ..Changes::default() })
    }

    /// Opens a topic that is being created once every partition can (N14).
    fn open_if_ready(&mut self, topic: TopicId, changes: &mut Changes) {
        let Some(entry) = self.topics.get(&topic).filter(|entry| entry.state == TopicState::Creating) else {
            return;
        };
        let min = entry.min_insync_replicas();
        if !self.partitions_of(topic).iter().all(|partition| partition.can_open(min)) {
            return;
        }
        for at in self.ids_of(topic) {
            self.touch(at, changes, |partition, _| partition.open());
        }
        if let Some(entry) = self.topics.get_mut(&topic) {
            Arc::make_mut(entry).state = TopicState::Open;
        }
        changes.topics.insert(topic);
    }

    /// Changes one partition; `change` is told whether its topic is open.
    fn touch(
        &mut self,
        at: TopicPartition,
        changes: &mut Changes,
        change: impl FnOnce(&mut PartitionEntry, bool),
    ) {
        let open = self.topic(at.topic).is_some_and(|topic| topic.state == TopicState::Open);
        let index = usize::try_from(at.partition.0).unwrap_or(usize::MAX);
        let list = self.partitions.get_mut(&at.topic).map(Arc::make_mut);
        if let Some(partition) = list.and_then(|list| list.get_mut(index)) {
            change(Arc::make_mut(partition), open);
            changes.partitions.insert(at);
        }
    }

    fn known_topic(&self, topic: TopicId) -> Result<&TopicEntry, String> {
        self.topics.get(&topic).map(Arc::as_ref).ok_or_else(|| format!("no topic {topic}"))
    }

    pub(super) fn ids_of(&self, topic: TopicId) -> Vec<TopicPartition> {
        let count = self.topic(topic).map_or(0, |entry| entry.partition_count);
        (0..count).map(|index| TopicPartition { topic, partition: PartitionIndex(index) }).collect()
    }

    fn whole_topic(&self, topic: TopicId) -> Changes {
        let partitions = self.ids_of(topic).into_iter().collect();
        Changes { topics: BTreeSet::from([topic]), partitions, ..Changes::default() }
    }
}
