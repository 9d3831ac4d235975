//! What happened, from the difference of two states of the metadata. Pure.
//!
//! Always true: everything that differs in leaders, sets, replicas, brokers and topics is told; what changed and changed
//! back in between is not.

use fidelog_proto::v1::ClusterEvent;
use fidelog_record::types::TopicPartition;

use super::id_list;
use crate::meta::state::{BrokerEntry, Changes, ClusterState, FenceReason, PartitionEntry, TopicEntry};
use crate::rpc::topic_description::offline_text;

/// What happened between two states, of all that `changes` names.
pub(super) fn between(old: &ClusterState, new: &ClusterState, changes: &Changes) -> Vec<ClusterEvent> {
    let mut events = Vec::new();
    for &id in &changes.brokers {
        broker(old.broker(id).map(|it| &**it), new.broker(id).map(|it| &**it), &mut events);
    }
    for &id in &changes.topics {
        match (old.topic(id), new.topic(id)) {
            (None, Some(created)) => events.push(topic("topic_created", "was created", created)),
            (Some(deleted), None) => events.push(topic("topic_deleted", "was deleted", deleted)),
            _ => {}
        }
    }
    for &id in &changes.partitions {
        if let (Some(before), Some(after)) = (old.partition(id), new.partition(id)) {
            partition(new, id, before, after, &mut events);
        }
    }
    events
}

fn broker(old: Option<&BrokerEntry>, new: Option<&BrokerEntry>, events: &mut Vec<ClusterEvent>) {
    let Some(new) = new else { return };
    let id = new.id;
    let mut tell = |kind: &str, message: String| {
        events.push(ClusterEvent { broker_id: id.0, ..event(kind, message) });
    };
    if old.is_none_or(|old| old.epoch != new.epoch) {
        let stopped = if new.clean { "after a clean stop" } else { "after a stop that was not clean" };
        tell("broker_registered", format!("broker {id} registered with epoch {}, {stopped}", new.epoch));
    }
    let was_fenced = old.is_some_and(|old| old.fenced);
    if new.fenced && !was_fenced && new.fence_reason != Some(FenceReason::Starting) {
        let why = new.fence_reason.map_or("no reason is known", FenceReason::text);
        tell("broker_fenced", format!("broker {id} was fenced: {why}"));
    } else if was_fenced && !new.fenced {
        tell("broker_unfenced", format!("broker {id} takes part again"));
    }
    let was_draining = old.is_some_and(|old| old.draining);
    if new.draining && !was_draining {
        tell("broker_draining", format!("broker {id} is being drained"));
    } else if was_draining && !new.draining {
        tell("broker_resumed", format!("broker {id} is not drained any more"));
    }
}

fn partition(
    state: &ClusterState,
    id: TopicPartition,
    old: &PartitionEntry,
    new: &PartitionEntry,
    events: &mut Vec<ClusterEvent>,
) {
    let Some(topic) = state.topic(id.topic) else { return };
    let name = format!("{}/{}", topic.name, id.partition);
    let mut tell = |kind: &str, message: String, before: String, after: String| {
        events.push(ClusterEvent {
            topic: topic.name.to_string(),
            partition: Some(id.partition.0),
            broker_id: new.leader.map_or(0, |leader| leader.0),
            before,
            after,
            leader_epoch: new.leader_epoch.0,
            ..event(kind, message)
        });
    };
    let leads = |entry: &PartitionEntry| id_list(entry.leader);
    match new.leader {
        None if old.leader.is_some() || (old.offline.is_none() && new.offline.is_some()) => {
            let why = new.offline.as_ref().map(offline_text).unwrap_or_default();
            let message = format!("partition {name}: nobody leads it any more; {why}");
            tell("partition_offline", message, leads(old), leads(new));
        }
        Some(leader) if old.leader_epoch != new.leader_epoch || old.leader != new.leader => {
            let former = match old.leader {
                Some(former) if former != leader => format!(", before it broker {former}"),
                _ => String::new(),
            };
            let epoch = new.leader_epoch;
            let message = format!("partition {name}: broker {leader} leads it in epoch {epoch}{former}");
            tell("leader_changed", message, leads(old), leads(new));
        }
        _ => {}
    }
    if let Some(recovery) = new.recoveries.last().filter(|last| old.recoveries.last() != Some(last)) {
        let from = recovery.cut_end;
        let message = format!(
            "partition {name}: an operator recovered it; what was acknowledged from offset {from} on may be lost"
        );
        tell("partition_recovered", message, leads(old), leads(new));
    }
    let brokers = |entry: &PartitionEntry| id_list(entry.replicas.iter().map(|replica| replica.broker));
    let named = |ids: &str| if ids.is_empty() { "nobody".to_owned() } else { ids.to_owned() };
    let mut lists = |kind: &str, what: &str, before: String, after: String| {
        if before != after {
            let message = format!("partition {name}: {what} {} -> {}", named(&before), named(&after));
            tell(kind, message, before, after);
        }
    };
    lists("replicas_changed", "replicas", brokers(old), brokers(new));
    let going = |entry: &PartitionEntry| {
        let targets = entry.moving.iter().flat_map(|moving| moving.targets.iter().copied());
        id_list(targets)
    };
    lists("move_changed", "is to move to", going(old), going(new));
    let isr = |entry: &PartitionEntry| id_list(entry.isr.iter().copied());
    lists("isr_changed", "in sync", isr(old), isr(new));
}

fn topic(kind: &str, what: &str, topic: &TopicEntry) -> ClusterEvent {
    ClusterEvent {
        topic: topic.name.to_string(),
        ..event(kind, format!("topic {} {what}, with {} partitions", topic.name, topic.partition_count))
    }
}

fn event(kind: &str, message: String) -> ClusterEvent {
    ClusterEvent { kind: kind.to_owned(), message, ..ClusterEvent::default() }
}
