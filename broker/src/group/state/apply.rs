//! Applying an entry: the one place where it is decided what counts, in log order (N18).
//!
//! ```text
//!  commit:  another generation than the position's  -> fenced, nothing changes
//!           the same, a lower offset                -> the higher one stays in force
//!           the same, the same or a higher offset   -> stored
//!  open:    generation rises, offset stays ("none stored" stays none)
//!  reset:   generation rises, offset is what it says
//!  delete:  positions go, generations stay given away
//! ```

use fidelog_record::types::{Generation, GroupName, LeaderEpoch, Offset, PartitionIndex, TopicId};

use super::applied::{Applied, CommitFate, CommitResult, SnapshotStep};
use super::entry::{Commit, Entry, ResetTo};
use super::owner_name::OwnerName;
use super::position::{PartitionPosition, Position};
use super::positions::PositionsState;

/// An entry that does not follow the last one applied: the log has a hole, or was read wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {found} of the positions log came when {expected} was due")]
pub struct ApplyError {
    /// The offset due.
    pub expected: Offset,
    /// The offset given.
    pub found: Offset,
}

impl PositionsState {
    /// Applies the entry at `offset` and returns its answer.
    ///
    /// # Errors
    /// When `offset` is not [`Self::applied_end`]; nothing changed then.
    pub fn apply(&mut self, offset: Offset, entry: &Entry) -> Result<Applied, ApplyError> {
        if offset != self.applied_end {
            return Err(ApplyError { expected: self.applied_end, found: offset });
        }
        let applied = match entry {
            Entry::Opened { group, topic, partitions, owner, .. } => {
                Applied::Opened(self.open(group, *topic, partitions, owner))
            }
            Entry::Committed { group, topic, commits, at_ms } => self.commit(group, *topic, commits, *at_ms),
            Entry::Reset { group, topic, resets, at_ms } => {
                Applied::Reset(self.reset(group, *topic, resets, *at_ms))
            }
            Entry::Deleted { group, topic } => self.delete(group, *topic),
            Entry::SnapshotBegin { .. } | Entry::SnapshotPart { .. } | Entry::SnapshotEnd { .. } => {
                self.snapshot_passes(offset, entry)
            }
        };
        match applied {
            // The whole snapshot has just begun the count anew.
            Applied::Snapshot(SnapshotStep::Whole) => {}
            Applied::Snapshot(_) => self.history.weight += entry.weight(),
            _ => {
                self.history.passing = None;
                self.history.weight += entry.weight();
            }
        }
        self.applied_end = offset.plus(1);
        Ok(applied)
    }

    fn next_generation(&mut self) -> Generation {
        self.generation_last = self.generation_last.next();
        self.generation_last
    }

    fn open(
        &mut self,
        group: &GroupName,
        topic: TopicId,
        partitions: &[PartitionIndex],
        owner: &OwnerName,
    ) -> Vec<PartitionPosition> {
        let generation = self.next_generation();
        let mut take_over = |&partition: &PartitionIndex| {
            let position = self.get_or_make(group, topic, partition);
            position.generation = generation;
            position.owner = owner.clone();
            PartitionPosition { partition, position: position.clone() }
        };
        partitions.iter().map(&mut take_over).collect()
    }

    fn commit(&mut self, group: &GroupName, topic: TopicId, commits: &[Commit], at_ms: u64) -> Applied {
        let Some(topics) = self.groups.get_mut(group) else { return Applied::UnknownGroup };
        let mut positions = topics.get_mut(&topic);
        let mut decide = |commit: &Commit| {
            let position = positions.as_mut().and_then(|positions| positions.get_mut(&commit.partition));
            let fate =
                position.map_or(CommitFate::NotOpened, |position| decide_commit(position, commit, at_ms));
            CommitResult { partition: commit.partition, fate }
        };
        Applied::Committed(commits.iter().map(&mut decide).collect())
    }

    fn reset(
        &mut self,
        group: &GroupName,
        topic: TopicId,
        resets: &[ResetTo],
        at_ms: u64,
    ) -> Vec<PartitionPosition> {
        let generation = self.next_generation();
        let mut move_to = |&ResetTo { partition, offset, leader_epoch }: &ResetTo| {
            let position = self.get_or_make(group, topic, partition);
            position.offset = Some(offset);
            position.leader_epoch = leader_epoch;
            position.generation = generation;
            position.committed_at_ms = at_ms;
            PartitionPosition { partition, position: position.clone() }
        };
        resets.iter().map(&mut move_to).collect()
    }

    fn delete(&mut self, group: &GroupName, topic: Option<TopicId>) -> Applied {
        let before = self.position_count_of(group);
        if let Some(topics) = self.groups.get_mut(group) {
            match topic {
                Some(topic) => drop(topics.remove(&topic)),
                None => topics.clear(),
            }
            if topics.is_empty() {
                self.groups.remove(group);
            }
        }
        let position_count = before - self.position_count_of(group);
        self.position_count -= position_count;
        if position_count == 0 { Applied::UnknownGroup } else { Applied::Deleted { position_count } }
    }

    fn get_or_make(&mut self, group: &GroupName, topic: TopicId, partition: PartitionIndex) -> &mut Position {
        if self.get(group, topic, partition).is_none() {
            self.position_count += 1;
        }
        let topics = self.groups.entry(group.clone()).or_default();
        topics.entry(topic).or_default().entry(partition).or_insert_with(|| Position {
            offset: None,
            leader_epoch: LeaderEpoch(0),
            generation: Generation(0),
            owner: OwnerName::nobody(),
            committed_at_ms: 0,
        })
    }
}

/// Generation first, then the higher offset.
fn decide_commit(position: &mut Position, commit: &Commit, at_ms: u64) -> CommitFate {
    // A generation above the position's was never given for it: it is as wrong as an older one.
    if commit.generation != position.generation {
        return CommitFate::Fenced { current: position.clone() };
    }
    if position.offset == Some(commit.offset) {
        position.leader_epoch = position.leader_epoch.max(commit.leader_epoch);
        position.committed_at_ms = at_ms;
    } else if position.offset < Some(commit.offset) {
        position.offset = Some(commit.offset);
        position.leader_epoch = commit.leader_epoch;
        position.committed_at_ms = at_ms;
    }
    CommitFate::InForce(position.clone())
}
