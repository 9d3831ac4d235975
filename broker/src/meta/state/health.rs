//! What is not as it should be, found in the metadata alone.
//!
//! Always true: findings come worst first, then by partition and broker, so that two looks at one state read alike.
//!
//! Not here: what only brokers know: disks that fill, lag, links. A partition can be healthy here and slow all the same.

use std::fmt;

use fidelog_record::types::{BrokerId, TopicId, TopicPartition};

use super::{ClusterState, FenceReason, OfflineReason, PartitionEntry, TopicState};

/// How bad a finding is; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something cannot be written or read.
    Critical,
    /// The next failure would make it critical, or a copy is missing.
    Warning,
    /// Under way, or wanted so.
    Note,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the values their sentence names")]
pub enum Finding {
    /// Nobody leads it.
    PartitionOffline { partition: TopicPartition, reason: Option<OfflineReason> },
    /// Writes are refused (G1).
    BelowMinimum { partition: TopicPartition, isr: Vec<BrokerId>, min: u16 },
    /// Copies are missing.
    UnderReplicated { partition: TopicPartition, missing: Vec<BrokerId> },
    /// A copy has damage that is not repaired yet.
    Damaged { partition: TopicPartition, broker: BrokerId },
    /// A copy cannot be used.
    Unusable { partition: TopicPartition, broker: BrokerId },
    /// It has more or fewer replicas than its topic wants.
    OtherReplicationFactor { partition: TopicPartition, replicas: usize, wanted: u16 },
    /// It is being moved.
    Moving { partition: TopicPartition, waits_for: Vec<BrokerId> },
    /// Its partitions are being made.
    TopicOpening { topic: TopicId },
    /// A broker is away.
    BrokerFenced { broker: BrokerId, reason: Option<FenceReason>, since_ms: u64 },
    /// A broker is being emptied.
    BrokerDraining { broker: BrokerId, leaders: usize, replicas: usize },
    /// Partitions led by another than their first replica.
    LeadersAway { count: usize },
}

impl Finding {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::PartitionOffline { reason: Some(OfflineReason::BeingMade {}), .. } => Severity::Note,
            Self::PartitionOffline { .. } | Self::BelowMinimum { .. } => Severity::Critical,
            Self::UnderReplicated { .. } | Self::Damaged { .. } | Self::Unusable { .. } => Severity::Warning,
            Self::BrokerFenced { reason: Some(FenceReason::Starting), .. } => Severity::Note,
            Self::BrokerFenced { .. } => Severity::Warning,
            Self::OtherReplicationFactor { .. }
            | Self::Moving { .. }
            | Self::TopicOpening { .. }
            | Self::BrokerDraining { .. }
            | Self::LeadersAway { .. } => Severity::Note,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PartitionOffline { partition, reason } => {
                let why = reason.as_ref().map_or("nobody said why", OfflineReason::text);
                write!(f, "partition {partition} has no leader: {why}")
            }
            Self::BelowMinimum { partition, isr, min } => {
                write!(f, "partition {partition} refuses writes: {} in sync, the minimum is {min}", isr.len())
            }
            Self::UnderReplicated { partition, missing } => {
                write!(f, "partition {partition} is not in sync on {}", listed(missing))
            }
            Self::Damaged { partition, broker } => {
                write!(f, "partition {partition} is damaged on broker {broker} and not repaired yet")
            }
            Self::Unusable { partition, broker } => {
                write!(f, "partition {partition} cannot be used on broker {broker}")
            }
            Self::OtherReplicationFactor { partition, replicas, wanted } => {
                write!(f, "partition {partition} has {replicas} replicas, its topic wants {wanted}; move it")
            }
            Self::Moving { partition, waits_for } if waits_for.is_empty() => {
                write!(f, "partition {partition} is being moved")
            }
            Self::Moving { partition, waits_for } => {
                write!(f, "partition {partition} is being moved and waits for {}", listed(waits_for))
            }
            Self::TopicOpening { topic } => write!(f, "topic {topic} waits for its replicas to be made"),
            Self::BrokerFenced { broker, reason, .. } => {
                write!(
                    f,
                    "broker {broker} is fenced: {}",
                    reason.map_or("nobody said why", FenceReason::text)
                )
            }
            Self::BrokerDraining { broker, leaders, replicas } => {
                write!(
                    f,
                    "broker {broker} is draining: leads {leaders} partitions, holds {replicas} replicas"
                )
            }
            Self::LeadersAway { count } => {
                write!(f, "{count} partitions are led by another than their first replica")
            }
        }
    }
}

fn listed(brokers: &[BrokerId]) -> String {
    let names: Vec<String> = brokers.iter().map(|broker| format!("broker {broker}")).collect();
    names.join(", ")
}

impl OfflineReason {
    /// In words.
    #[must_use]
    pub fn text(&self) -> &'static str {
        match self {
            Self::LeaderLostItsData { .. } => {
                "everybody who held all records lost its data; bring such a disk back, or recover the partition"
            }
            Self::NoLiveMember {} => "all brokers that hold everything are down; it waits for one of them",
            Self::RestartedUncleanly { .. } => {
                "all brokers that hold everything restarted uncleanly; it waits until they have told where they end"
            }
            Self::BeingMade {} => "its replicas are being made",
        }
    }
}

impl ClusterState {
    /// What is not as it should be; empty when all is well.
    #[must_use]
    pub fn health(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.brokers().flat_map(|it| self.broker_findings(it.id)).collect();
        let opening = self.topics().filter(|topic| topic.state == TopicState::Creating);
        findings.extend(opening.map(|topic| Finding::TopicOpening { topic: topic.id }));
        let mut away = 0;
        for (at, partition) in self.partitions() {
            let Some(topic) = self.topic(at.topic).filter(|topic| topic.state == TopicState::Open) else {
                continue;
            };
            partition_findings(
                at,
                partition,
                topic.min_insync_replicas(),
                topic.replication_factor,
                &mut findings,
            );
            let first = partition.replicas.first().map(|replica| replica.broker);
            away += usize::from(partition.leader.is_some() && partition.leader != first);
        }
        if away > 0 {
            findings.push(Finding::LeadersAway { count: away });
        }
        // Stable: within one severity the order of finding stays.
        findings.sort_by_key(Finding::severity);
        findings
    }

    fn broker_findings(&self, id: BrokerId) -> Vec<Finding> {
        let Some(broker) = self.broker(id) else { return Vec::new() };
        let mut findings = Vec::new();
        if broker.fenced {
            let (reason, since_ms) = (broker.fence_reason, broker.fenced_at_ms);
            findings.push(Finding::BrokerFenced { broker: id, reason, since_ms });
        }
        if broker.draining {
            let leaders = self.partitions().filter(|(_, it)| it.leader == Some(id)).count();
            let replicas = self.partitions().filter(|(_, it)| it.has_replica(id)).count();
            findings.push(Finding::BrokerDraining { broker: id, leaders, replicas });
        }
        findings
    }
}

fn partition_findings(
    at: TopicPartition,
    entry: &PartitionEntry,
    min: u16,
    wanted: u16,
    findings: &mut Vec<Finding>,
) {
    let not_in_sync = |brokers: Vec<BrokerId>| -> Vec<BrokerId> {
        brokers.into_iter().filter(|broker| !entry.isr.contains(broker)).collect()
    };
    let missing = not_in_sync(entry.replicas.iter().map(|replica| replica.broker).collect());
    if entry.leader.is_none() {
        findings.push(Finding::PartitionOffline { partition: at, reason: entry.offline.clone() });
    } else if entry.isr.len() < usize::from(min) {
        findings.push(Finding::BelowMinimum { partition: at, isr: entry.isr.clone(), min });
    } else if !missing.is_empty() && entry.moving.is_none() {
        findings.push(Finding::UnderReplicated { partition: at, missing });
    }
    findings.extend(entry.damaged.iter().map(|&broker| Finding::Damaged { partition: at, broker }));
    findings.extend(entry.unusable.iter().map(|&broker| Finding::Unusable { partition: at, broker }));
    if let Some(moving) = &entry.moving {
        findings.push(Finding::Moving { partition: at, waits_for: not_in_sync(moving.targets.clone()) });
    } else if entry.replicas.len() != usize::from(wanted) {
        let replicas = entry.replicas.len();
        findings.push(Finding::OtherReplicationFactor { partition: at, replicas, wanted });
    }
}
