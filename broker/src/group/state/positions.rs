//! All positions of one positions partition, as its log up to [`PositionsState::applied_end`] makes them.
//!
//! Always true: no two takeovers or resets ever get the same generation, not even when a group is deleted between
//! them; so a commit that was sent before a deletion finds either no position or a higher generation.

use std::collections::BTreeMap;
use std::ops::Bound;

use fidelog_record::types::{Generation, GroupName, Offset, PartitionIndex, TopicId};

use super::position::{GroupPositions, PartitionPosition, Position, TopicPositions};
use super::snapshot::{SnapshotReader, SnapshotSizes};

/// About the most bytes one page of groups takes on the wire, unless the first group alone takes more.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// What a position takes on the wire beside its owner's name, at most.
const POSITION_BYTES: usize = 56;
/// What a topic takes beside its positions, its name (which is not known here) at its longest.
const TOPIC_BYTES: usize = 288;

pub(super) type Group = BTreeMap<TopicId, BTreeMap<PartitionIndex, Position>>;

/// The state of one positions partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionsState {
    pub(super) applied_end: Offset,
    /// The last generation given, to anybody. Never goes back.
    pub(super) generation_last: Generation,
    pub(super) groups: BTreeMap<GroupName, Group>,
    pub(super) position_count: u64,
    pub(super) history: History,
}

/// What the log holds besides the state itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    /// Where the last whole snapshot begins.
    pub(super) snapshot: Option<Offset>,
    /// Weight of the entries applied since then.
    pub(super) weight: u64,
    /// A snapshot that is passing by.
    pub(super) passing: Option<SnapshotReader>,
}

/// One page of groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupPage {
    /// By name, rising.
    pub groups: Vec<GroupPositions>,
    /// Ask again for the groups after this one; `None`: there are no more.
    pub next_after: Option<GroupName>,
}

impl PositionsState {
    /// The state before the first entry of a log.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            applied_end: Offset::ZERO,
            generation_last: Generation(0),
            groups: BTreeMap::new(),
            position_count: 0,
            history: History::default(),
        }
    }

    /// The first offset that is not applied.
    #[must_use]
    pub fn applied_end(&self) -> Offset {
        self.applied_end
    }

    /// The last generation given.
    #[must_use]
    pub fn generation_last(&self) -> Generation {
        self.generation_last
    }

    /// Where the log may begin from now on: the last whole snapshot. `None`: nothing may be dropped yet.
    #[must_use]
    pub fn trim_to(&self) -> Option<Offset> {
        self.history.snapshot
    }

    /// Weight of the entries since the last whole snapshot.
    #[must_use]
    pub fn weight_since_snapshot(&self) -> u64 {
        self.history.weight
    }

    /// Whether the log has become long for what it says: longer than four times the state, and than the minimum.
    #[must_use]
    pub fn wants_snapshot(&self, sizes: SnapshotSizes) -> bool {
        self.history.weight > sizes.weight_min.max(4 * self.position_count)
    }

    /// Whether anything is stored for the group.
    #[must_use]
    pub fn has_group(&self, group: &GroupName) -> bool {
        self.groups.contains_key(group)
    }

    /// How many groups there are.
    #[must_use]
    pub fn group_count(&self) -> u64 {
        self.groups.len() as u64
    }

    /// How many positions there are.
    #[must_use]
    pub fn position_count(&self) -> u64 {
        self.position_count
    }

    /// How many positions the group has.
    #[must_use]
    pub fn position_count_of(&self, group: &GroupName) -> u64 {
        self.groups.get(group).map_or(0, count_of)
    }

    /// One position; `None`: never opened, or deleted.
    #[must_use]
    pub fn get(&self, group: &GroupName, topic: TopicId, partition: PartitionIndex) -> Option<&Position> {
        self.groups.get(group)?.get(&topic)?.get(&partition)
    }

    /// A group's positions on one topic, by partition, rising; those never opened are left out.
    #[must_use]
    pub fn fetch(&self, group: &GroupName, topic: TopicId) -> Vec<PartitionPosition> {
        self.groups.get(group).and_then(|topics| topics.get(&topic)).map(listed).unwrap_or_default()
    }

    /// Everything stored for one group.
    #[must_use]
    pub fn describe(&self, group: &GroupName) -> Option<GroupPositions> {
        self.groups.get(group).map(|topics| described(group, topics))
    }

    /// Groups in the order of their names, from the first behind `after`: at most `group_count_max` (at least 1), and
    /// fewer when they would pass `PAGE_BYTES_MAX`.
    #[must_use]
    pub fn page(&self, after: Option<&GroupName>, group_count_max: usize) -> GroupPage {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut page = GroupPage::default();
        let mut bytes = 0;
        for (group, topics) in self.groups.range::<GroupName, _>((from, Bound::Unbounded)) {
            bytes += group.as_str().len() + bytes_of(topics);
            let full = page.groups.len() >= group_count_max || bytes > PAGE_BYTES_MAX;
            if full && let Some(last) = page.groups.last() {
                page.next_after = Some(last.group.clone());
                break;
            }
            page.groups.push(described(group, topics));
        }
        page
    }
}

fn count_of(topics: &Group) -> u64 {
    topics.values().map(|positions| positions.len() as u64).sum()
}

fn bytes_of(topics: &Group) -> usize {
    let position = |position: &Position| POSITION_BYTES + position.owner.as_str().len();
    let topic =
        |positions: &BTreeMap<_, Position>| TOPIC_BYTES + positions.values().map(position).sum::<usize>();
    topics.values().map(topic).sum()
}

fn listed(positions: &BTreeMap<PartitionIndex, Position>) -> Vec<PartitionPosition> {
    let pair = |(&partition, position): (&PartitionIndex, &Position)| PartitionPosition {
        partition,
        position: position.clone(),
    };
    positions.iter().map(pair).collect()
}

fn described(group: &GroupName, topics: &Group) -> GroupPositions {
    let topics = topics
        .iter()
        .map(|(&topic, positions)| TopicPositions { topic, positions: listed(positions) })
        .collect();
    GroupPositions { group: group.clone(), topics }
}
