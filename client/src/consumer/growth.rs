//! Partitions that a topic gets while a consumer of all its partitions reads it: they are read from their start, and the
//! group's positions are opened for them.
//!
//! What is always true: whoever lost the group to another reader takes up nothing, so that it never fences its successor;
//! and a new partition that another reader of the group has opened already stays with that one.

use std::collections::BTreeMap;
use std::sync::Arc;

use fidelog_proto::v1;
use fidelog_record::types::{PartitionIndex, TopicId, TopicPartition};

use crate::admin::Admin;
use crate::backoff;
use crate::client::Core;
use crate::error::RequestError;
use crate::fetch::OffsetAt;

use super::cursor::WhenOutOfRange;
use super::placement::{Begin, Plan};
use super::position::GroupPositions;

/// What a consumer needs to take up new partitions.
#[derive(Clone, Debug)]
pub(crate) struct Growth {
    pub(crate) topic: String,
    pub(crate) topic_id: TopicId,
    /// How many partitions were taken up so far, or left to others.
    pub(crate) known: u32,
    pub(crate) out_of_range: WhenOutOfRange,
    pub(crate) group: Option<Membership>,
}

/// The group a consumer reads for.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) group: String,
    pub(crate) owner: String,
    /// The generations held, by partition.
    pub(crate) generations: BTreeMap<u32, u64>,
}

/// What taking up new partitions came to.
#[derive(Debug)]
pub(crate) enum Grown {
    Taken {
        plans: Vec<Plan>,
        held: Option<GroupPositions>,
        /// How many partitions the topic has.
        count: u32,
    },
    /// Another reader took over the group: its successor reads the new partitions.
    Superseded,
}

impl Growth {
    /// Takes up the partitions from those known to `count`. Asks until there is an answer, or an error that waiting does
    /// not mend.
    pub(super) async fn take_up(self, core: Arc<Core>, count: u32) -> Result<Grown, RequestError> {
        let mut failures = 0;
        loop {
            match self.try_take_up(&core, count).await {
                Err(error) if error.is_passing() => {
                    failures += 1;
                    tracing::debug!(topic = self.topic, %error, "new partitions are not taken up yet");
                    tokio::time::sleep(backoff::wait(failures, rand::random())).await;
                }
                grown => return grown,
            }
        }
    }

    async fn try_take_up(&self, core: &Arc<Core>, count: u32) -> Result<Grown, RequestError> {
        let mut partitions: Vec<u32> = (self.known..count).collect();
        let mut held = None;
        if let Some(membership) = &self.group {
            let stored = Admin::new(core.clone()).fetch_positions(&membership.group, &self.topic).await?;
            if membership.is_superseded(&stored) {
                return Ok(Grown::Superseded);
            }
            partitions.retain(|partition| !membership.is_anothers(*partition, &stored));
            if !partitions.is_empty() {
                let Membership { group, owner, .. } = membership;
                let opening =
                    GroupPositions::open(core, group, &self.topic, self.topic_id, &partitions, owner);
                held = Some(opening.await?);
            }
        }
        let plan = |partition: u32| Plan {
            at: TopicPartition { topic: self.topic_id, partition: PartitionIndex(partition) },
            begin: match held.as_ref().and_then(|held| held.stored(partition)) {
                Some(offset) => Begin::At(offset),
                None => Begin::Ask(OffsetAt::Start),
            },
            until: None,
            stop_at_end: false,
            out_of_range: self.out_of_range,
        };
        let plans = partitions.into_iter().map(plan).collect();
        Ok(Grown::Taken { plans, held, count })
    }
}

impl Membership {
    pub(super) fn hold(&mut self, positions: &GroupPositions) {
        self.generations.extend(positions.generations());
    }

    fn is_superseded(&self, stored: &[v1::Position]) -> bool {
        let newer = |position: &v1::Position| {
            self.generations.get(&position.partition).is_some_and(|ours| position.generation > *ours)
        };
        stored.iter().any(newer)
    }

    fn is_anothers(&self, partition: u32, stored: &[v1::Position]) -> bool {
        stored.iter().any(|position| {
            position.partition == partition && position.generation > 0 && position.owner != self.owner
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(partition: u32, generation: u64, owner: &str) -> v1::Position {
        v1::Position { partition, generation, owner: owner.to_owned(), ..Default::default() }
    }

    #[test]
    fn a_reader_that_was_superseded_and_one_that_has_a_neighbour_are_told_apart() {
        let membership = Membership {
            group: "billing".to_owned(),
            owner: "me".to_owned(),
            generations: [(0, 3), (1, 1)].into(),
        };
        let held = [position(0, 3, "me"), position(1, 1, "me")];
        assert!(!membership.is_superseded(&held));
        let neighbour = [held.as_slice(), &[position(2, 1, "neighbour")]].concat();
        assert!(!membership.is_superseded(&neighbour));
        assert!(membership.is_anothers(2, &neighbour) && !membership.is_anothers(3, &neighbour));
        assert!(
            !membership.is_anothers(2, &[position(2, 1, "me")]),
            "its own attempt, whose answer was lost"
        );
        assert!(membership.is_superseded(&[position(0, 4, "successor"), position(1, 1, "me")]));
    }
}
