//! Planned changes of leaders: only to members that are in sync, so that nothing is lost.

use fidelog_record::types::{BrokerId, TopicPartition};

use super::super::{ClusterState, Entry, PartitionEntry, Refusal, TopicState};

impl ClusterState {
    pub(super) fn decide_leader(
        &self,
        at: TopicPartition,
        broker: Option<BrokerId>,
    ) -> Result<Entry, Refusal> {
        let partition = self.open_partition(at)?;
        let preferred = partition.replicas.first().map(|replica| replica.broker);
        let Some(leader) = broker.or(preferred) else {
            return Err(Refusal::NothingNamed { what: "replicas".to_owned() });
        };
        let refuse = |reason: &str| {
            let reason = reason.to_owned();
            Err(Refusal::CannotLead { partition: at, broker: leader, reason })
        };
        if !partition.has_replica(leader) {
            return Err(Refusal::NotAReplica { broker: leader, partition: at });
        }
        if partition.leader == Some(leader) {
            return refuse("it is already");
        }
        if !partition.isr.contains(&leader) {
            return refuse("it is not in sync");
        }
        if !partition.is_preferable(leader, &self.brokers) {
            return refuse("it is fenced, draining, damaged or not believed after an unclean restart");
        }
        Ok(Entry::LeaderMoved { partition: at, leader, chosen: broker.is_some() })
    }

    /// A partition that has opened, of an open topic.
    pub(super) fn open_partition(&self, at: TopicPartition) -> Result<&PartitionEntry, Refusal> {
        let topic = self.existing(at.topic)?;
        let partition = self.partition(at).ok_or(Refusal::UnknownPartition { partition: at })?;
        match topic.state == TopicState::Open && partition.is_open() {
            true => Ok(partition),
            false => Err(Refusal::TopicNotOpen { topic: at.topic }),
        }
    }
}
