//! Entries become state, one at a time, in order.
//!
//! Always true: an entry that fails to apply has changed nothing, and its node stops: either the log is not the one
//! this state came from, or this version does not know what others have decided. Every step on a partition goes
//! through [`ClusterState::touch`], which settles who leads it.

mod broker;
mod partition;
mod topic;

use std::collections::BTreeSet;
use std::sync::Arc;

use fidelog_record::types::{BrokerId, MetaIndex, PartitionIndex, TopicId, TopicPartition};

use super::broker::Brokers;
use super::partition::Step;
use super::{Changes, ClusterState, Entry, FEATURE_LEVEL, PartitionEntry, TopicEntry};

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
                self.alter_broker(*broker, |it| it.generation = *generation)
            }
            Entry::BrokerFenced { broker, reason, fenced_at_ms } => {
                self.apply_fence(*broker, *reason, *fenced_at_ms)
            }
            Entry::BrokerUnfenced { broker } => self.apply_unfence(*broker),
            Entry::BrokerDraining { broker } => self.apply_draining(*broker, true),
            Entry::BrokerResumed { broker } => self.apply_draining(*broker, false),
            Entry::ControllerRegistered { controller } => {
                self.controllers.insert(controller.broker, Arc::new(controller.clone()));
                Ok(of_controller(controller.broker))
            }
            Entry::ControllerGenerationRaised { broker, generation } => {
                let known =
                    self.controllers.get_mut(broker).ok_or_else(|| format!("no controller {broker}"))?;
                Arc::make_mut(known).generation = *generation;
                Ok(of_controller(*broker))
            }
            Entry::ControllerRemoved { broker } => {
                self.controllers.remove(broker).ok_or_else(|| format!("no controller {broker}"))?;
                Ok(of_controller(*broker))
            }
            Entry::FeatureLevelRaised { level } => self.apply_feature_level(*level),
            Entry::TopicDefaultsSet { defaults } => {
                self.defaults = defaults.clone();
                Ok(Changes { defaults: true, ..Changes::default() })
            }
            Entry::TopicCreated { topic, assignment } => self.apply_creation(topic, assignment),
            Entry::ReplicasReady { broker, directory, topic, partitions } => {
                self.apply_ready(*broker, *directory, *topic, partitions)
            }
            Entry::ReplicasLost { broker, partitions } => self.apply_lost(*broker, partitions),
            Entry::EndsReported { broker, broker_epoch, ends } => {
                self.apply_ends(*broker, *broker_epoch, ends)
            }
            Entry::UncleanElected { partitions } => self.apply_unclean_election(partitions),
            Entry::ReplicasFailed { broker, partitions, reason } => {
                self.apply_failure(*broker, partitions, *reason)
            }
            Entry::ReplicasRepaired { broker, partitions, reason } => {
                self.apply_repair(*broker, partitions, *reason)
            }
            Entry::LeaderMoved { partition, leader, chosen } => {
                self.apply_leader(*partition, *leader, *chosen)
            }
            Entry::MoveStarted { partition, replicas } => self.apply_move(*partition, replicas),
            Entry::MoveCancelled { partition } => {
                self.all_exist([*partition])?;
                let mut changes = Changes::default();
                self.touch(*partition, &mut changes, |partition, _| partition.cancel_move());
                Ok(changes)
            }
            Entry::PartitionRecovered { partition, leader, cut_end } => {
                self.apply_recovery(*partition, *leader, *cut_end)
            }
            Entry::PartitionsAdded { topic, assignment } => self.apply_more_partitions(*topic, assignment),
            Entry::ReplicationFactorSet { topic, replication_factor, config } => {
                self.apply_replication_factor(*topic, *replication_factor, config)
            }
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

    /// The node that does not know what everybody must know from now on stops here.
    fn apply_feature_level(&mut self, level: u32) -> Result<Changes, String> {
        if level > FEATURE_LEVEL {
            return Err(format!("feature level {level}; this version knows up to {FEATURE_LEVEL}"));
        }
        self.feature_level = level;
        Ok(Changes { defaults: true, ..Changes::default() })
    }

    /// Takes one step on a partition, then settles who leads it.
    fn touch(
        &mut self,
        at: TopicPartition,
        changes: &mut Changes,
        step: impl FnOnce(&mut PartitionEntry, &Brokers) -> Step,
    ) {
        let Some(min) = self.topic(at.topic).map(|topic| topic.min_insync_replicas()) else { return };
        let Some(before) = self.partition(at) else { return };
        let mut after = PartitionEntry::clone(before);
        let taken = step(&mut after, &self.brokers);
        after.finish(before, taken, min, &self.brokers);
        if after != **before {
            self.replace(at, after, changes);
        }
    }

    fn replace(&mut self, at: TopicPartition, with: PartitionEntry, changes: &mut Changes) {
        let index = usize::try_from(at.partition.0).unwrap_or(usize::MAX);
        let list = self.partitions.get_mut(&at.topic).map(Arc::make_mut);
        if let Some(slot) = list.and_then(|list| list.get_mut(index)) {
            *slot = Arc::new(with);
            changes.partitions.insert(at);
        }
    }

    /// Fails before anything is changed.
    fn all_exist(&self, partitions: impl IntoIterator<Item = TopicPartition>) -> Result<(), String> {
        match partitions.into_iter().find(|at| self.partition(*at).is_none()) {
            Some(at) => Err(format!("no partition {at}")),
            None => Ok(()),
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

fn of_controller(broker: BrokerId) -> Changes {
    Changes { controllers: BTreeSet::from([broker]), ..Changes::default() }
}
