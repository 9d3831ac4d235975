//! Finds the owner of a group and hands it the call.
//!
//! Which partition of the internal topic a group belongs to depends on its name and the partition count alone; the
//! count therefore never changes once the topic exists. A call is answered exactly once; a caller that goes away
//! before its call was taken up has changed nothing.

use std::collections::HashMap;
use std::sync::Arc;

use fidelog_log::env::Clock;
use fidelog_record::partitioner::partition_for_key;
use fidelog_record::types::{GroupName, PartitionIndex, TopicId, TopicPartition};
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

use super::error::PositionsError;
use super::hands::Hands;
use super::owner::{Owner, not_owner};
use super::request::{Answer, CommitAll, Delete, Fetch, List, Open, Request, Reset};
use super::state::{CommitResult, GroupPage, PartitionPosition, PositionLimits, SnapshotSizes};
use super::witness::Witness;
use crate::partition::Partition;

/// The internal topic that holds positions.
pub const POSITIONS_TOPIC: &str = "__positions";
/// How many partitions it gets: their leaders are spread, so that one dead broker takes its share of the groups only.
pub const POSITIONS_PARTITIONS: u32 = 8;
/// The most calls that wait for one owner.
const CALLS_WAITING_MAX: usize = 1024;

/// The positions of all groups, as far as this broker owns them. A handle: clones are the same.
#[derive(Clone, Debug)]
pub struct Positions {
    clock: Arc<dyn Clock>,
    witness: Arc<dyn Witness>,
    hands: Arc<dyn Hands>,
    limits: PositionLimits,
    sizes: SnapshotSizes,
    inner: Arc<RwLock<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The internal topic and its partition count, once it exists.
    topic: Option<(TopicId, u32)>,
    hosted: HashMap<TopicPartition, Hosted>,
}

#[derive(Clone, Debug)]
struct Hosted {
    partition: Arc<Partition>,
    calls: mpsc::Sender<Request>,
}

impl Positions {
    /// Nothing is owned yet: calls are refused as retriable.
    #[must_use]
    pub fn new(
        clock: Arc<dyn Clock>,
        witness: Arc<dyn Witness>,
        hands: Arc<dyn Hands>,
        limits: PositionLimits,
        sizes: SnapshotSizes,
    ) -> Self {
        Self { clock, witness, hands, limits, sizes, inner: Arc::default() }
    }

    /// The internal topic exists.
    ///
    /// # Panics
    /// When its partition count is 0, or differs from what was said before: groups would lose their positions.
    pub fn topic_exists(&self, topic: TopicId, partition_count: u32) {
        assert!(partition_count > 0, "the positions topic {topic} has no partitions");
        if self.inner.read().topic == Some((topic, partition_count)) {
            return;
        }
        let mut inner = self.inner.write();
        if let Some(before) = inner.topic {
            assert_eq!(
                before,
                (topic, partition_count),
                "the positions topic and its partition count never change"
            );
        }
        inner.topic = Some((topic, partition_count));
    }

    /// This broker holds a replica of one of the internal topic's partitions. The owner that comes back must be run,
    /// for as long as the replica is here; it serves while the replica leads.
    #[must_use = "nothing is served until the owner runs"]
    pub fn host(&self, partition: Arc<Partition>) -> Owner {
        let (calls, waiting) = mpsc::channel(CALLS_WAITING_MAX);
        let world = (Arc::clone(&self.clock), Arc::clone(&self.witness), Arc::clone(&self.hands));
        let owner = Owner::new(Arc::clone(&partition), world, waiting, self.limits, self.sizes);
        self.inner.write().hosted.insert(partition.id(), Hosted { partition, calls });
        owner
    }

    /// The replica leaves this broker: its owner ends once it has answered what waits.
    pub fn unhost(&self, at: TopicPartition) {
        self.inner.write().hosted.remove(&at);
    }

    /// Which partition of the internal topic a group belongs to: its leader owns the group.
    ///
    /// # Errors
    /// Retriable, while the internal topic does not exist.
    pub fn partition_of(&self, group: &GroupName) -> Result<TopicPartition, PositionsError> {
        let (topic, partition_count) = self.topic()?;
        let partition = PartitionIndex(partition_for_key(group.as_str().as_bytes(), partition_count));
        Ok(TopicPartition { topic, partition })
    }

    /// All partitions of the internal topic; each lists its own groups.
    ///
    /// # Errors
    /// Retriable, while the internal topic does not exist.
    pub fn partitions(&self) -> Result<Vec<TopicPartition>, PositionsError> {
        let (topic, partition_count) = self.topic()?;
        Ok((0..partition_count)
            .map(|index| TopicPartition { topic, partition: PartitionIndex(index) })
            .collect())
    }

    /// Takes positions over and returns them, in the order asked for.
    ///
    /// # Errors
    /// [`PositionsError`]; never [`PositionsError::UnknownGroup`].
    pub async fn open(&self, open: Open) -> Result<Vec<PartitionPosition>, PositionsError> {
        let at = self.partition_of(&open.group)?;
        self.ask(at, |answer| Request::Open(open, answer)).await
    }

    /// Stores positions; each commit has a fate of its own, in the order given.
    ///
    /// # Errors
    /// [`PositionsError`]; [`PositionsError::UnknownGroup`] when nothing at all is stored for the group.
    pub async fn commit(&self, commit: CommitAll) -> Result<Vec<CommitResult>, PositionsError> {
        let at = self.partition_of(&commit.group)?;
        self.ask(at, |answer| Request::Commit(commit, answer)).await
    }

    /// Moves positions anywhere and fences their owners.
    ///
    /// # Errors
    /// [`PositionsError`]; never [`PositionsError::UnknownGroup`].
    pub async fn reset(&self, reset: Reset) -> Result<Vec<PartitionPosition>, PositionsError> {
        let at = self.partition_of(&reset.group)?;
        self.ask(at, |answer| Request::Reset(reset, answer)).await
    }

    /// Forgets positions; returns how many.
    ///
    /// # Errors
    /// [`PositionsError`]; [`PositionsError::UnknownGroup`] when there was nothing to forget.
    pub async fn delete(&self, delete: Delete) -> Result<u64, PositionsError> {
        let at = self.partition_of(&delete.group)?;
        self.ask(at, |answer| Request::Delete(delete, answer)).await
    }

    /// A group's positions on one topic, by partition; those never opened are left out.
    ///
    /// # Errors
    /// [`PositionsError`]; never [`PositionsError::UnknownGroup`].
    pub async fn fetch(&self, fetch: Fetch) -> Result<Vec<PartitionPosition>, PositionsError> {
        let at = self.partition_of(&fetch.group)?;
        self.ask(at, |answer| Request::Fetch(fetch, answer)).await
    }

    /// A page of the groups that belong to one partition of the internal topic ([`Self::partitions`]).
    ///
    /// # Errors
    /// [`PositionsError`]; never [`PositionsError::UnknownGroup`].
    pub async fn list(&self, at: TopicPartition, list: List) -> Result<GroupPage, PositionsError> {
        self.ask(at, |answer| Request::List(list, answer)).await
    }

    fn topic(&self) -> Result<(TopicId, u32), PositionsError> {
        let topic = self.inner.read().topic;
        topic.ok_or_else(|| PositionsError::not_now("the internal topic of positions does not exist yet"))
    }

    async fn ask<T>(
        &self,
        at: TopicPartition,
        request: impl FnOnce(Answer<T>) -> Request,
    ) -> Result<T, PositionsError> {
        let hosted = self.inner.read().hosted.get(&at).cloned();
        let Some(Hosted { partition, calls }) = hosted else {
            return Err(PositionsError::not_hosted(at));
        };
        // A broker that does not lead says so at once, without a turn of the owner.
        let seen = partition.published().borrow().clone();
        if seen.leading.is_none() {
            return Err(not_owner(at, &seen));
        }
        drop(partition);
        let (answer, answered) = oneshot::channel();
        match calls.try_send(request(answer)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                let reason = format!("{CALLS_WAITING_MAX} calls wait already, which is the most; try again");
                return Err(PositionsError::not_now(reason));
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return Err(PositionsError::not_now("the owner of these positions has stopped"));
            }
        }
        // Stopping here is safe: a call that nobody waits for is not taken up, or counts like any other.
        answered
            .await
            .unwrap_or_else(|_| Err(PositionsError::unknown("the owner of these positions stopped")))
    }
}
