//! What a node asks of the quorum.
//!
//! Proposals are decided by [`super::ClusterState::decide`]. They may be sent again after an unknown outcome:
//! compare-and-set refuses the second, or it changes nothing that matters.

use fidelog_record::types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, Generation, Incarnation, LeaderEpoch, MetaIndex,
    PartitionEpoch, PartitionIndex, TopicId, TopicName, TopicPartition,
};
use serde::{Deserialize, Serialize};

use super::{
    ClusterState, ConfigKey, ControllerRegistration, FenceReason, KnownFor, RecoveryPlan, ReplicaEnd,
    ReplicaFailure, StartId, TopicConfig, TopicDefaults,
};
use crate::replica::{Incarnate, Proposed};

/// The most producer ids of one grant.
pub const PRODUCER_IDS_PER_GRANT_MAX: u32 = 1_000_000;
/// The most ends of one report: an entry of them stays well below a message.
pub const REPORTED_ENDS_MAX: usize = 5_000;

/// A replica whose directory is made, as the broker that made it saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeReplica {
    /// Of which partition of the topic.
    pub partition: PartitionIndex,
    /// Which copy: the version of the entry it was begun with.
    pub since: PartitionEpoch,
}

/// A replica whose directory is gone, as the broker that misses it saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostReplica {
    /// Of which partition.
    pub partition: TopicPartition,
    /// Which copy: the version of the entry it was begun with.
    pub since: PartitionEpoch,
}

impl LostReplica {
    /// The copy on `broker` as `state` shows it.
    #[must_use]
    pub fn seen(state: &ClusterState, broker: BrokerId, partition: TopicPartition) -> Self {
        let replica = state.partition(partition).and_then(|entry| entry.replica(broker));
        Self { partition, since: replica.map_or(PartitionEpoch(0), |replica| replica.since) }
    }
}

/// What a broker says of itself when its process starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// The cluster it was formatted for.
    pub cluster: ClusterId,
    /// Its number, from 1.
    pub id: BrokerId,
    /// This process start.
    pub start: StartId,
    /// Its data directory.
    pub directory: DirectoryId,
    /// The generation it found there before raising it.
    pub generation_found: Generation,
    /// The generation it raised it to, synced already. While it is the one found, the question is what the quorum makes of
    /// that: [`GenerationNotRaised`](super::Refusal::GenerationNotRaised) means that it is believed, and to be raised.
    pub generation_new: Generation,
    /// Whether the former process had stopped cleanly.
    pub clean: bool,
    /// Where clients reach it, `host:port`.
    pub client_address: String,
    /// Where brokers reach it, `host:port`.
    pub peer_address: String,
    /// Its rack, when it has one.
    pub rack: Option<String>,
    /// The highest feature level its version knows.
    pub feature_level: u32,
    /// The quorum's incarnation it has seen; none when it never saw one.
    pub incarnation_seen: Option<Incarnation>,
    /// The highest index it has seen and synced.
    pub index_seen: MetaIndex,
    /// Filled by the node that receives the registration, which alone knows sessions: whether another process start
    /// of this broker still has one (N13).
    pub former_session_alive: bool,
    /// The registration that it knows it replaces, once it was told that its directory is another one, or an older one,
    /// than that registration's (N13).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<BrokerEpoch>,
}

/// A partition, and the version of its entry by which something is said of a replica: on any later one it is not taken,
/// so that what comes late undoes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenPartition {
    /// Which.
    pub partition: TopicPartition,
    /// The version seen.
    pub epoch: PartitionEpoch,
}

/// A member of a proposed in-sync set, named so exactly that its double cannot pass for it (N8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IsrMember {
    /// Which broker.
    pub broker: BrokerId,
    /// The registration the leader speaks with.
    pub broker_epoch: BrokerEpoch,
    /// The directory the leader has matched.
    pub directory: DirectoryId,
}

impl From<Incarnate> for IsrMember {
    fn from(it: Incarnate) -> Self {
        Self { broker: it.broker, broker_epoch: it.epoch, directory: it.directory }
    }
}

/// One setting to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigChange {
    /// Which.
    pub key: ConfigKey,
    /// Its value; none: inherited again.
    pub value: Option<u64>,
}

/// A change somebody wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Proposal {
    /// A process start registers.
    RegisterBroker {
        /// What it says of itself.
        registration: Registration,
    },
    /// A data directory in use raised its generation, synced already.
    RaiseGeneration {
        /// Which broker.
        broker: BrokerId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// The new generation.
        generation: Generation,
    },
    /// A broker is dead, hangs or cannot be reached: it is to lead nothing (N12). The active controller's, except for
    /// the reasons that only the broker itself knows.
    FenceBroker {
        /// Which.
        broker: BrokerId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// Why.
        reason: FenceReason,
    },
    /// A fenced broker is back: its heartbeats come, its watch has passed its registration, its logs are open.
    UnfenceBroker {
        /// Which.
        broker: BrokerId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
    },
    /// A broker is about to stop: what it leads is led by others from now on, and it leaves the in-sync sets.
    HandOver {
        /// Which.
        broker: BrokerId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
    },
    /// A broker is to be emptied (R4).
    DrainBroker {
        /// Which.
        broker: BrokerId,
    },
    /// A broker is not to be emptied any more.
    ResumeBroker {
        /// Which.
        broker: BrokerId,
    },
    /// A controller's process start registers.
    RegisterController {
        /// What it says of itself.
        registration: ControllerRegistration,
    },
    /// A controller's data directory raised its generation, synced already.
    RaiseControllerGeneration {
        /// Which node.
        broker: BrokerId,
        /// Its raft node id.
        node_id: u64,
        /// The new generation.
        generation: Generation,
    },
    /// A node is no controller any more; it votes no longer.
    RemoveController {
        /// Which node.
        broker: BrokerId,
        /// Its raft node id.
        node_id: u64,
    },
    /// All nodes run a version that knows this level of features.
    RaiseFeatureLevel {
        /// The next level.
        level: u32,
    },
    /// Other defaults for topics.
    SetTopicDefaults {
        /// All of them.
        defaults: TopicDefaults,
    },
    /// A new topic.
    CreateTopic {
        /// Its name.
        name: TopicName,
        /// How many partitions; none: the default.
        partition_count: Option<u32>,
        /// Replicas of each; none: the default.
        replication_factor: Option<u16>,
        /// What is set for it, the minimum included.
        config: TopicConfig,
        /// Whether one replica, or a minimum of one, is wanted in so many words (G1).
        allow_unreplicated: bool,
        /// Whether Fidelog itself asks: only then the name may, and must, begin with `__`.
        internal: bool,
        /// The brokers of each partition's replicas; none: spread evenly.
        assignment: Option<Vec<Vec<BrokerId>>>,
    },
    /// The directories of these replicas of a topic on this broker are made and synced.
    ReplicasReady {
        /// Which broker.
        broker: BrokerId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// The data directory they lie in.
        directory: DirectoryId,
        /// Which topic.
        topic: TopicId,
        /// Which replicas: a topic may have more by the time this is decided (N14).
        made: Vec<MadeReplica>,
    },
    /// Replica directories that must exist are missing.
    ReplicasLost {
        /// Which broker.
        broker: BrokerId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// Which.
        lost: Vec<LostReplica>,
    },
    /// Something is wrong with replicas of the proposer (N11).
    ReplicasFailed {
        /// Which broker.
        broker: BrokerId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// Of which partitions; those that have a later version are left out.
        partitions: Vec<SeenPartition>,
        /// What it is.
        reason: ReplicaFailure,
    },
    /// What was wrong with replicas of the proposer is not any more.
    ReplicasRepaired {
        /// Which broker.
        broker: BrokerId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// Of which partitions; those that have a later version are left out.
        partitions: Vec<SeenPartition>,
        /// What it was.
        reason: ReplicaFailure,
    },
    /// A replica of the proposer that is damaged and cannot be mended is to be emptied and filled again.
    GiveUpReplica {
        /// Which broker.
        broker: BrokerId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// Of which partition.
        partition: SeenPartition,
    },
    /// Another in-sync member is to lead: planned, nothing is lost.
    ElectLeader {
        /// Which partition.
        partition: TopicPartition,
        /// Who; none: the first replica.
        broker: Option<BrokerId>,
    },
    /// A partition is to be on other brokers (N15). How many move at once is the caller's to bound.
    MoveReplicas {
        /// Which partition.
        partition: TopicPartition,
        /// The replicas at the end, the preferred leader first; as many as the topic's replication factor.
        replicas: Vec<BrokerId>,
        /// The entry's version it has seen, if that matters: compare and set.
        partition_epoch: Option<PartitionEpoch>,
    },
    /// A move is to end where it began.
    CancelMove {
        /// Which partition.
        partition: TopicPartition,
    },
    /// A topic is to have more partitions. Keys go to other partitions from then on.
    AddPartitions {
        /// Which topic.
        topic: TopicId,
        /// How many it is to have together.
        total: u32,
    },
    /// A topic is to have another number of replicas; moves bring its partitions there.
    SetReplicationFactor {
        /// Which topic.
        topic: TopicId,
        /// How many.
        replication_factor: u16,
        /// Whether one replica, or a minimum of one, is wanted in so many words (G1).
        allow_unreplicated: bool,
    },
    /// An operator has seen what is lost by it, and wants a partition to be led again (N9).
    RecoverPartition {
        /// What was shown.
        plan: RecoveryPlan,
        /// Its hash, given back.
        plan_hash: u32,
        /// How long replicas' brokers have been as they are; whoever decides fills it in, from its own clock.
        #[serde(default)]
        known: Option<Vec<KnownFor>>,
    },
    /// Where replicas end that restarted uncleanly, for partitions that wait for it (N10).
    ReportEnds {
        /// Which broker.
        broker: BrokerId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// Where; partitions that do not wait for this broker are passed over.
        ends: Vec<ReplicaEnd>,
    },
    /// Partitions have waited 5 s for all their members, which restarted uncleanly (N10). The active controller's.
    ElectUnclean {
        /// Which.
        partitions: Vec<TopicPartition>,
    },
    /// Another in-sync set; the present one again withdraws what is under way (N7).
    ChangeIsr {
        /// Which partition.
        partition: TopicPartition,
        /// The proposer, which must lead it.
        broker: BrokerId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// The epoch it leads in.
        leader_epoch: LeaderEpoch,
        /// The entry's version it has seen: compare and set.
        partition_epoch: PartitionEpoch,
        /// The set.
        isr: Vec<IsrMember>,
    },
    /// Other settings for a topic.
    AlterTopic {
        /// Which topic.
        topic: TopicId,
        /// What to change; the last change of a key counts.
        changes: Vec<ConfigChange>,
        /// Whether a minimum of one is wanted in so many words (G1).
        #[serde(default)]
        allow_unreplicated: bool,
    },
    /// A topic is to go, with its data.
    DeleteTopic {
        /// Which topic.
        topic: TopicId,
    },
    /// Nothing of a deleted topic is left on this broker, synced.
    ReplicaDeleted {
        /// Which broker.
        broker: BrokerId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// Which topic.
        topic: TopicId,
    },
    /// A block of producer ids.
    GrantProducerIds {
        /// For which node; it need not be registered, as one that only votes is not.
        broker: BrokerId,
        /// How many: 1 to [`PRODUCER_IDS_PER_GRANT_MAX`].
        count: u32,
    },
}

impl Proposal {
    /// What `me`, who leads `partition` in `leader_epoch`, proposes of its in-sync set; `state` knows those who stay. None
    /// when it does not.
    #[must_use]
    pub fn change_isr(
        state: &ClusterState,
        me: Incarnate,
        partition: TopicPartition,
        leader_epoch: LeaderEpoch,
        proposed: &Proposed,
    ) -> Option<Self> {
        let registered = |broker| {
            let entry = state.broker(broker)?;
            Some(Incarnate { broker, epoch: entry.epoch, directory: entry.directory })
        };
        let lives = proposed.lives(me, registered)?;
        Some(Self::ChangeIsr {
            partition,
            broker: me.broker,
            broker_epoch: me.epoch,
            leader_epoch,
            partition_epoch: proposed.partition_epoch,
            isr: lives.into_iter().map(IsrMember::from).collect(),
        })
    }
}
