//! Partitions of all topics, in the order of names and numbers, a page at a time.

use fidelog_proto::v1::{self, PartitionFilter};
use fidelog_record::types::{BrokerId, TopicPartition};

use crate::meta::state::{ClusterState, PartitionEntry, TopicEntry, TopicState};
use crate::rpc::paging::{page, page_size};
use crate::rpc::route::{self, Named, id_bytes};
use crate::rpc::status::Failure;
use crate::rpc::topic_description::{is_under_replicated, offline_text};

/// A partition, and what pages are cut by.
struct Listed<'a> {
    key: String,
    topic: &'a TopicEntry,
    index: u32,
    entry: &'a PartitionEntry,
}

/// The page that was asked for.
///
/// # Errors
/// When there is no such topic, or a field is out of range.
pub(super) fn list(
    state: &ClusterState,
    request: &v1::ListPartitionsRequest,
) -> Result<v1::ListPartitionsResponse, Failure> {
    let size = page_size(request.page_size)?;
    let filter = PartitionFilter::try_from(request.filter)
        .map_err(|_| Failure::invalid("filter", format!("filter {} is not known here", request.filter)))?;
    if !request.topic.is_empty() {
        route::topic(state, Named { name: &request.topic, id: &[], field: "topic" })?;
    }
    let wanted = |topic: &TopicEntry| match request.topic.as_str() {
        "" => request.include_internal || !topic.internal,
        name => topic.name.as_str() == name,
    };
    let on = BrokerId(request.broker_id);
    let listed = state.topics().filter(|topic| wanted(topic)).flat_map(|topic| {
        (0..).zip(state.partitions_of(topic.id)).map(|(index, entry)| Listed {
            key: format!("{}/{index:05}", topic.name),
            topic,
            index,
            entry,
        })
    });
    let listed = listed
        .filter(|it| on.0 == 0 || it.entry.has_replica(on))
        .filter(|it| passes(it.topic, it.entry, filter))
        .collect();
    let (partitions, next_page_token) = page(listed, |it: &Listed<'_>| &it.key, &request.page_token, size);
    let partitions = partitions.iter().map(describe).collect();
    Ok(v1::ListPartitionsResponse { partitions, next_page_token })
}

fn passes(topic: &TopicEntry, entry: &PartitionEntry, filter: PartitionFilter) -> bool {
    let open = topic.state == TopicState::Open;
    match filter {
        PartitionFilter::Unspecified => true,
        PartitionFilter::UnderReplicated => is_under_replicated(entry),
        PartitionFilter::BelowMinimum => open && is_below_minimum(topic, entry),
        PartitionFilter::Leaderless => open && entry.leader.is_none(),
        PartitionFilter::Moving => entry.moving.is_some(),
        PartitionFilter::NotPreferred => {
            open && entry.leader.is_some() && entry.leader != entry.replicas.first().map(|it| it.broker)
        }
    }
}

/// Whether fewer replicas are in sync than an acknowledgement needs.
pub(super) fn is_below_minimum(topic: &TopicEntry, entry: &PartitionEntry) -> bool {
    entry.isr.len() < usize::from(topic.min_insync_replicas())
}

fn describe(listed: &Listed<'_>) -> v1::PartitionState {
    partition_state(listed.topic, listed.index, listed.entry)
}

/// A partition as it is in this state.
pub(super) fn state_of(state: &ClusterState, at: TopicPartition) -> Option<v1::PartitionState> {
    Some(partition_state(state.topic(at.topic)?, at.partition.0, state.partition(at)?))
}

fn partition_state(topic: &TopicEntry, index: u32, entry: &PartitionEntry) -> v1::PartitionState {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|broker| broker.0).collect();
    v1::PartitionState {
        topic: topic.name.to_string(),
        topic_id: id_bytes(topic.id.as_bytes()),
        partition: index,
        leader: entry.leader.map_or(0, |leader| leader.0),
        leader_epoch: entry.leader_epoch.0,
        partition_epoch: entry.epoch.0,
        replicas: entry.replicas.iter().map(|replica| replica.broker.0).collect(),
        isr: ids(&entry.isr),
        eligible: ids(&entry.eligible),
        min_insync_replicas: topic.min_insync_replicas().into(),
        offline: entry.offline.as_ref().map(offline_text).unwrap_or_default(),
        targets: entry.moving.as_ref().map(|moving| ids(&moving.targets)).unwrap_or_default(),
    }
}
