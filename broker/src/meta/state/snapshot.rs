//! A state as it is stored and sent: flat lists with stable names.
//!
//! Always true: [`ClusterState::from_snapshot`] accepts only what [`ClusterState::to_snapshot`] could have produced as
//! far as structure goes: names unique, as many partitions as the topic says.

use std::collections::BTreeMap;
use std::sync::Arc;

use fidelog_record::types::{BrokerEpoch, ClusterId, Incarnation, MetaIndex, TopicId};
use serde::{Deserialize, Serialize};

use super::{
    Ancestor, BrokerEntry, ClusterState, ControllerEntry, DecodeError, FEATURE_LEVEL, PartitionEntry,
    Tombstone, TopicDefaults, TopicEntry,
};

/// Version of the snapshot's form.
const SNAPSHOT_FORMAT: u32 = 1;

/// One topic with its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicWithPartitions {
    topic: TopicEntry,
    partitions: Vec<PartitionEntry>,
}

/// A state as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    format: u32,
    cluster: ClusterId,
    incarnation: Incarnation,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ancestors: Vec<Ancestor>,
    feature_level: u32,
    index: MetaIndex,
    defaults: TopicDefaults,
    brokers: Vec<BrokerEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    controllers: Vec<ControllerEntry>,
    topics: Vec<TopicWithPartitions>,
    tombstones: Vec<Tombstone>,
    last_broker_epoch: BrokerEpoch,
    next_producer_id: u64,
}

impl ClusterState {
    /// The state as it is stored and sent.
    #[must_use]
    pub fn to_snapshot(&self) -> Snapshot {
        let with_partitions = |topic: &Arc<TopicEntry>| TopicWithPartitions {
            topic: TopicEntry::clone(topic),
            partitions: self.partitions_of(topic.id).iter().map(|it| PartitionEntry::clone(it)).collect(),
        };
        Snapshot {
            format: SNAPSHOT_FORMAT,
            cluster: self.cluster,
            incarnation: self.incarnation,
            ancestors: self.ancestors.clone(),
            feature_level: self.feature_level,
            index: self.index,
            defaults: self.defaults.clone(),
            brokers: self.brokers().map(|it| BrokerEntry::clone(it)).collect(),
            controllers: self.controllers().map(|it| ControllerEntry::clone(it)).collect(),
            topics: self.topics().map(with_partitions).collect(),
            tombstones: self.tombstones().map(|it| Tombstone::clone(it)).collect(),
            last_broker_epoch: self.last_broker_epoch,
            next_producer_id: self.next_producer_id,
        }
    }

    /// The state a snapshot tells.
    ///
    /// # Errors
    /// When its form or feature level is newer than this version, or it contradicts itself.
    pub fn from_snapshot(snapshot: Snapshot) -> Result<Self, DecodeError> {
        if snapshot.format != SNAPSHOT_FORMAT || snapshot.feature_level > FEATURE_LEVEL {
            return Err(DecodeError::new(format!(
                "snapshot format {} with feature level {}; this version knows format {SNAPSHOT_FORMAT} and levels up \
                 to {FEATURE_LEVEL}",
                snapshot.format, snapshot.feature_level
            )));
        }
        let (topics, partitions, names) = index_topics(snapshot.topics)?;
        Ok(Self {
            cluster: snapshot.cluster,
            incarnation: snapshot.incarnation,
            ancestors: snapshot.ancestors,
            feature_level: snapshot.feature_level,
            index: snapshot.index,
            defaults: snapshot.defaults,
            brokers: snapshot.brokers.into_iter().map(|it| (it.id, Arc::new(it))).collect(),
            controllers: snapshot.controllers.into_iter().map(|it| (it.broker, Arc::new(it))).collect(),
            topics,
            partitions,
            tombstones: snapshot.tombstones.into_iter().map(|it| (it.topic, Arc::new(it))).collect(),
            names,
            last_broker_epoch: snapshot.last_broker_epoch,
            next_producer_id: snapshot.next_producer_id,
        })
    }
}

type Indexed = (
    BTreeMap<TopicId, Arc<TopicEntry>>,
    BTreeMap<TopicId, Arc<Vec<Arc<PartitionEntry>>>>,
    BTreeMap<Arc<str>, TopicId>,
);

fn index_topics(listed: Vec<TopicWithPartitions>) -> Result<Indexed, DecodeError> {
    let (mut topics, mut partitions, mut names) = Indexed::default();
    for TopicWithPartitions { topic, partitions: list } in listed {
        let id = topic.id;
        if usize::try_from(topic.partition_count).ok() != Some(list.len()) {
            return Err(DecodeError::new(format!(
                "topic {id} has {} of {} partitions",
                list.len(),
                topic.partition_count
            )));
        }
        if names.insert(topic.name.as_str().to_ascii_lowercase().into(), id).is_some() {
            return Err(DecodeError::new(format!("topic name {} is there twice", topic.name)));
        }
        topics.insert(id, Arc::new(topic));
        partitions.insert(id, Arc::new(list.into_iter().map(Arc::new).collect()));
    }
    Ok((topics, partitions, names))
}
