//! The whole metadata of a cluster at one index.
//!
//! Always true: `index` is the last entry applied; names are unique without regard to case; each topic has exactly
//! `partition_count` partitions; producer ids below `next_producer_id` are given away; broker epochs up to
//! `last_broker_epoch` are.
//!
//! A clone is cheap beside the state itself: entries and per-topic partition lists are shared until they change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fidelog_record::types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, Generation, Incarnation, MetaIndex, PartitionIndex,
    TopicId, TopicPartition,
};

use super::{
    Ancestor, BrokerEntry, ConfigError, ControllerEntry, EffectiveConfig, MadeReplica, PartitionEntry,
    Tombstone, TopicDefaults, TopicEntry,
};

/// The highest feature level this version knows, and the one of a new cluster.
pub const FEATURE_LEVEL: u32 = 1;
/// The most partitions of a cluster, over all topics: twice what the design is measured at.
pub const CLUSTER_PARTITION_COUNT_MAX: u32 = 20_000;

/// The metadata at one index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterState {
    pub(super) cluster: ClusterId,
    pub(super) incarnation: Incarnation,
    /// Whom it was rebuilt from, in order.
    pub(super) ancestors: Vec<Ancestor>,
    pub(super) feature_level: u32,
    pub(super) index: MetaIndex,
    pub(super) defaults: TopicDefaults,
    pub(super) brokers: BTreeMap<BrokerId, Arc<BrokerEntry>>,
    /// By the node's number.
    pub(super) controllers: BTreeMap<BrokerId, Arc<ControllerEntry>>,
    pub(super) topics: BTreeMap<TopicId, Arc<TopicEntry>>,
    /// By topic, then by partition index.
    pub(super) partitions: BTreeMap<TopicId, Arc<Vec<Arc<PartitionEntry>>>>,
    pub(super) tombstones: BTreeMap<TopicId, Arc<Tombstone>>,
    /// Topics by name in lower case. Follows from `topics`.
    pub(super) names: BTreeMap<Arc<str>, TopicId>,
    pub(super) last_broker_epoch: BrokerEpoch,
    pub(super) next_producer_id: u64,
}

impl ClusterState {
    /// A new cluster's metadata, before the first entry.
    ///
    /// # Errors
    /// When the defaults cannot be.
    pub fn founded(
        cluster: ClusterId,
        incarnation: Incarnation,
        defaults: TopicDefaults,
    ) -> Result<Self, ConfigError> {
        defaults.check()?;
        Ok(Self {
            cluster,
            incarnation,
            ancestors: Vec::new(),
            feature_level: FEATURE_LEVEL,
            index: MetaIndex(0),
            defaults,
            brokers: BTreeMap::new(),
            controllers: BTreeMap::new(),
            topics: BTreeMap::new(),
            partitions: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            names: BTreeMap::new(),
            last_broker_epoch: BrokerEpoch(0),
            next_producer_id: 1,
        })
    }

    /// Whether `earlier` has less than this one, by more than generations of directories.
    #[must_use]
    pub fn adds_to(&self, earlier: &Self) -> bool {
        let without = |state: &Self| {
            let mut state = Self { index: MetaIndex(0), ..state.clone() };
            state.brokers.values_mut().for_each(|it| Arc::make_mut(it).generation = Generation(0));
            state.controllers.values_mut().for_each(|it| Arc::make_mut(it).generation = Generation(0));
            state
        };
        self.index != earlier.index && without(self) != without(earlier)
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The quorum's store it comes from.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The level of features every broker must know.
    #[must_use]
    pub fn feature_level(&self) -> u32 {
        self.feature_level
    }

    /// The last entry applied; 0 before the first.
    #[must_use]
    pub fn index(&self) -> MetaIndex {
        self.index
    }

    /// What topics inherit.
    #[must_use]
    pub fn defaults(&self) -> &TopicDefaults {
        &self.defaults
    }

    /// The next producer id to be given away.
    #[must_use]
    pub fn next_producer_id(&self) -> u64 {
        self.next_producer_id
    }

    /// All registered brokers, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerEntry>> {
        self.brokers.values()
    }

    /// One broker.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<BrokerEntry>> {
        self.brokers.get(&id)
    }

    /// Brokers that no in-sync set takes in: those that are fenced, and those that are draining (N8).
    #[must_use]
    pub fn barred(&self) -> BTreeSet<BrokerId> {
        self.brokers().filter(|it| it.fenced || it.draining).map(|it| it.id).collect()
    }

    /// All registered controllers, by the node's number.
    pub fn controllers(&self) -> impl Iterator<Item = &Arc<ControllerEntry>> {
        self.controllers.values()
    }

    /// The controller on one node.
    #[must_use]
    pub fn controller(&self, broker: BrokerId) -> Option<&Arc<ControllerEntry>> {
        self.controllers.get(&broker)
    }

    /// The highest generation of a data directory that a broker or controller registered; none when nobody did.
    #[must_use]
    pub fn generation_of(&self, directory: DirectoryId) -> Option<Generation> {
        let of_brokers = self.brokers().filter(|it| it.directory == directory).map(|it| it.generation);
        let of_controllers =
            self.controllers().filter(|it| it.directory == directory).map(|it| it.generation);
        of_brokers.chain(of_controllers).max()
    }

    /// All topics, by id.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicEntry>> {
        self.topics.values()
    }

    /// One topic.
    #[must_use]
    pub fn topic(&self, id: TopicId) -> Option<&Arc<TopicEntry>> {
        self.topics.get(&id)
    }

    /// The topic with exactly this name.
    #[must_use]
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<TopicEntry>> {
        self.topic_like(name).filter(|topic| topic.name.as_str() == name)
    }

    /// The topic with this name in any mix of cases.
    #[must_use]
    pub fn topic_like(&self, name: &str) -> Option<&Arc<TopicEntry>> {
        self.names.get(name.to_ascii_lowercase().as_str()).and_then(|id| self.topics.get(id))
    }

    /// The settings of a topic as they count.
    #[must_use]
    pub fn effective_config(&self, topic: TopicId) -> Option<EffectiveConfig> {
        self.topic(topic).map(|topic| topic.config.effective(&self.defaults))
    }

    /// The partitions of one topic, by index; none when there is no such topic.
    #[must_use]
    pub fn partitions_of(&self, topic: TopicId) -> &[Arc<PartitionEntry>] {
        self.partitions.get(&topic).map_or(&[], |partitions| partitions.as_slice())
    }

    /// The replicas of a topic on a broker that it has not said to be made.
    #[must_use]
    pub fn unmade(&self, broker: BrokerId, topic: TopicId) -> Vec<MadeReplica> {
        let replicas = (0..).zip(self.partitions_of(topic)).filter_map(|(index, entry)| {
            let replica = entry.replica(broker).filter(|replica| !replica.made)?;
            Some(MadeReplica { partition: PartitionIndex(index), since: replica.since })
        });
        replicas.collect()
    }

    /// One partition.
    #[must_use]
    pub fn partition(&self, id: TopicPartition) -> Option<&Arc<PartitionEntry>> {
        let index = usize::try_from(id.partition.0).ok()?;
        self.partitions_of(id.topic).get(index)
    }

    /// All partitions, by topic id and index.
    pub fn partitions(&self) -> impl Iterator<Item = (TopicPartition, &Arc<PartitionEntry>)> {
        self.partitions.iter().flat_map(|(&topic, partitions)| {
            (0..).zip(partitions.iter()).map(move |(index, partition)| {
                (TopicPartition { topic, partition: PartitionIndex(index) }, partition)
            })
        })
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partition_count(&self) -> u64 {
        self.topics().map(|topic| u64::from(topic.partition_count)).sum()
    }

    /// Deleted topics whose data may still be somewhere.
    pub fn tombstones(&self) -> impl Iterator<Item = &Arc<Tombstone>> {
        self.tombstones.values()
    }

    /// One deleted topic.
    #[must_use]
    pub fn tombstone(&self, topic: TopicId) -> Option<&Arc<Tombstone>> {
        self.tombstones.get(&topic)
    }
}
