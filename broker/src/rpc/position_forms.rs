//! Positions as sent and as kept: one function for each form.

use std::collections::BTreeSet;

use fidelog_proto::v1::{self, Reason};
use fidelog_record::types::{Generation, GroupName, LeaderEpoch, Offset, PartitionIndex};

use super::status::Failure;
use crate::group::state::{Commit, CommitFate, CommitResult, OwnerName, PartitionPosition, Position};

/// Partitions one call may name.
const PARTITIONS_MAX: usize = 10_000;

pub(super) fn group_name(group: &str) -> Result<GroupName, Failure> {
    GroupName::new(group)
        .map_err(|error| Failure::new(Reason::InvalidName, error.to_string()).with("field", "group"))
}

pub(super) fn owner_name(owner: &str) -> Result<OwnerName, Failure> {
    OwnerName::new(owner).map_err(|error| Failure::invalid("owner", error.to_string()))
}

/// Whether 1 to 10,000 partitions are named, each once.
pub(super) fn named_once(
    partitions: impl ExactSizeIterator<Item = u32>,
    field: &'static str,
) -> Result<(), Failure> {
    let count = partitions.len();
    if !(1..=PARTITIONS_MAX).contains(&count) {
        return Err(Failure::invalid(
            field,
            format!("{field} names {count} partitions; name 1 to {PARTITIONS_MAX}"),
        ));
    }
    let mut seen = BTreeSet::new();
    for partition in partitions {
        if !seen.insert(partition) {
            let message = format!("{field} names partition {partition} twice; name each once");
            return Err(Failure::invalid(field, message).with("partition", partition));
        }
    }
    Ok(())
}

pub(super) fn committed(wish: &v1::PositionCommit) -> Commit {
    Commit {
        partition: PartitionIndex(wish.partition),
        offset: Offset(wish.offset),
        leader_epoch: LeaderEpoch(wish.leader_epoch),
        generation: Generation(wish.generation),
    }
}

pub(super) fn position(of: PartitionPosition) -> v1::Position {
    sent(of.partition, &of.position)
}

fn sent(partition: PartitionIndex, position: &Position) -> v1::Position {
    v1::Position {
        partition: partition.0,
        offset: position.offset.map(|offset| offset.0),
        leader_epoch: position.leader_epoch.0,
        generation: position.generation.0,
        owner: position.owner.as_str().to_owned(),
        committed_at_ms: position.committed_at_ms,
    }
}

/// The fate of a commit as sent: a position in force, an error, or both.
pub(super) fn result(of: CommitResult) -> v1::PositionResult {
    let CommitResult { partition, fate } = of;
    let (position, failure) = match fate {
        CommitFate::InForce(position) => (Some(position), None),
        CommitFate::Fenced { current } => {
            let message = format!(
                "partition {partition}: generation {} is in force, taken over by {:?}; stop reading, or open again",
                current.generation,
                current.owner.as_str()
            );
            let failure =
                Failure::new(Reason::FencedGeneration, message).with("generation", current.generation);
            (Some(current), Some(failure))
        }
        CommitFate::NotOpened => {
            let message = format!("partition {partition}: the group has no position there; open it first");
            (None, Some(Failure::new(Reason::FencedGeneration, message).with("generation", 0)))
        }
    };
    v1::PositionResult {
        partition: partition.0,
        position: position.map(|position| sent(partition, &position)),
        error: failure.map(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_named_once_and_not_too_many() {
        let check = |partitions: &[u32]| named_once(partitions.iter().copied(), "commits");
        assert!(check(&[0, 2, 1]).is_ok());
        assert_eq!(check(&[0, 2, 0]).unwrap_err().detail("partition"), Some("0"));
        assert!(check(&[]).is_err());
        assert!(check(&vec![0; PARTITIONS_MAX + 1]).is_err());
    }

    #[test]
    fn a_fenced_commit_tells_the_position_in_force() {
        let current = Position {
            offset: Some(Offset(9)),
            leader_epoch: LeaderEpoch(1),
            generation: Generation(4),
            owner: OwnerName::new("other").unwrap(),
            committed_at_ms: 5,
        };
        let sent =
            result(CommitResult { partition: PartitionIndex(3), fate: CommitFate::Fenced { current } });
        assert_eq!(sent.position.unwrap().generation, 4);
        assert_eq!(sent.error.unwrap().reason(), Reason::FencedGeneration);
    }
}
