//! Bounds of one positions partition, checked before an entry is written.
//!
//! Applying does not look at limits: an entry in the log counts, whatever the limits are by then.

use std::collections::{BTreeMap, BTreeSet};

use fidelog_record::types::limits::PARTITION_COUNT_MAX;
use fidelog_record::types::{GroupName, PartitionIndex, TopicId};

use super::entry::Entry;
use super::positions::PositionsState;

/// How much one positions partition remembers. Each partition has its own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionLimits {
    /// Groups.
    pub group_count_max: u64,
    /// Positions of one group, over all its topics.
    pub group_position_count_max: u64,
    /// Positions of all groups together.
    pub position_count_max: u64,
}

impl Default for PositionLimits {
    fn default() -> Self {
        Self { group_count_max: 10_000, group_position_count_max: 40_000, position_count_max: 200_000 }
    }
}

/// A call would pass a limit. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} would be {value}; at most {limit} are allowed: {advice}")]
pub struct LimitExceeded {
    /// What is counted.
    pub what: &'static str,
    /// What it would come to.
    pub value: u64,
    /// The limit.
    pub limit: u64,
    /// What to do.
    pub advice: &'static str,
}

/// What entries that are admitted, but not yet applied, may add to a state.
///
/// Counts at least as much as they will add: two of them that make the same position count it twice.
#[derive(Debug, Default)]
pub struct Admission {
    groups: BTreeSet<GroupName>,
    positions_by_group: BTreeMap<GroupName, u64>,
    position_count: u64,
}

impl Admission {
    /// Admits an entry, or says which limit it would pass.
    ///
    /// # Errors
    /// [`LimitExceeded`]; nothing was counted then.
    pub fn admit(
        &mut self,
        state: &PositionsState,
        entry: &Entry,
        limits: PositionLimits,
    ) -> Result<(), LimitExceeded> {
        let named = entry.weight();
        at_most("positions in one call", named, u64::from(PARTITION_COUNT_MAX), "split the call")?;
        let (group, new) = match entry {
            Entry::Opened { group, topic, partitions, .. } => {
                (group, count_new(state, group, *topic, partitions.iter().copied()))
            }
            Entry::Reset { group, topic, resets, .. } => {
                (group, count_new(state, group, *topic, resets.iter().map(|reset| reset.partition)))
            }
            _ => return Ok(()), // Makes nothing.
        };
        self.admit_new(state, group, new, limits)
    }

    fn admit_new(
        &mut self,
        state: &PositionsState,
        group: &GroupName,
        new: u64,
        limits: PositionLimits,
    ) -> Result<(), LimitExceeded> {
        if new == 0 {
            return Ok(());
        }
        let advice = "delete groups that nobody uses";
        let makes_group = !state.has_group(group) && !self.groups.contains(group);
        if makes_group {
            let groups = state.group_count() + self.groups.len() as u64 + 1;
            at_most("groups", groups, limits.group_count_max, advice)?;
        }
        let of_group = self.positions_by_group.get(group).copied().unwrap_or(0) + new;
        let positions = state.position_count_of(group) + of_group;
        at_most(
            "positions of the group",
            positions,
            limits.group_position_count_max,
            "delete some of its topics",
        )?;
        let positions = state.position_count() + self.position_count + new;
        at_most("positions of all groups", positions, limits.position_count_max, advice)?;
        if makes_group {
            self.groups.insert(group.clone());
        }
        self.positions_by_group.insert(group.clone(), of_group);
        self.position_count += new;
        Ok(())
    }
}

fn at_most(what: &'static str, value: u64, limit: u64, advice: &'static str) -> Result<(), LimitExceeded> {
    if value > limit { Err(LimitExceeded { what, value, limit, advice }) } else { Ok(()) }
}

fn count_new(
    state: &PositionsState,
    group: &GroupName,
    topic: TopicId,
    partitions: impl Iterator<Item = PartitionIndex>,
) -> u64 {
    partitions.filter(|&partition| state.get(group, topic, partition).is_none()).count() as u64
}
