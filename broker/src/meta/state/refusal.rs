//! Why a proposal was refused. A refusal is definite: nothing was changed.

use fidelog_record::types::limits::PARTITION_COUNT_MAX;
use fidelog_record::types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, Generation, Incarnation, LeaderEpoch, MetaIndex,
    PartitionEpoch, TopicId, TopicName, TopicPartition,
};
use serde::{Deserialize, Serialize};

use super::{
    CLUSTER_PARTITION_COUNT_MAX, ConfigError, FenceReason, PRODUCER_IDS_PER_GRANT_MAX, RECOVERY_WAIT_MS,
    REPLICATION_FACTOR_MAX,
};

/// Why a proposal was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are the values their message names")]
pub enum Refusal {
    /// Formatted for another cluster.
    #[error(
        "broker {broker} belongs to cluster {given}, this is cluster {ours}; check its addresses and data_dir"
    )]
    WrongCluster { broker: BrokerId, given: ClusterId, ours: ClusterId },
    /// The proposer has seen metadata that this quorum does not have: METADATA_LOST (DESIGN §7).
    #[error(
        "metadata lost: broker {broker} has seen incarnation {incarnation_seen} up to index {index_seen}, the quorum \
         is incarnation {incarnation} at index {index}; restore the quorum's store, nothing may be built on this one"
    )]
    MetadataLost {
        broker: BrokerId,
        incarnation_seen: Incarnation,
        index_seen: MetaIndex,
        incarnation: Incarnation,
        index: MetaIndex,
    },
    /// A former process of this broker is still believed alive (N13).
    #[error(
        "broker {broker}: the session of a former process with this id is still alive; if two brokers have the same \
         id give one another, else wait until it ends"
    )]
    FormerSessionAlive { broker: BrokerId },
    /// Its directory is not the one registered, or an older state of it: that costs it everything it held. A message of
    /// a former start that was long under way looks the same, so whoever means it says so.
    #[error(
        "broker {broker}: its directory is another one, or an older one, than that of registration {registered}; name \
         that registration to replace it"
    )]
    OtherDataRegistered { broker: BrokerId, registered: BrokerEpoch },
    /// A number, address or rack that cannot be.
    #[error("broker {broker}: {field} is {value:?}; expected {expected}")]
    InvalidRegistration { broker: BrokerId, field: String, value: String, expected: String },
    /// The directory is believed to be what it was, and its generation is to be raised before it is registered (N13).
    #[error(
        "broker {broker}: generation {found} is believed to be its newest, and {new} is not above it; raise and sync it \
         before registering"
    )]
    GenerationNotRaised { broker: BrokerId, found: Generation, new: Generation },
    /// A version that cannot read this cluster's metadata.
    #[error("broker {broker} knows feature level {given}, the cluster is at {needed}; run a newer version")]
    FeatureLevelTooLow { broker: BrokerId, given: u32, needed: u32 },

    /// Rolled back, cloned, or with a node id that is not its directory's: its votes may be forgotten.
    #[error(
        "controller {broker}: its directory was rolled back or copied (generation {found} found, {registered} \
         registered); start it again while another controller can be reached: it then joins under a new node id"
    )]
    ControllerRolledBack { broker: BrokerId, found: Generation, registered: Generation },
    /// No such controller.
    #[error("node {broker} is not registered as a controller with node id {node_id}")]
    UnknownController { broker: BrokerId, node_id: u64 },
    /// Levels rise one by one.
    #[error(
        "feature level {given}: the cluster is at {current} and this version knows up to {max}; raise it by one"
    )]
    FeatureLevel { given: u32, current: u32, max: u32 },

    /// Never registered.
    #[error("broker {broker} is not registered")]
    UnknownBroker { broker: BrokerId },
    /// The proposer has been replaced by a later start, or is ahead of this state.
    #[error(
        "broker {broker} speaks with broker epoch {given}, the registered one is {current}; register again"
    )]
    StaleBrokerEpoch { broker: BrokerId, given: BrokerEpoch, current: BrokerEpoch },
    /// The directory is not the registered one.
    #[error("broker {broker} speaks of directory {given}, the registered one is {current}; register again")]
    WrongDirectory { broker: BrokerId, given: DirectoryId, current: DirectoryId },
    /// Generations only rise.
    #[error("broker {broker}: generation {given} is below {current}, the registered one")]
    StaleGeneration { broker: BrokerId, given: Generation, current: Generation },

    /// It is fenced already.
    #[error("broker {broker} is fenced already: {}", reason_text(*reason))]
    FencedAlready { broker: BrokerId, reason: Option<FenceReason> },
    /// It is not fenced.
    #[error("broker {broker} is not fenced")]
    NotFenced { broker: BrokerId },
    /// More than one entry should carry.
    #[error("{given} {what} in one proposal; at most {max}: send several")]
    TooManyNamed { what: String, given: usize, max: usize },
    /// Only a new process start ends this fence.
    #[error("broker {broker} stays fenced until it starts again: {}", reason.text())]
    FencedForGood { broker: BrokerId, reason: FenceReason },
    /// Somebody whose end is not asked for, or who may not be elected so.
    #[error(
        "{partition} does not wait for the ends of members that restarted uncleanly, or none has told it"
    )]
    NotWaitingForEnds { partition: TopicPartition },

    /// A topic of this name, perhaps in other cases, exists.
    #[error("topic {name} already exists as {existing} ({topic})")]
    TopicExists { name: TopicName, existing: TopicName, topic: TopicId },
    /// The id was minted before: never to be seen.
    #[error("topic id {topic} is taken; try again")]
    TopicIdTaken { topic: TopicId },
    /// `__` is for Fidelog itself.
    #[error("topic name {name} begins with `__`, which is reserved for Fidelog itself")]
    NameReserved { name: TopicName },
    /// An internal topic shows it in its name.
    #[error("internal topic {name} must begin with `__`")]
    InternalNameExpected { name: TopicName },
    /// Too few or too many partitions.
    #[error("{given} partitions; a topic has 1 to {PARTITION_COUNT_MAX}")]
    PartitionCount { given: u32 },
    /// The cluster is full.
    #[error(
        "{given} more partitions would make {total} in the cluster; at most {CLUSTER_PARTITION_COUNT_MAX}: delete \
         topics or ask for fewer"
    )]
    ClusterPartitionCount { given: u32, total: u64 },
    /// Too few or too many replicas.
    #[error("replication factor {given}; allowed is 1 to {REPLICATION_FACTOR_MAX}")]
    ReplicationFactor { given: u16 },
    /// More replicas than brokers.
    #[error(
        "replication factor {given} needs {given} brokers, {brokers} are registered and not draining; start more brokers or ask for \
         fewer replicas with --replication-factor {brokers}"
    )]
    NotEnoughBrokers { given: u16, brokers: usize },
    /// One replica, not asked for in so many words.
    #[error(
        "replication factor 1 keeps a single copy, and its acknowledgement stands for no other; ask for it with \
         --allow-unreplicated"
    )]
    UnreplicatedNotAllowed {},
    /// A minimum of one, not asked for in so many words.
    #[error(
        "min_insync_replicas = 1 lets an acknowledgement stand for one copy although there are {replication_factor} \
         replicas; set it to 2 or more, or ask for it with --allow-unreplicated"
    )]
    MinInsyncOneNotAllowed { replication_factor: u16 },
    /// The minimum could never be met.
    #[error(
        "min_insync_replicas = {min} is above the replication factor {replication_factor}; allowed is 1 to {replication_factor}"
    )]
    MinInsyncAboveReplicationFactor { min: u16, replication_factor: u16 },
    /// The replicas given do not fit.
    #[error("assignment of partition {partition}: {reason}")]
    InvalidAssignment { partition: u32, reason: String },
    /// Settings that cannot be.
    #[error(transparent)]
    Config { error: ConfigError },
    /// New defaults that a topic which inherits them could not live with.
    #[error("topic {name} inherits these defaults: {error}")]
    DefaultsBreakTopic { name: TopicName, error: ConfigError },

    /// No such topic, or deleted.
    #[error("topic {topic} does not exist")]
    UnknownTopic { topic: TopicId },
    /// No such partition.
    #[error("partition {partition} does not exist")]
    UnknownPartition { partition: TopicPartition },
    /// The topic is one of Fidelog's own.
    #[error("topic {name} belongs to Fidelog itself and cannot be deleted")]
    TopicIsInternal { name: TopicName },
    /// The topic is being created.
    #[error("topic {topic} is not open yet; its replicas are being made")]
    TopicNotOpen { topic: TopicId },
    /// Not one of the replicas.
    #[error("broker {broker} holds no replica of {partition}")]
    NotAReplica { broker: BrokerId, partition: TopicPartition },
    /// Holds nothing of the topic.
    #[error("broker {broker} holds no replica of topic {topic}")]
    NoReplicaOfTopic { broker: BrokerId, topic: TopicId },
    /// A replica that was never made cannot be lost.
    #[error("broker {broker} has not made its replica of {partition} yet; there is nothing to lose")]
    ReplicaNotMade { broker: BrokerId, partition: TopicPartition },
    /// A list without anything in it.
    #[error("the list of {what} is empty")]
    NothingNamed { what: String },

    /// Another broker leads, or none.
    #[error("broker {broker} does not lead {partition}; {}", leader_text(*leader))]
    NotLeader { broker: BrokerId, partition: TopicPartition, leader: Option<BrokerId> },
    /// The leadership is another one.
    #[error("{partition}: leader epoch {given} was given, it is {current}")]
    StaleLeaderEpoch { partition: TopicPartition, given: LeaderEpoch, current: LeaderEpoch },
    /// The entry has changed since: compare and set failed.
    #[error("{partition}: partition epoch {given} was given, it is {current}; look at the change first")]
    StalePartitionEpoch { partition: TopicPartition, given: PartitionEpoch, current: PartitionEpoch },
    /// An in-sync set without its leader, or without anybody.
    #[error("{partition}: the leader, broker {leader}, cannot leave the in-sync set by its own proposal")]
    LeaderLeaves { partition: TopicPartition, leader: BrokerId },
    /// Not in sync, not alive, or the leader already.
    #[error("{partition}: broker {broker} cannot be made its leader: {reason}")]
    CannotLead { partition: TopicPartition, broker: BrokerId, reason: String },
    /// Replicas that cannot be moved to.
    #[error("{partition} cannot be moved so: {reason}")]
    InvalidMove { partition: TopicPartition, reason: String },
    /// One move at a time.
    #[error("{partition} is being moved already; wait until it is there, or cancel the move")]
    MoveUnderWay { partition: TopicPartition },
    /// Nothing to cancel.
    #[error("{partition} is not being moved")]
    NoMoveUnderWay { partition: TopicPartition },
    /// The replicas to be given up are needed.
    #[error(
        "{partition}: without the replicas added by the move fewer than {min} would be in sync; wait until the old ones \
         are, or let the move end"
    )]
    MoveHoldsRecords { partition: TopicPartition, min: u16 },
    /// Positions are found by the number of partitions.
    #[error("topic {name} belongs to Fidelog itself; its number of partitions is fixed")]
    InternalPartitionCount { name: TopicName },
    /// Records stay where they are.
    #[error("topic {topic} has {current} partitions; {given} is not more, and partitions are only added")]
    PartitionsOnlyGrow { topic: TopicId, given: u32, current: u32 },
    /// Not the plan that was shown.
    #[error("{partition}: the plan's hash is {expected:08x}, not {given:08x}; look at the plan again")]
    OtherPlan { partition: TopicPartition, given: u32, expected: u32 },
    /// Somebody leads.
    #[error("{partition} needs no recovery: broker {leader} leads it")]
    RecoveryNotNeeded { partition: TopicPartition, leader: BrokerId },
    /// Somebody else may still acknowledge, or come back with everything.
    #[error(
        "{partition}: broker {broker} may hold everything, or still acknowledge: it has been fenced, or another process, \
         for {silent_ms} ms only, and recovery needs {RECOVERY_WAIT_MS} ms; bring it back, or stop it and wait"
    )]
    RecoveryTooEarly { partition: TopicPartition, broker: BrokerId, silent_ms: u64 },
    /// A broker named twice.
    #[error("{partition}: broker {broker} is named twice")]
    NamedTwice { partition: TopicPartition, broker: BrokerId },
    /// A member to be added is not who the leader thinks it is (N8).
    #[error("{partition}: broker {broker} cannot be added: {reason}")]
    MemberMismatch { partition: TopicPartition, broker: BrokerId, reason: String },

    /// What it holds may be needed.
    #[error("{partition}: the replica of broker {broker} cannot be emptied: {reason}")]
    ReplicaNeeded { partition: TopicPartition, broker: BrokerId, reason: String },
    /// Not deleted, or confirmed by all already.
    #[error("topic {topic} has no tombstone")]
    NoTombstone { topic: TopicId },
    /// A block of no size, or too large.
    #[error("{given} producer ids; a grant has 1 to {PRODUCER_IDS_PER_GRANT_MAX}")]
    ProducerIdCount { given: u32 },
    /// All ids are given away.
    #[error("no producer ids are left")]
    ProducerIdsExhausted {},
}

fn reason_text(reason: Option<FenceReason>) -> &'static str {
    reason.map_or("nobody said why", FenceReason::text)
}

fn leader_text(leader: Option<BrokerId>) -> String {
    leader.map_or_else(|| "nobody does".to_owned(), |leader| format!("broker {leader} does"))
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Self::Config { error }
    }
}
