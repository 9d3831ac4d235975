//! What is reported of replicas, and what leaders change: made, lost, ends, in-sync sets.

use fidelog_record::types::{
    BrokerEpoch, BrokerId, DirectoryId, Offset, PartitionIndex, TopicId, TopicPartition,
};

use super::super::partition::Step;
use super::super::{Changes, ClusterState, EndReport, ReplicaEnd, ReplicaFailure};

impl ClusterState {
    pub(super) fn apply_ready(
        &mut self,
        broker: BrokerId,
        directory: DirectoryId,
        topic: TopicId,
        partitions: &[PartitionIndex],
    ) -> Result<Changes, String> {
        self.known_topic(topic)?;
        let mut changes = Changes::default();
        for at in self.ids_of(topic) {
            let is_named = partitions.is_empty() || partitions.binary_search(&at.partition).is_ok();
            let is_new = self
                .partition(at)
                .and_then(|it| it.replica(broker))
                .is_some_and(|replica| !replica.made && replica.directory == directory);
            if is_new && is_named {
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

    pub(super) fn apply_failure(
        &mut self,
        broker: BrokerId,
        partitions: &[TopicPartition],
        reason: ReplicaFailure,
    ) -> Result<Changes, String> {
        self.all_exist(partitions.iter().copied())?;
        let mut changes = Changes::default();
        for &at in partitions {
            self.touch(at, &mut changes, |partition, brokers| {
                partition.replica_failed(broker, reason, brokers)
            });
        }
        Ok(changes)
    }

    pub(super) fn apply_repair(
        &mut self,
        broker: BrokerId,
        partitions: &[TopicPartition],
        reason: Option<ReplicaFailure>,
    ) -> Result<Changes, String> {
        self.all_exist(partitions.iter().copied())?;
        let mut changes = Changes::default();
        for &at in partitions {
            self.touch(at, &mut changes, |partition, _| partition.replica_repaired(broker, reason));
        }
        Ok(changes)
    }

    pub(super) fn apply_leader(
        &mut self,
        at: TopicPartition,
        leader: BrokerId,
        chosen: bool,
    ) -> Result<Changes, String> {
        let partition = self.partition(at).ok_or_else(|| format!("no partition {at}"))?;
        if !partition.isr.contains(&leader) {
            return Err(format!("broker {leader} is not in sync with {at}"));
        }
        let mut changes = Changes::default();
        self.touch(at, &mut changes, |partition, _| {
            (partition.leader, partition.chosen) = (Some(leader), chosen.then_some(leader));
            Step::Changed
        });
        Ok(changes)
    }

    pub(super) fn apply_move(&mut self, at: TopicPartition, targets: &[BrokerId]) -> Result<Changes, String> {
        let partition = self.partition(at).ok_or_else(|| format!("no partition {at}"))?;
        let added = targets.iter().filter(|&&target| !partition.has_replica(target));
        let added = added.map(|&target| self.new_replica(target)).collect::<Result<Vec<_>, String>>()?;
        let mut changes = Changes::default();
        self.touch(at, &mut changes, |partition, _| partition.start_move(targets, added));
        Ok(changes)
    }

    pub(super) fn apply_recovery(
        &mut self,
        at: TopicPartition,
        leader: BrokerId,
        cut_end: Offset,
    ) -> Result<Changes, String> {
        let partition = self.partition(at).ok_or_else(|| format!("no partition {at}"))?;
        if !partition.has_replica(leader) || partition.leader.is_some() {
            return Err(format!("broker {leader} cannot be the one {at} is recovered from"));
        }
        let mut changes = Changes::default();
        self.touch(at, &mut changes, |partition, _| partition.recover(leader, cut_end));
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
