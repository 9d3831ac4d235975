//! What brokers report of their replica directories: made, lost, failed, deleted.

use fidelog_record::types::{BrokerEpoch, BrokerId, DirectoryId, TopicId, TopicPartition};

use super::super::{ClusterState, Entry, Refusal};

impl ClusterState {
    pub(super) fn decide_ready(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        directory: DirectoryId,
        topic: TopicId,
    ) -> Result<Entry, Refusal> {
        let current = self.current(broker, epoch)?.directory;
        if current != directory {
            return Err(Refusal::WrongDirectory { broker, given: directory, current });
        }
        self.existing(topic)?;
        if !self.partitions_of(topic).iter().any(|partition| partition.has_replica(broker)) {
            return Err(Refusal::NoReplicaOfTopic { broker, topic });
        }
        Ok(Entry::ReplicasReady { broker, directory, topic })
    }

    pub(super) fn decide_lost(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        partitions: &[TopicPartition],
    ) -> Result<Entry, Refusal> {
        let partitions = self.made_replicas(broker, epoch, partitions)?;
        Ok(Entry::ReplicasLost { broker, partitions })
    }

    /// `partitions`, once each, if `broker` has made its replica of every one.
    pub(super) fn made_replicas(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        partitions: &[TopicPartition],
    ) -> Result<Vec<TopicPartition>, Refusal> {
        self.current(broker, epoch)?;
        if partitions.is_empty() {
            return Err(Refusal::NothingNamed { what: "partitions".to_owned() });
        }
        let mut named = partitions.to_vec();
        named.sort_unstable();
        named.dedup();
        for &partition in &named {
            let entry = self.partition(partition).ok_or(Refusal::UnknownPartition { partition })?;
            let replica = entry.replica(broker).ok_or(Refusal::NotAReplica { broker, partition })?;
            if !replica.made {
                return Err(Refusal::ReplicaNotMade { broker, partition });
            }
        }
        Ok(named)
    }

    pub(super) fn decide_confirmation(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        topic: TopicId,
    ) -> Result<Entry, Refusal> {
        self.current(broker, epoch)?;
        let tombstone = self.tombstone(topic).ok_or(Refusal::NoTombstone { topic })?;
        if !tombstone.pending.contains(&broker) {
            return Err(Refusal::NoReplicaOfTopic { broker, topic });
        }
        Ok(Entry::ReplicaDeleted { broker, topic })
    }
}
