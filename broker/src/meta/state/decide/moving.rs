//! Partitions move, grow in number and change their replication factor (N15).

use fidelog_record::types::limits::PARTITION_COUNT_MAX;
use fidelog_record::types::{BrokerId, PartitionEpoch, TopicId, TopicPartition};

use super::super::{CLUSTER_PARTITION_COUNT_MAX, ClusterState, Entry, Refusal, TopicState};

impl ClusterState {
    pub(super) fn decide_move(
        &self,
        at: TopicPartition,
        targets: &[BrokerId],
        seen: Option<PartitionEpoch>,
    ) -> Result<Entry, Refusal> {
        let partition = self.open_partition(at)?;
        if let Some(given) = seen.filter(|given| *given != partition.epoch) {
            let current = partition.epoch;
            return Err(Refusal::StalePartitionEpoch { partition: at, given, current });
        }
        if partition.moving.is_some() {
            return Err(Refusal::MoveUnderWay { partition: at });
        }
        let refuse = |reason: String| Err(Refusal::InvalidMove { partition: at, reason });
        let factor = self.existing(at.topic)?.replication_factor;
        if targets.len() != usize::from(factor) {
            return refuse(format!("{} replicas, the replication factor is {factor}", targets.len()));
        }
        for (place, &broker) in targets.iter().enumerate() {
            if targets[..place].contains(&broker) {
                return Err(Refusal::NamedTwice { partition: at, broker });
            }
            let known = self.registered(broker)?;
            if partition.has_replica(broker) {
                continue;
            }
            if known.draining {
                return refuse(format!("broker {broker} is draining"));
            }
            if known.fenced {
                return refuse(format!("broker {broker} is fenced"));
            }
        }
        if partition.replicas_wanted() == targets {
            return refuse("its replicas are there already".to_owned());
        }
        Ok(Entry::MoveStarted { partition: at, replicas: targets.to_vec() })
    }

    pub(super) fn decide_cancellation(&self, at: TopicPartition) -> Result<Entry, Refusal> {
        let partition = self.open_partition(at)?;
        let min = self.existing(at.topic)?.min_insync_replicas();
        if partition.moving.is_none() {
            return Err(Refusal::NoMoveUnderWay { partition: at });
        }
        if !partition.can_cancel_move(min, &self.brokers) {
            return Err(Refusal::MoveHoldsRecords { partition: at, min });
        }
        Ok(Entry::MoveCancelled { partition: at })
    }

    pub(super) fn decide_more_partitions(&self, topic: TopicId, total: u32) -> Result<Entry, Refusal> {
        let entry = self.existing(topic)?;
        if entry.internal {
            return Err(Refusal::InternalPartitionCount { name: entry.name.clone() });
        }
        if entry.state != TopicState::Open {
            return Err(Refusal::TopicNotOpen { topic });
        }
        let current = entry.partition_count;
        if total <= current {
            return Err(Refusal::PartitionsOnlyGrow { topic, given: total, current });
        }
        if total > PARTITION_COUNT_MAX {
            return Err(Refusal::PartitionCount { given: total });
        }
        let given = total - current;
        let in_cluster = self.partition_count() + u64::from(given);
        if in_cluster > u64::from(CLUSTER_PARTITION_COUNT_MAX) {
            return Err(Refusal::ClusterPartitionCount { given, total: in_cluster });
        }
        self.check_brokers_for(entry.replication_factor)?;
        Ok(Entry::PartitionsAdded { topic, assignment: self.place(given, entry.replication_factor) })
    }

    /// The factor is what new partitions get and what moves go to; the replicas there are follow by moves. Falling, an
    /// inherited minimum falls to what the defaults give, and one that was set must fit already. Rising, the minimum
    /// stays: raised now it would stop writes until the new replicas are filled.
    pub(super) fn decide_replication_factor(
        &self,
        topic: TopicId,
        factor: u16,
        allow_unreplicated: bool,
    ) -> Result<Entry, Refusal> {
        let entry = self.existing(topic)?;
        if entry.state != TopicState::Open {
            return Err(Refusal::TopicNotOpen { topic });
        }
        self.check_replication(factor, allow_unreplicated)?;
        let mut config = entry.config.clone();
        let falls = factor < entry.replication_factor;
        if config.min_insync_inherited && falls {
            let by_default = self.defaults.min_insync_for(factor);
            config.min_insync_replicas = Some(entry.min_insync_replicas().min(by_default));
        }
        let min = config.min_insync_replicas.unwrap_or(factor);
        if min > factor {
            return Err(Refusal::MinInsyncAboveReplicationFactor { min, replication_factor: factor });
        }
        if min == 1 && entry.min_insync_replicas() > 1 && !allow_unreplicated {
            return Err(Refusal::MinInsyncOneNotAllowed { replication_factor: factor });
        }
        Ok(Entry::ReplicationFactorSet { topic, replication_factor: factor, config })
    }
}
