//! Topics and partitions as people and clients see them.

use fidelog_proto::v1;

use super::route::id_bytes;
use crate::meta::state::{ClusterState, OfflineReason, PartitionEntry, Source, TopicEntry, TopicState};

/// The whole of a topic.
pub(super) fn description(state: &ClusterState, topic: &TopicEntry) -> v1::TopicDescription {
    let config = topic.config.effective(state.defaults());
    let partitions = (0..).zip(state.partitions_of(topic.id));
    v1::TopicDescription {
        name: topic.name.to_string(),
        topic_id: id_bytes(topic.id.as_bytes()),
        replication_factor: topic.replication_factor.into(),
        internal: topic.internal,
        created_at_ms: topic.created_at_ms,
        ready: topic.state == TopicState::Open,
        may_be_unreplicated: topic.min_insync_replicas() == 1,
        partitions: partitions.map(|(index, entry)| partition(index, entry)).collect(),
        configs: config
            .list()
            .into_iter()
            .map(|(key, value, source)| v1::ConfigValue {
                key: key.name().to_owned(),
                value: value.map_or_else(|| "none".to_owned(), |value| value.to_string()),
                source: source_name(source).to_owned(),
            })
            .collect(),
    }
}

/// A line of a list.
pub(super) fn summary(state: &ClusterState, topic: &TopicEntry) -> v1::TopicSummary {
    let partitions = state.partitions_of(topic.id);
    v1::TopicSummary {
        name: topic.name.to_string(),
        topic_id: id_bytes(topic.id.as_bytes()),
        partitions: topic.partition_count,
        replication_factor: topic.replication_factor.into(),
        internal: topic.internal,
        under_replicated: count(partitions.iter().filter(|entry| is_under_replicated(entry))),
        leaderless: count(partitions.iter().filter(|entry| entry.leader.is_none())),
    }
}

/// Whether fewer replicas are in sync than there are.
pub(super) fn is_under_replicated(entry: &PartitionEntry) -> bool {
    entry.isr.len() < entry.replicas.len()
}

/// How many there are.
pub(super) fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

fn partition(index: u32, entry: &PartitionEntry) -> v1::PartitionDescription {
    v1::PartitionDescription {
        partition: index,
        leader: entry.leader.map_or(0, |leader| leader.0),
        leader_epoch: entry.leader_epoch.0,
        partition_epoch: entry.epoch.0,
        replicas: entry.replicas.iter().map(|replica| replica.broker.0).collect(),
        isr: entry.isr.iter().map(|broker| broker.0).collect(),
        eligible: entry.eligible.iter().map(|broker| broker.0).collect(),
        offline: entry.offline.as_ref().map(offline_text).unwrap_or_default(),
    }
}

/// Why nobody leads, in a sentence.
pub(super) fn offline_text(reason: &OfflineReason) -> String {
    match reason {
        OfflineReason::LeaderLostItsData { broker, directory } => format!(
            "broker {broker}, its leader, came back without directory {directory} and its data; bring that disk back"
        ),
    }
}

fn source_name(source: Source) -> &'static str {
    match source {
        Source::Topic => "topic",
        Source::ClusterDefault => "default",
    }
}
