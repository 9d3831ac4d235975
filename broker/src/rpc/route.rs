//! From what a request names to the partition it means, and to who leads it.
//!
//! Always true: a topic named by name and id must be both, so that a request for a deleted topic never reaches the
//! one created again under its name (N14).

use std::sync::Arc;

use bytes::Bytes;
use fidelog_proto::v1::{self, Reason};
use fidelog_record::types::{BrokerId, LeaderEpoch, PartitionIndex, TopicId, TopicName, TopicPartition};

use super::context::Context;
use super::status::Failure;
use super::topic_description::offline_text;
use crate::meta::state::{ClusterState, OfflineReason, TopicEntry, TopicState};
use crate::partition::Partition;

/// How a request names a topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    /// Its name; may be empty when the id is not.
    pub(super) name: &'a str,
    /// Its id, 16 bytes; may be empty when the name is not.
    pub(super) id: &'a [u8],
    /// The field that holds the name.
    pub(super) field: &'static str,
}

impl Context {
    /// The metadata this broker has.
    pub(super) fn state(&self) -> Result<Arc<ClusterState>, Failure> {
        self.meta.state().ok_or_else(|| {
            Failure::new(
                Reason::Unavailable,
                "this broker is starting and knows no metadata yet; try another one",
            )
        })
    }

    /// A partition as people know it: `orders/0`, or with the topic's id while its name is not known.
    pub(super) fn name_of(&self, at: TopicPartition) -> String {
        name_in(self.meta.state().as_deref(), at)
    }

    /// How many brokers are to hold a copy of the partition; 0: it is not known here.
    pub(super) fn copies_of(&self, at: TopicPartition) -> usize {
        let state = self.meta.state();
        state.and_then(|state| state.partition(at).map(|entry| entry.replicas.len())).unwrap_or_default()
    }

    /// The failure that names the leader, as the caller of a partition at `at` must hear it.
    pub(super) fn not_leader(&self, at: TopicPartition) -> Failure {
        let Ok(state) = self.state() else { return hint_of(None, at, None, LeaderEpoch(0)) };
        let Some(entry) = state.partition(at) else { return unknown_topic_id(&state, at.topic) };
        hint_of(Some(&state), at, entry.leader, entry.leader_epoch)
    }

    /// The same, told by a partition that may know a newer epoch than the view.
    pub(super) fn led_elsewhere(
        &self,
        at: TopicPartition,
        leader: Option<BrokerId>,
        epoch: LeaderEpoch,
    ) -> Failure {
        hint_of(self.meta.state().as_deref(), at, leader.filter(|&leader| leader != self.me), epoch)
    }

    /// The partition on this broker, whether or not it leads it.
    ///
    /// # Errors
    /// A failure that names the leader when this broker does not host it.
    pub(super) fn hosted(&self, at: TopicPartition) -> Result<Arc<Partition>, Failure> {
        self.partitions.get(at).ok_or_else(|| self.not_leader(at))
    }
}

/// A partition's name in this state: with its topic's name, or its id when it has none.
pub(super) fn name_in(state: Option<&ClusterState>, at: TopicPartition) -> String {
    match state.and_then(|state| state.topic(at.topic)) {
        Some(topic) => format!("{}/{}", topic.name, at.partition),
        None => at.to_string(),
    }
}

fn hint_of(
    state: Option<&ClusterState>,
    at: TopicPartition,
    leader: Option<BrokerId>,
    epoch: LeaderEpoch,
) -> Failure {
    let name = name_in(state, at);
    let Some(leader) = leader else {
        let why = state.and_then(|state| state.partition(at)).and_then(|entry| entry.offline.as_ref());
        // Lost data does not come back by waiting; a missing leader does.
        let (reason, message) = match why {
            Some(why @ OfflineReason::LeaderLostItsData { .. }) => {
                (Reason::DataLoss, format!("partition {name}: nobody can lead it; {}", offline_text(why)))
            }
            Some(why) => (
                Reason::LeaderNotAvailable,
                format!("partition {name}: nobody leads it just now; {}", offline_text(why)),
            ),
            None => {
                (Reason::LeaderNotAvailable, format!("partition {name}: nobody leads it just now; try again"))
            }
        };
        return Failure::new(reason, message).with("leader_epoch", epoch);
    };
    let hint = leader_hint(state, leader, epoch);
    let message = format!("partition {name}: broker {leader} leads it, at {}; ask there", hint.address);
    Failure::new(Reason::NotLeader, message).led_by(hint)
}

/// Where a leader is.
pub(super) fn leader_hint(
    state: Option<&ClusterState>,
    leader: BrokerId,
    epoch: LeaderEpoch,
) -> v1::LeaderHint {
    let address = state.and_then(|state| state.broker(leader)).map(|broker| broker.client_address.clone());
    v1::LeaderHint { broker_id: leader.0, address: address.unwrap_or_default(), leader_epoch: epoch.0 }
}

/// The topic a request names.
///
/// # Errors
/// A failure that tells what is wrong with the name or the id.
pub(super) fn topic(state: &ClusterState, named: Named<'_>) -> Result<Arc<TopicEntry>, Failure> {
    let id = optional_topic_id(named.id)?;
    // By id first: it needs no copy of the name, and senders of many requests know it.
    if let Some(entry) = id.and_then(|id| state.topic(id))
        && (named.name.is_empty() || entry.name.as_str() == named.name)
    {
        return Ok(Arc::clone(entry));
    }
    if named.name.is_empty() {
        return Err(match id {
            Some(id) => unknown_topic_id(state, id),
            None => Failure::invalid(named.field, format!("{} and topic_id are empty; set one", named.field)),
        });
    }
    let name = topic_name(named)?;
    let Some(entry) = state.topic_by_name(name.as_str()) else {
        return Err(unknown_topic_name(state, &name));
    };
    match id {
        Some(id) if id != entry.id => {
            let message = format!(
                "topic {name} has the id {}, not {id}: it was deleted and created again; refresh routes",
                entry.id
            );
            Err(Failure::new(Reason::StaleTopicId, message).with("topic", &name).with("topic_id", entry.id))
        }
        _ => Ok(Arc::clone(entry)),
    }
}

/// The name in a request, when it can be one.
pub(super) fn topic_name(named: Named<'_>) -> Result<TopicName, Failure> {
    TopicName::internal(named.name)
        .map_err(|error| Failure::new(Reason::InvalidName, error.to_string()).with("field", named.field))
}

/// The id in a request, if there is one.
pub(super) fn optional_topic_id(id: &[u8]) -> Result<Option<TopicId>, Failure> {
    if id.is_empty() {
        return Ok(None);
    }
    TopicId::try_from(id)
        .map(Some)
        .map_err(|error| Failure::invalid("topic_id", format!("topic_id: {error}")))
}

fn unknown_topic_id(state: &ClusterState, id: TopicId) -> Failure {
    let message = match state.tombstone(id) {
        Some(tombstone) => format!("topic {id} was deleted; its name was {}", tombstone.name),
        None => format!("no topic has the id {id}"),
    };
    Failure::new(Reason::UnknownTopic, message).with("topic_id", id)
}

fn unknown_topic_name(state: &ClusterState, name: &TopicName) -> Failure {
    let message = match state.topic_like(name.as_str()) {
        Some(twin) => format!("no topic is named {name}; there is {}, names differ by case", twin.name),
        None => format!("no topic is named {name}; create it first, topics are not created by use"),
    };
    Failure::new(Reason::UnknownTopic, message).with("topic", name)
}

/// Partition `index` of a topic.
///
/// # Errors
/// When there is none, or the topic is still being created.
pub(super) fn partition(topic: &TopicEntry, index: u32) -> Result<TopicPartition, Failure> {
    if index >= topic.partition_count {
        let (name, count) = (&topic.name, topic.partition_count);
        let message =
            format!("topic {name} has no partition {index}; it has 0 to {}", count.saturating_sub(1));
        let failure = Failure::new(Reason::UnknownPartition, message);
        return Err(failure.with("topic", name).with("partition", index).with("partitions", count));
    }
    if topic.state == TopicState::Creating {
        let message = format!("topic {}: its replicas are being made; try again", topic.name);
        return Err(Failure::new(Reason::LeaderNotAvailable, message).with("topic", &topic.name));
    }
    Ok(TopicPartition { topic: topic.id, partition: PartitionIndex(index) })
}

/// An id as sent.
pub(super) fn id_bytes(id: &[u8; 16]) -> Bytes {
    Bytes::copy_from_slice(id)
}
