//! What is logged: one change of the metadata, decided and complete.
//!
//! Always true: an entry carries every time and every minted id it needs, so that applying it is the same everywhere.
//! Names of kinds and fields are stored for ever; a kind or a field this version does not know is refused, and the
//! node that meets one stops.

use fidelog_record::types::{
    BrokerEpoch, BrokerId, DirectoryId, Generation, LeaderEpoch, Offset, PartitionIndex, TopicId,
    TopicPartition,
};
use serde::{Deserialize, Serialize};

use super::{BrokerEntry, ControllerEntry, FenceReason, TopicConfig, TopicDefaults, TopicEntry};

/// What a registration says about the data the broker held before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataFound {
    /// The directory of the last registration, not rolled back; or the broker is new.
    Intact,
    /// Another directory: emptied, replaced or foreign.
    OtherDirectory,
    /// The same directory at a lower generation than registered: rolled back or cloned (N13).
    RolledBack,
}

/// What is wrong with a replica, as its broker says (N11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaFailure {
    /// It holds damage that is not repaired yet: it leads only when no other member lives (N10).
    Damaged,
    /// Its log stopped and goes on only under a higher leader epoch: whoever leads next has one.
    Stopped,
    /// Its log cannot be used at all, until the broker says otherwise or starts again.
    Unusable,
}

/// Where one replica ends, as its broker found it after an unclean stop (N10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaEnd {
    /// Of which partition.
    pub partition: TopicPartition,
    /// The epoch of its last batch; 0 when it is empty.
    pub last_epoch: LeaderEpoch,
    /// The end of what is written and synced.
    pub durable_end: Offset,
}

/// One change of the metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// A process start. Raises the leader epoch of every partition the broker leads (N1); where the data is not
    /// intact, takes its replicas out of every set; where the former process had not stopped cleanly, they are not
    /// believed to hold what they reported (N10).
    BrokerRegistered {
        /// The broker from now on.
        broker: BrokerEntry,
        /// What it found.
        data: DataFound,
    },
    /// A data directory in use has a higher generation.
    GenerationRaised {
        /// Whose.
        broker: BrokerId,
        /// The generation from now on.
        generation: Generation,
    },
    /// A broker leads nothing from now on, and leaves every in-sync set in which another live member remains (N12).
    BrokerFenced {
        /// Which.
        broker: BrokerId,
        /// Why.
        reason: FenceReason,
        /// When, Unix milliseconds of the deciding node.
        fenced_at_ms: u64,
    },
    /// A broker may lead and join in-sync sets again.
    BrokerUnfenced {
        /// Which.
        broker: BrokerId,
    },
    /// A broker is to be emptied: it hands over what others can lead, joins no in-sync set and gets no replicas.
    BrokerDraining {
        /// Which.
        broker: BrokerId,
    },
    /// A broker is no longer to be emptied.
    BrokerResumed {
        /// Which.
        broker: BrokerId,
    },
    /// A controller's process start.
    ControllerRegistered {
        /// The controller from now on.
        controller: ControllerEntry,
    },
    /// A controller's data directory has a higher generation.
    ControllerGenerationRaised {
        /// Which node's.
        broker: BrokerId,
        /// The generation from now on.
        generation: Generation,
    },
    /// A node is no controller any more.
    ControllerRemoved {
        /// Which node.
        broker: BrokerId,
    },
    /// Every node must know this level of features from now on.
    FeatureLevelRaised {
        /// The level.
        level: u32,
    },
    /// The cluster's defaults for topics.
    TopicDefaultsSet {
        /// From now on.
        defaults: TopicDefaults,
    },
    /// A new topic, not yet usable.
    TopicCreated {
        /// The topic, in state creating.
        topic: TopicEntry,
        /// The brokers of each partition's replicas, the first replica first.
        assignment: Vec<Vec<BrokerId>>,
    },
    /// A broker has made and synced its directories for replicas of a topic. Opens what needed only these (N14).
    ReplicasReady {
        /// Which broker.
        broker: BrokerId,
        /// The data directory they lie in.
        directory: DirectoryId,
        /// Which topic.
        topic: TopicId,
        /// Of which partitions, in rising order; none, as entries of old: of all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        partitions: Vec<PartitionIndex>,
    },
    /// Replica directories that must exist are missing.
    ReplicasLost {
        /// Which broker.
        broker: BrokerId,
        /// Whose directories.
        partitions: Vec<TopicPartition>,
    },
    /// Where replicas end that restarted uncleanly. The greatest leads once all members have told (N10).
    EndsReported {
        /// Whose replicas.
        broker: BrokerId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// Of the partitions that wait for it.
        ends: Vec<ReplicaEnd>,
    },
    /// Partitions whose members all restarted uncleanly have waited long enough: the greatest of those that told
    /// leads (N10).
    UncleanElected {
        /// Which.
        partitions: Vec<TopicPartition>,
    },
    /// What is wrong with replicas, as their broker says (N11).
    ReplicasFailed {
        /// Whose.
        broker: BrokerId,
        /// Of which partitions.
        partitions: Vec<TopicPartition>,
        /// What it is.
        reason: ReplicaFailure,
    },
    /// What was wrong with replicas is not any more.
    ReplicasRepaired {
        /// Whose.
        broker: BrokerId,
        /// Of which partitions.
        partitions: Vec<TopicPartition>,
        /// What it was; none: whatever it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<ReplicaFailure>,
    },
    /// Another in-sync member leads, as planned or instead of a shrink below the minimum (N11).
    LeaderMoved {
        /// Which partition.
        partition: TopicPartition,
        /// Who leads from now on.
        leader: BrokerId,
        /// Whether an operator named it, so that it is not sent back to the preferred replica.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        chosen: bool,
    },
    /// A partition gets replicas that it has not, and loses the others when these are in sync (N15).
    MoveStarted {
        /// Which partition.
        partition: TopicPartition,
        /// The replicas at the end, the preferred leader first.
        replicas: Vec<BrokerId>,
    },
    /// A partition loses the replicas that it got for a move.
    MoveCancelled {
        /// Which partition.
        partition: TopicPartition,
    },
    /// An operator had a replica lead that may not hold everything that was acknowledged (N9).
    PartitionRecovered {
        /// Which partition.
        partition: TopicPartition,
        /// Who leads from now on, alone.
        leader: BrokerId,
        /// From here on other replicas may cut committed records (N5).
        cut_end: Offset,
    },
    /// A topic has more partitions; they open one by one (N14).
    PartitionsAdded {
        /// Which topic.
        topic: TopicId,
        /// The brokers of each new partition's replicas, the first replica first.
        assignment: Vec<Vec<BrokerId>>,
    },
    /// Another number of replicas for a topic's partitions.
    ReplicationFactorSet {
        /// Which topic.
        topic: TopicId,
        /// How many, from now on.
        replication_factor: u16,
        /// All of its settings, with the minimum that fits.
        config: TopicConfig,
    },
    /// A partition's in-sync set.
    IsrChanged {
        /// Which partition.
        partition: TopicPartition,
        /// From now on.
        isr: Vec<BrokerId>,
    },
    /// A topic's own settings.
    TopicAltered {
        /// Which topic.
        topic: TopicId,
        /// All of them, from now on.
        config: TopicConfig,
    },
    /// A topic is deleted: its data may go.
    TopicDeleted {
        /// Which topic.
        topic: TopicId,
        /// When, Unix milliseconds of the deciding node.
        deleted_at_ms: u64,
    },
    /// A broker no longer has anything of a deleted topic.
    ReplicaDeleted {
        /// Which broker.
        broker: BrokerId,
        /// Which topic.
        topic: TopicId,
    },
    /// A block of producer ids is given away and never used again.
    ProducerIdsGranted {
        /// To whom.
        broker: BrokerId,
        /// First id of the block.
        from: u64,
        /// End of the block, exclusive.
        to_end: u64,
    },
}
