//! Entries for tests, in few words.

use fidelog_record::types::{Generation, GroupName, LeaderEpoch, Offset, PartitionIndex, TopicId};

use super::*;

/// Snapshots at once, in parts of two positions.
pub(super) const TINY: SnapshotSizes = SnapshotSizes { weight_min: 0, part_position_count_max: 2 };

pub(super) fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

pub(super) fn topic(n: u8) -> TopicId {
    TopicId::from_random([n; 16])
}

pub(super) fn open(name: &str, of: u8, partitions: &[u32], owner: &str) -> Entry {
    let partitions = partitions.iter().copied().map(PartitionIndex).collect();
    let owner = OwnerName::new(owner).unwrap();
    Entry::Opened { group: group(name), topic: topic(of), partitions, owner, at_ms: 1_750_000_000_000 }
}

pub(super) fn commit(name: &str, of: u8, partition: u32, offset: u64, generation: Generation) -> Entry {
    let (partition, offset) = (PartitionIndex(partition), Offset(offset));
    let commits = vec![Commit { partition, offset, leader_epoch: LeaderEpoch(3), generation }];
    Entry::Committed { group: group(name), topic: topic(of), commits, at_ms: 1_750_000_000_001 }
}

pub(super) fn reset(name: &str, of: u8, partition: u32, offset: u64) -> Entry {
    let (partition, offset) = (PartitionIndex(partition), Offset(offset));
    let resets = vec![ResetTo { partition, offset, leader_epoch: LeaderEpoch(0) }];
    Entry::Reset { group: group(name), topic: topic(of), resets, at_ms: 1_750_000_000_002 }
}

pub(super) fn delete(name: &str, of: Option<u8>) -> Entry {
    Entry::Deleted { group: group(name), topic: of.map(topic) }
}

/// Applies an entry at the end.
pub(super) fn apply(state: &mut PositionsState, entry: &Entry) -> Applied {
    state.apply(state.applied_end(), entry).unwrap()
}

/// The positions an open or a reset answered with.
pub(super) fn positions(applied: Applied) -> Vec<PartitionPosition> {
    match applied {
        Applied::Opened(positions) | Applied::Reset(positions) => positions,
        other => panic!("{other:?} holds no positions"),
    }
}

/// The generation an open or a reset of partitions gave.
pub(super) fn generation(applied: Applied) -> Generation {
    positions(applied)[0].position.generation
}

/// The fate of the only commit.
pub(super) fn fate(applied: Applied) -> CommitFate {
    match applied {
        Applied::Committed(mut results) if results.len() == 1 => results.remove(0).fate,
        other => panic!("{other:?} is not the result of one commit"),
    }
}

/// What replaying `log` from `start` makes; `log` begins at offset 0.
pub(super) fn replayed(log: &[Entry], start: u64) -> Result<PositionsState, NoSnapshot> {
    let mut replay = Replay::new(Offset(start));
    for (offset, entry) in (0..).zip(log).skip(usize::try_from(start).unwrap()) {
        replay.apply(Offset(offset), entry).unwrap();
    }
    replay.finish()
}
