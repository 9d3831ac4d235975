//! Changes of existing topics, and of what all of them inherit.

use fidelog_record::types::TopicId;
use fidelog_record::types::limits::PARTITION_COUNT_MAX;

use super::super::{ClusterState, ConfigChange, Entry, REPLICATION_FACTOR_MAX, Refusal, TopicDefaults};

impl ClusterState {
    pub(super) fn decide_alteration(
        &self,
        topic: TopicId,
        changes: &[ConfigChange],
        allow_unreplicated: bool,
    ) -> Result<Entry, Refusal> {
        let entry = self.existing(topic)?;
        if changes.is_empty() {
            return Err(Refusal::NothingNamed { what: "settings".to_owned() });
        }
        let mut config = entry.config.clone();
        for change in changes {
            config.set(change.key, change.value)?;
        }
        let replication_factor = entry.replication_factor;
        let config = self.settled_config(config, replication_factor)?;
        // A topic that was allowed to stand for one copy before needs no second permission.
        let falls_to_one = config.min_insync_replicas == Some(1) && entry.min_insync_replicas() > 1;
        if falls_to_one && !allow_unreplicated {
            return Err(Refusal::MinInsyncOneNotAllowed { replication_factor });
        }
        Ok(Entry::TopicAltered { topic, config })
    }

    pub(super) fn decide_deletion(&self, topic: TopicId, now_ms: u64) -> Result<Entry, Refusal> {
        let entry = self.existing(topic)?;
        if entry.internal {
            return Err(Refusal::TopicIsInternal { name: entry.name.clone() });
        }
        Ok(Entry::TopicDeleted { topic, deleted_at_ms: now_ms })
    }

    pub(super) fn decide_defaults(&self, defaults: &TopicDefaults) -> Result<Entry, Refusal> {
        defaults.check()?;
        if !(1..=PARTITION_COUNT_MAX).contains(&defaults.partition_count) {
            return Err(Refusal::PartitionCount { given: defaults.partition_count });
        }
        if !(1..=REPLICATION_FACTOR_MAX).contains(&defaults.replication_factor) {
            return Err(Refusal::ReplicationFactor { given: defaults.replication_factor });
        }
        for topic in self.topics() {
            if let Err(error) = topic.config.effective(defaults).check() {
                return Err(Refusal::DefaultsBreakTopic { name: topic.name.clone(), error });
            }
        }
        Ok(Entry::TopicDefaultsSet { defaults: defaults.clone() })
    }
}
