//! What is reported of replicas, and what leaders change: made, lost, ends, in-sync sets.

use fidelog_record::types::{BrokerEpoch, BrokerId, DirectoryId, TopicId, TopicPartition};

use super::super::{Changes, ClusterState, EndReport, ReplicaEnd};

impl ClusterState {
    pub(super) fn apply_ready(
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
                self.touch(at, &mut changes, |partition, _| partition.replica_made(broker));
            }
        }
        self.open_if_ready(topic, &mut changes);
        Ok(changes)
    }

    pub(super) fn apply_lost(
        &mut self,
        broker: BrokerId,
        partitions: &[TopicPartition],
    ) -> Result<Changes, String> {
        let directory = self.broker(broker).ok_or_else(|| format!("no broker {broker}"))?.directory;
        self.all_exist(partitions.iter().copied())?;
        let mut changes = Changes::default();
        for &at in partitions {
            self.touch(at, &mut changes, |partition, _| partition.replica_lost(broker, directory));
        }
        Ok(changes)
    }

    pub(super) fn apply_ends(
        &mut self,
        broker: BrokerId,
        broker_epoch: BrokerEpoch,
        ends: &[ReplicaEnd],
    ) -> Result<Changes, String> {
        self.all_exist(ends.iter().map(|end| end.partition))?;
        let mut changes = Changes::default();
        for end in ends {
            let (last_epoch, durable_end) = (end.last_epoch, end.durable_end);
            let report = EndReport { broker, broker_epoch, last_epoch, durable_end };
            self.touch(end.partition, &mut changes, |partition, _| partition.end_reported(report));
        }
        Ok(changes)
    }

    pub(super) fn apply_unclean_election(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Changes, String> {
        self.all_exist(partitions.iter().copied())?;
        let mut changes = Changes::default();
        for &at in partitions {
            self.touch(at, &mut changes, |partition, brokers| partition.elect_of_reported(brokers));
        }
        Ok(changes)
    }

    pub(super) fn apply_isr(&mut self, at: TopicPartition, isr: &[BrokerId]) -> Result<Changes, String> {
        let partition = self.partition(at).ok_or_else(|| format!("no partition {at}"))?;
        if let Some(broker) = isr.iter().find(|&&broker| !partition.has_replica(broker)) {
            return Err(format!("broker {broker} holds no replica of {at}"));
        }
        let mut changes = Changes::default();
        self.touch(at, &mut changes, |partition, _| partition.change_isr(isr));
        Ok(changes)
    }
}
