//! Proposals become entries, or refusals with a name.
//!
//! Always true: deciding changes nothing; the same state, proposal, time and minted ids give the same answer; an
//! entry given here applies to the state it was decided on. Ids and times come from the caller.

mod broker;
mod controller;
mod create_topic;
mod fence;
mod isr;
mod leader;
mod moving;
mod producer;
mod recovery;
mod replicas;
mod topic;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use fidelog_record::types::{BrokerEpoch, BrokerId, TopicId};

use super::{BrokerEntry, ClusterState, Entry, FenceReason, Proposal, Refusal, TopicEntry};

/// Ids the caller minted in case the proposal needs them.
#[derive(Clone, Copy, Debug)]
pub struct Minted {
    /// For a new topic.
    pub topic: TopicId,
}

impl ClusterState {
    /// What `proposal` comes to on this state at `now_ms`, Unix milliseconds.
    ///
    /// # Errors
    /// [`Refusal`]: definite, nothing happens.
    pub fn decide(&self, proposal: &Proposal, now_ms: u64, minted: &Minted) -> Result<Entry, Refusal> {
        match proposal {
            Proposal::RegisterBroker { registration } => self.decide_registration(registration, now_ms),
            Proposal::RaiseGeneration { broker, broker_epoch, generation } => {
                self.decide_generation(*broker, *broker_epoch, *generation)
            }
            Proposal::FenceBroker { broker, broker_epoch, reason } => {
                self.decide_fence(*broker, *broker_epoch, *reason, now_ms)
            }
            Proposal::UnfenceBroker { broker, broker_epoch } => self.decide_unfence(*broker, *broker_epoch),
            Proposal::HandOver { broker, broker_epoch } => {
                self.decide_fence(*broker, *broker_epoch, FenceReason::Stopping, now_ms)
            }
            Proposal::DrainBroker { broker } => {
                self.registered(*broker).map(|_| Entry::BrokerDraining { broker: *broker })
            }
            Proposal::ResumeBroker { broker } => {
                self.registered(*broker).map(|_| Entry::BrokerResumed { broker: *broker })
            }
            Proposal::RegisterController { registration } => self.decide_controller(registration, now_ms),
            Proposal::RaiseControllerGeneration { broker, node_id, generation } => {
                self.decide_controller_generation(*broker, *node_id, *generation)
            }
            Proposal::RemoveController { broker, node_id } => {
                self.decide_controller_removal(*broker, *node_id)
            }
            Proposal::RaiseFeatureLevel { level } => self.decide_feature_level(*level),
            Proposal::MoveReplicas { partition, replicas, partition_epoch } => {
                self.decide_move(*partition, replicas, *partition_epoch)
            }
            Proposal::CancelMove { partition } => self.decide_cancellation(*partition),
            Proposal::AddPartitions { topic, total } => self.decide_more_partitions(*topic, *total),
            Proposal::SetReplicationFactor { topic, replication_factor, allow_unreplicated } => {
                self.decide_replication_factor(*topic, *replication_factor, *allow_unreplicated)
            }
            Proposal::RecoverPartition { plan, plan_hash, known } => {
                self.decide_recovery((plan, *plan_hash), known.as_deref(), now_ms)
            }
            Proposal::SetTopicDefaults { defaults } => self.decide_defaults(defaults),
            Proposal::CreateTopic { .. } => self.decide_creation(proposal, now_ms, minted),
            Proposal::ReplicasReady { broker, broker_epoch, directory, topic, made } => {
                self.decide_ready((*broker, *broker_epoch), *directory, *topic, made)
            }
            Proposal::ReplicasLost { broker, broker_epoch, lost } => {
                self.decide_lost(*broker, *broker_epoch, lost)
            }
            Proposal::ReplicasFailed { broker, broker_epoch, partitions, reason } => {
                let (broker, reason) = (*broker, *reason);
                let partitions = self.seen_replicas(broker, *broker_epoch, partitions)?;
                Ok(Entry::ReplicasFailed { broker, partitions, reason })
            }
            Proposal::ReplicasRepaired { broker, broker_epoch, partitions, reason } => {
                let partitions = self.seen_replicas(*broker, *broker_epoch, partitions)?;
                Ok(Entry::ReplicasRepaired { broker: *broker, partitions, reason: Some(*reason) })
            }
            Proposal::GiveUpReplica { broker, broker_epoch, partition } => {
                self.decide_giving_up(*broker, *broker_epoch, *partition)
            }
            Proposal::ElectLeader { partition, broker } => self.decide_leader(*partition, *broker),
            Proposal::ReportEnds { broker, broker_epoch, ends } => {
                self.decide_ends(*broker, *broker_epoch, ends)
            }
            Proposal::ElectUnclean { partitions } => self.decide_unclean_election(partitions),
            Proposal::ChangeIsr { .. } => self.decide_isr(proposal),
            Proposal::AlterTopic { topic, changes, allow_unreplicated } => {
                self.decide_alteration(*topic, changes, *allow_unreplicated)
            }
            Proposal::DeleteTopic { topic } => self.decide_deletion(*topic, now_ms),
            Proposal::ReplicaDeleted { broker, broker_epoch, topic } => {
                self.decide_confirmation(*broker, *broker_epoch, *topic)
            }
            Proposal::GrantProducerIds { broker, count } => self.decide_producer_ids(*broker, *count),
        }
    }

    fn registered(&self, broker: BrokerId) -> Result<&Arc<BrokerEntry>, Refusal> {
        self.broker(broker).ok_or(Refusal::UnknownBroker { broker })
    }

    /// The broker, if `given` is its present registration.
    fn current(&self, broker: BrokerId, given: BrokerEpoch) -> Result<&Arc<BrokerEntry>, Refusal> {
        let entry = self.registered(broker)?;
        if entry.epoch != given {
            return Err(Refusal::StaleBrokerEpoch { broker, given, current: entry.epoch });
        }
        Ok(entry)
    }

    fn existing(&self, topic: TopicId) -> Result<&Arc<TopicEntry>, Refusal> {
        self.topic(topic).ok_or(Refusal::UnknownTopic { topic })
    }
}
