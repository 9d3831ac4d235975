//! What is wrong, how bad that is, and what to do about it. Pure.
//!
//! Always true: critical is what refuses something just now; a warning is what the next loss would make critical.

use std::collections::BTreeSet;

use fidelog_proto::v1::{Finding, Severity};
use fidelog_record::types::{BrokerId, TopicPartition};

use crate::meta::state::{
    BrokerEntry, ClusterState, FenceReason, OfflineReason, PartitionEntry, TopicEntry, TopicState,
};
use crate::rpc::route::name_in;
use crate::rpc::topic_description::is_under_replicated;

use super::partitions::is_below_minimum;

/// Names shown of what a finding is about.
const EXAMPLES_MAX: usize = 10;
/// As many of them stand in the sentence.
const NAMED_MAX: usize = 3;

/// What is wrong by the metadata; `reaches`: whether the broker that answers has a link to that one.
pub(super) fn findings(state: &ClusterState, reaches: impl Fn(BrokerId) -> bool) -> Vec<Finding> {
    let mut found: Vec<Finding> = PARTITIONS.iter().filter_map(|check| check.run(state)).collect();
    found.extend(replicas(
        state,
        |entry| &entry.unusable,
        "replica_unusable",
        "replicas cannot be used: their logs have stopped or cannot be opened",
        "they are opened again by themselves, and tell why that fails in their brokers' logs",
    ));
    found.extend(replicas(
        state,
        |entry| &entry.damaged,
        "replica_damaged",
        "replicas hold damaged records, which they do not serve",
        "they are mended from other replicas by themselves; `fidelog partition desc` tells what is in the way",
    ));
    found.extend(waiting_topics(state));
    let fenced = |broker: &BrokerEntry| broker.fenced;
    found.extend(brokers(
        state,
        |broker| fenced(broker) && broker.fence_reason == Some(FenceReason::DataDirectoryFailed),
        (Severity::Critical, "data_directory_failed"),
        "brokers stopped because their data directories failed",
        "replace the disk, run `fidelogd format` on it and start the broker: it is refilled",
    ));
    found.extend(brokers(
        state,
        |broker| fenced(broker) && broker.fence_reason != Some(FenceReason::DataDirectoryFailed),
        (Severity::Warning, "broker_fenced"),
        "brokers do not take part",
        "start them, or look into why their heartbeats do not arrive",
    ));
    found.extend(brokers(
        state,
        |broker| !fenced(broker) && !reaches(broker.id),
        (Severity::Warning, "broker_unreachable"),
        "brokers cannot be reached from the broker that answered, although others hear them",
        "look into the network between them",
    ));
    found.extend(draining_and_out_of_sync(state));
    found.extend(brokers(
        state,
        |broker| broker.draining,
        (Severity::Info, "broker_draining"),
        "brokers are being drained",
        "stop them once they hold nothing, or take them back with `fidelog broker resume`",
    ));
    found
}

/// A question about every partition of an open topic.
struct Check {
    severity: Severity,
    kind: &'static str,
    what: &'static str,
    advice: &'static str,
    applies: fn(&TopicEntry, &PartitionEntry) -> bool,
}

/// The first that applies to a partition is the one that is told.
const PARTITIONS: [Check; 5] = [
    Check {
        severity: Severity::Critical,
        kind: "partition_lost",
        what: "partitions can be led by nobody, since the last disk that held all acknowledged records is gone",
        advice: "`fidelog partition recover` shows what is left, what is lost by taking it, and takes it",
        applies: |_, entry| matches!(entry.offline, Some(OfflineReason::LeaderLostItsData { .. })),
    },
    Check {
        severity: Severity::Critical,
        kind: "partition_offline",
        what: "partitions are led by nobody",
        advice: "start the brokers that hold them; `fidelog partition ls --leaderless` names them",
        applies: |_, entry| entry.leader.is_none(),
    },
    Check {
        severity: Severity::Critical,
        kind: "below_minimum",
        what: "partitions take no records, with fewer replicas in sync than min_insync_replicas",
        advice: "bring brokers back; `fidelog broker ls` tells which are missing",
        applies: is_below_minimum,
    },
    Check {
        severity: Severity::Warning,
        kind: "at_minimum",
        what: "partitions have just min_insync_replicas in sync, and replicas that are not",
        advice: "one more loss refuses writes: bring the missing replicas back",
        applies: |topic, entry| {
            is_under_replicated(entry) && entry.isr.len() == usize::from(topic.min_insync_replicas())
        },
    },
    Check {
        severity: Severity::Warning,
        kind: "under_replicated",
        what: "partitions have replicas that are not in sync",
        advice: "they catch up by themselves when their brokers are up; look at `fidelog broker ls`",
        applies: |_, entry| is_under_replicated(entry),
    },
];

impl Check {
    fn run(&self, state: &ClusterState) -> Option<Finding> {
        let told = |topic: &TopicEntry, entry: &PartitionEntry| {
            let first = PARTITIONS.iter().find(|check| (check.applies)(topic, entry));
            first.is_some_and(|check| check.kind == self.kind)
        };
        let applies = |at: TopicPartition, entry: &PartitionEntry| {
            let topic = state.topic(at.topic).filter(|topic| topic.state == TopicState::Open);
            topic.is_some_and(|topic| told(topic, entry))
        };
        let named = state.partitions().filter(|(at, entry)| applies(*at, entry));
        let names: Vec<String> = named.map(|(at, _)| name_in(Some(state), at)).collect();
        finding((self.severity, self.kind), self.what, self.advice, &names)
    }
}

/// Replicas that will not be in sync again by themselves: one that drains is not taken in (N8).
fn draining_and_out_of_sync(state: &ClusterState) -> Option<Finding> {
    let drains = |id: BrokerId| state.broker(id).is_some_and(|entry| entry.draining && !entry.fenced);
    let out =
        state.partitions().flat_map(|(_, entry)| entry.replicas.iter().map(move |it| (entry, it.broker)));
    let out = out.filter(|(entry, broker)| !entry.isr.contains(broker) && drains(*broker));
    let brokers: BTreeSet<BrokerId> = out.map(|(_, broker)| broker).collect();
    let names: Vec<String> = brokers.iter().map(|broker| format!("broker {broker}")).collect();
    finding(
        (Severity::Warning, "draining_out_of_sync"),
        "replicas on brokers that are drained are out of sync, and not taken back before these are resumed",
        "after a stop take the broker back with `fidelog broker resume`",
        &names,
    )
}

/// Topics that cannot be opened before somebody is back.
fn waiting_topics(state: &ClusterState) -> Option<Finding> {
    let is_away = |broker: BrokerId| state.broker(broker).is_none_or(|entry| entry.fenced);
    let made = state.topics().filter(|topic| topic.state == TopicState::Creating);
    let names: Vec<String> = made
        .filter_map(|topic| {
            let partitions = state.partitions_of(topic.id);
            let unmade = partitions.iter().flat_map(|entry| &entry.replicas).filter(|replica| !replica.made);
            let awaited: BTreeSet<BrokerId> = unmade.map(|it| it.broker).filter(|it| is_away(*it)).collect();
            let awaited: Vec<String> = awaited.iter().map(BrokerId::to_string).collect();
            (!awaited.is_empty()).then(|| format!("{} (broker {})", topic.name, awaited.join(", ")))
        })
        .collect();
    finding(
        (Severity::Warning, "topic_waits"),
        "topics take no records yet, since brokers that shall hold them are away",
        "start those brokers, or delete the topics and create them again on others",
        &names,
    )
}

fn replicas(
    state: &ClusterState,
    named: impl Fn(&PartitionEntry) -> &Vec<BrokerId>,
    kind: &'static str,
    what: &str,
    advice: &str,
) -> Option<Finding> {
    let all = state.partitions().flat_map(|(at, entry)| named(entry).iter().map(move |broker| (at, broker)));
    let names = all.map(|(at, broker)| format!("{} on broker {broker}", name_in(Some(state), at)));
    finding((Severity::Warning, kind), what, advice, &names.collect::<Vec<_>>())
}

fn brokers(
    state: &ClusterState,
    applies: impl Fn(&BrokerEntry) -> bool,
    how: (Severity, &'static str),
    what: &str,
    advice: &str,
) -> Option<Finding> {
    let names =
        state.brokers().filter(|broker| applies(broker)).map(|broker| format!("broker {}", broker.id));
    finding(how, what, advice, &names.collect::<Vec<_>>())
}

/// None when it is about nothing.
pub(super) fn finding(
    (severity, kind): (Severity, &'static str),
    what: &str,
    advice: &str,
    names: &[String],
) -> Option<Finding> {
    (!names.is_empty()).then(|| Finding {
        severity: severity.into(),
        kind: kind.to_owned(),
        message: format!("{what}: {}", some(names)),
        advice: advice.to_owned(),
        count: u32::try_from(names.len()).unwrap_or(u32::MAX),
        examples: names.iter().take(EXAMPLES_MAX).cloned().collect(),
    })
}

/// The first few by name, and how many more there are.
fn some(names: &[String]) -> String {
    let (named, rest) = names.split_at(names.len().min(NAMED_MAX));
    let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
    named.join(", ") + &more
}
