//! What is asked of the owner of a positions partition, and where the answers go.
//!
//! Names, existence of topics and partitions, and offsets at most the committed end are checked by the caller.

use fidelog_record::types::{GroupName, PartitionIndex, TopicId};
use tokio::sync::oneshot;

use super::error::PositionsError;
use super::state::{Commit, CommitResult, GroupPage, OwnerName, PartitionPosition, ResetTo};

/// Takes positions over.
#[derive(Clone, Debug)]
pub struct Open {
    /// The group.
    pub group: GroupName,
    /// The topic.
    pub topic: TopicId,
    /// Which partitions, each once.
    pub partitions: Vec<PartitionIndex>,
    /// How the reader names itself.
    pub owner: OwnerName,
}

/// Stores how far a reader got.
#[derive(Clone, Debug)]
pub struct CommitAll {
    /// The group.
    pub group: GroupName,
    /// The topic.
    pub topic: TopicId,
    /// Each partition once.
    pub commits: Vec<Commit>,
}

/// Moves positions anywhere.
#[derive(Clone, Debug)]
pub struct Reset {
    /// The group.
    pub group: GroupName,
    /// The topic.
    pub topic: TopicId,
    /// Each partition once.
    pub resets: Vec<ResetTo>,
}

/// Forgets positions.
#[derive(Clone, Debug)]
pub struct Delete {
    /// The group.
    pub group: GroupName,
    /// Only those on this topic; `None`: all.
    pub topic: Option<TopicId>,
}

/// Reads a group's positions on one topic.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The group.
    pub group: GroupName,
    /// The topic.
    pub topic: TopicId,
}

/// Reads a page of groups.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// Only this group.
    pub group: Option<GroupName>,
    /// Groups behind this one, in the order of their names; `None`: from the first.
    pub after: Option<GroupName>,
    /// The most groups of the page.
    pub group_count_max: usize,
}

/// Where one answer goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, PositionsError>>;

/// One call on its way to the owner.
#[derive(Debug)]
pub(super) enum Request {
    Open(Open, Answer<Vec<PartitionPosition>>),
    Commit(CommitAll, Answer<Vec<CommitResult>>),
    Reset(Reset, Answer<Vec<PartitionPosition>>),
    Delete(Delete, Answer<u64>),
    Fetch(Fetch, Answer<Vec<PartitionPosition>>),
    List(List, Answer<GroupPage>),
}
