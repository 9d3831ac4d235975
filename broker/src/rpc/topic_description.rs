//! Topics and partitions as people and clients see them.

use fidelog_proto::v1;

use fidelog_record::types::BrokerId;

use super::context::Context;
use super::route::id_bytes;
use crate::meta::state::{ClusterState, OfflineReason, PartitionEntry, Source, TopicEntry, TopicState};

impl Context {
    /// Whether this broker is, or has a link to, that one.
    pub(super) fn reaches(&self, broker: BrokerId) -> bool {
        broker == self.me || self.reachability.is_reachable(broker)
    }

    /// Whether nobody leads, as far as this broker can tell: a leader that cannot be reached leads nobody.
    pub(super) fn is_leaderless(&self, entry: &PartitionEntry) -> bool {
        !entry.leader.is_some_and(|leader| self.reaches(leader))
    }
}

/// The whole of a topic, as this broker sees it.
pub(super) fn description(
    context: &Context,
    state: &ClusterState,
    topic: &TopicEntry,
) -> v1::TopicDescription {
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
        partitions: partitions.map(|(index, entry)| partition(context, index, entry)).collect(),
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
pub(super) fn summary(context: &Context, state: &ClusterState, topic: &TopicEntry) -> v1::TopicSummary {
    let partitions = state.partitions_of(topic.id);
    v1::TopicSummary {
        name: topic.name.to_string(),
        topic_id: id_bytes(topic.id.as_bytes()),
        partitions: topic.partition_count,
        replication_factor: topic.replication_factor.into(),
        internal: topic.internal,
        under_replicated: count(partitions.iter().filter(|entry| is_under_replicated(entry))),
        leaderless: count(partitions.iter().filter(|entry| context.is_leaderless(entry))),
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

fn partition(context: &Context, index: u32, entry: &PartitionEntry) -> v1::PartitionDescription {
    let lost = entry.leader.filter(|&leader| !context.reaches(leader));
    let unreachable = || {
        let (leader, me) = (lost?, context.me);
        Some(format!("broker {leader}, its leader, cannot be reached from broker {me}; it waits for it"))
    };
    v1::PartitionDescription {
        leader_unreachable: lost.is_some(),
        partition: index,
        leader: entry.leader.map_or(0, |leader| leader.0),
        leader_epoch: entry.leader_epoch.0,
        partition_epoch: entry.epoch.0,
        replicas: entry.replicas.iter().map(|replica| replica.broker.0).collect(),
        isr: entry.isr.iter().map(|broker| broker.0).collect(),
        eligible: entry.eligible.iter().map(|broker| broker.0).collect(),
        offline: entry.offline.as_ref().map(offline_text).or_else(unreachable).unwrap_or_default(),
    }
}

/// Why nobody leads, in a sentence.
pub(super) fn offline_text(reason: &OfflineReason) -> String {
    match reason {
        OfflineReason::LeaderLostItsData { broker, directory } => format!(
            "broker {broker}, the last that held everything, came back without directory {directory} and its data; \
             `fidelog partition recover` shows what is left"
        ),
        OfflineReason::NoLiveMember {} => {
            "all brokers that hold everything are down; it waits for one of them".to_owned()
        }
        OfflineReason::RestartedUncleanly { .. } => {
            "all brokers that hold everything restarted uncleanly; it waits until they have told where they end"
                .to_owned()
        }
        OfflineReason::BeingMade {} => "its replicas are being made".to_owned(),
    }
}

fn source_name(source: Source) -> &'static str {
    match source {
        Source::Topic => "topic",
        Source::ClusterDefault => "default",
    }
}
