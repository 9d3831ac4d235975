//! New topics: every limit is named before anything is made.

use fidelog_record::types::limits::PARTITION_COUNT_MAX;
use fidelog_record::types::{BrokerId, TopicName};

use super::super::{
    CLUSTER_PARTITION_COUNT_MAX, ClusterState, Entry, Proposal, REPLICATION_FACTOR_MAX, Refusal, TopicConfig,
    TopicEntry, TopicState,
};
use super::Minted;

impl ClusterState {
    pub(super) fn decide_creation(
        &self,
        proposal: &Proposal,
        now_ms: u64,
        minted: &Minted,
    ) -> Result<Entry, Refusal> {
        let Proposal::CreateTopic {
            name,
            partition_count,
            replication_factor,
            config,
            allow_unreplicated,
            internal,
            assignment,
        } = proposal
        else {
            unreachable!("decide passes topic creations only");
        };
        self.check_name(name, *internal)?;
        if self.topics.contains_key(&minted.topic) || self.tombstones.contains_key(&minted.topic) {
            return Err(Refusal::TopicIdTaken { topic: minted.topic });
        }
        let partition_count = partition_count.unwrap_or(self.defaults.partition_count);
        self.check_partition_count(partition_count)?;
        let replication_factor = replication_factor.unwrap_or(self.defaults.replication_factor);
        self.check_replication(replication_factor, *allow_unreplicated)?;
        let config = self.settled_config(config.clone(), replication_factor)?;
        if config.min_insync_replicas == Some(1) && !allow_unreplicated {
            return Err(Refusal::MinInsyncOneNotAllowed { replication_factor });
        }
        let assignment = match assignment {
            Some(given) => self.check_assignment(given, partition_count, replication_factor)?,
            None => self.place(partition_count, replication_factor),
        };
        let topic = TopicEntry {
            id: minted.topic,
            name: name.clone(),
            partition_count,
            replication_factor,
            config,
            created_at_ms: now_ms,
            state: TopicState::Creating,
            internal: *internal,
        };
        Ok(Entry::TopicCreated { topic, assignment })
    }

    fn check_name(&self, name: &TopicName, internal: bool) -> Result<(), Refusal> {
        if let Some(existing) = self.topic_like(name.as_str()) {
            let (existing, topic) = (existing.name.clone(), existing.id);
            return Err(Refusal::TopicExists { name: name.clone(), existing, topic });
        }
        match (name.is_internal(), internal) {
            (true, false) => Err(Refusal::NameReserved { name: name.clone() }),
            (false, true) => Err(Refusal::InternalNameExpected { name: name.clone() }),
            _ => Ok(()),
        }
    }

    fn check_partition_count(&self, given: u32) -> Result<(), Refusal> {
        if !(1..=PARTITION_COUNT_MAX).contains(&given) {
            return Err(Refusal::PartitionCount { given });
        }
        let total = self.partition_count() + u64::from(given);
        if total > u64::from(CLUSTER_PARTITION_COUNT_MAX) {
            return Err(Refusal::ClusterPartitionCount { given, total });
        }
        Ok(())
    }

    pub(super) fn check_replication(&self, given: u16, allow_unreplicated: bool) -> Result<(), Refusal> {
        if !(1..=REPLICATION_FACTOR_MAX).contains(&given) {
            return Err(Refusal::ReplicationFactor { given });
        }
        self.check_brokers_for(given)?;
        if given == 1 && !allow_unreplicated {
            return Err(Refusal::UnreplicatedNotAllowed {});
        }
        Ok(())
    }

    pub(super) fn check_brokers_for(&self, replication_factor: u16) -> Result<(), Refusal> {
        let (given, brokers) = (replication_factor, self.undrained().count());
        match usize::from(given) > brokers {
            true => Err(Refusal::NotEnoughBrokers { given, brokers }),
            false => Ok(()),
        }
    }

    /// The settings with an explicit minimum, if all of them can be.
    pub(super) fn settled_config(
        &self,
        mut config: TopicConfig,
        replication_factor: u16,
    ) -> Result<TopicConfig, Refusal> {
        config.check_ranges()?;
        let min = config.min_insync_replicas.unwrap_or_else(|| {
            config.min_insync_inherited = true;
            self.defaults.min_insync_for(replication_factor)
        });
        if min > replication_factor {
            return Err(Refusal::MinInsyncAboveReplicationFactor { min, replication_factor });
        }
        config.min_insync_replicas = Some(min);
        config.effective(&self.defaults).check()?;
        Ok(config)
    }

    fn check_assignment(
        &self,
        given: &[Vec<BrokerId>],
        partition_count: u32,
        replication_factor: u16,
    ) -> Result<Vec<Vec<BrokerId>>, Refusal> {
        if given.len() != partition_count as usize {
            let reason = format!("{} partitions are assigned, the topic has {partition_count}", given.len());
            return Err(Refusal::InvalidAssignment { partition: 0, reason });
        }
        for (partition, brokers) in (0..).zip(given) {
            let refuse = |reason: String| Err(Refusal::InvalidAssignment { partition, reason });
            if brokers.len() != usize::from(replication_factor) {
                return refuse(format!(
                    "{} replicas, the replication factor is {replication_factor}",
                    brokers.len()
                ));
            }
            for (place, broker) in brokers.iter().enumerate() {
                match self.broker(*broker) {
                    None => return refuse(format!("broker {broker} is not registered")),
                    Some(known) if known.draining => {
                        return refuse(format!("broker {broker} is draining"));
                    }
                    Some(_) => {}
                }
                if brokers[..place].contains(broker) {
                    return refuse(format!("broker {broker} is named twice"));
                }
            }
        }
        Ok(given.to_vec())
    }
}
