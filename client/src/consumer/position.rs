//! Where a consumer stands, and committing it for its group (G8, N18).
//!
//! A position is the first offset not yet processed, with the epoch of the record before it. Commits carry the
//! generation that was granted when the positions were opened; an older one is fenced and ends the consumer.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use fidelog_proto::Certainty;
use fidelog_proto::v1::{self, Reason};
use fidelog_record::types::{Generation, LeaderEpoch, TopicId};

use crate::admin::positions;
use crate::backoff;
use crate::calls::Repeat;
use crate::client::Core;
use crate::error::{Refusal, RequestError};

use super::Consumer;
use super::batch::ConsumedBatch;
use super::error::{CommitError, ConsumeError};

/// Where reading of one partition goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerPosition {
    /// The partition.
    pub partition: u32,
    /// The first offset not yet delivered, or, when committed, not yet processed.
    pub offset: u64,
    /// Epoch of the record before it; 0: unknown.
    pub leader_epoch: LeaderEpoch,
}

/// A group's positions, as this consumer holds them.
#[derive(Debug)]
pub(crate) struct GroupPositions {
    group: String,
    held: BTreeMap<u32, v1::Position>,
}

impl GroupPositions {
    /// Takes the positions over. Doing so twice raises the generation twice and harms nobody else; the generation to
    /// hold is the last one, so it is done one at a time.
    pub(crate) async fn open(
        core: &Core,
        group: &str,
        topic: &str,
        topic_id: TopicId,
        partitions: &[u32],
        owner: &str,
    ) -> Result<Self, RequestError> {
        let request = v1::OpenPositionsRequest {
            group: group.to_owned(),
            topic: topic.to_owned(),
            topic_id: Bytes::copy_from_slice(topic_id.as_bytes()),
            partitions: partitions.to_vec(),
            owner: owner.to_owned(),
        };
        let answer = core
            .call(Repeat::InTurn, |channel| {
                let request = request.clone();
                async move { positions(channel).open_positions(request).await }
            })
            .await?;
        let held: BTreeMap<u32, v1::Position> =
            answer.positions.into_iter().map(|position| (position.partition, position)).collect();
        match partitions.iter().all(|partition| held.contains_key(partition)) {
            true => Ok(Self { group: group.to_owned(), held }),
            false => Err(RequestError::Malformed("a position for every partition that was opened")),
        }
    }

    /// The generations that are held, by partition.
    pub(crate) fn generations(&self) -> impl Iterator<Item = (u32, u64)> {
        self.held.values().map(|position| (position.partition, position.generation))
    }

    /// Holds these as well.
    pub(crate) fn extend(&mut self, more: Self) {
        self.held.extend(more.held);
    }

    /// Where the group stands; `None`: nowhere yet, which is not offset 0.
    pub(crate) fn stored(&self, partition: u32) -> Option<u64> {
        self.held.get(&partition)?.offset
    }

    /// The epoch stored with a position, if it is this one.
    pub(crate) fn epoch_at(&self, partition: u32, offset: u64) -> LeaderEpoch {
        let held = self.held.get(&partition).filter(|position| position.offset == Some(offset));
        LeaderEpoch(held.map_or(0, |position| position.leader_epoch))
    }
}

impl ConsumedBatch {
    /// The position behind its last record: what to commit once all of it is processed.
    #[must_use]
    pub fn end_position(&self) -> ConsumerPosition {
        ConsumerPosition {
            partition: self.partition().0,
            offset: self.end(),
            leader_epoch: self.last_epoch(),
        }
    }
}

impl super::ConsumedRecord {
    /// The position behind it: what to commit once it is processed.
    #[must_use]
    pub fn end_position(&self) -> ConsumerPosition {
        ConsumerPosition {
            partition: self.partition,
            offset: self.offset + 1,
            leader_epoch: self.leader_epoch,
        }
    }
}

impl Consumer {
    /// Where every partition stands: behind the last record that was delivered to the program. A partition whose
    /// leader has not told yet where reading begins is not among them.
    #[must_use]
    pub fn position(&self) -> Vec<ConsumerPosition> {
        self.positions.values().copied().collect()
    }

    pub(super) fn move_to(&mut self, partition: u32, offset: u64, epoch: LeaderEpoch) {
        let moved = ConsumerPosition { partition, offset, leader_epoch: epoch };
        let position = self.positions.entry(partition).or_insert(moved);
        if offset != position.offset {
            *position = moved;
        }
    }

    /// Commits everything delivered so far: call it when all of it is processed.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub async fn commit_processed(&mut self) -> Result<(), CommitError> {
        let held = self.group.as_ref().ok_or(CommitError::NoGroup)?;
        let stored = |position: &ConsumerPosition| held.stored(position.partition) == Some(position.offset);
        let moved: Vec<_> = self.positions.values().filter(|position| !stored(position)).copied().collect();
        self.commit(&moved).await
    }

    /// Commits these positions for the group. Returns once they are as durable as data. Repeating it does no harm;
    /// a position below what is stored changes nothing.
    ///
    /// # Errors
    /// [`CommitError::Fenced`] when somebody else took over, or the position was reset: the consumer is over.
    pub async fn commit(&mut self, ends: &[ConsumerPosition]) -> Result<(), CommitError> {
        let held = self.group.as_ref().ok_or(CommitError::NoGroup)?;
        if ends.is_empty() {
            return Ok(());
        }
        let commits = ends.iter().map(|position| {
            let partition = position.partition;
            let ours = held.held.get(&partition).ok_or(CommitError::NotOurs { partition })?;
            Ok(v1::PositionCommit {
                partition,
                offset: position.offset,
                leader_epoch: position.leader_epoch.0,
                generation: ours.generation,
            })
        });
        let mut request = v1::CommitPositionsRequest {
            group: held.group.clone(),
            topic_id: Bytes::copy_from_slice(self.topic_id.as_bytes()),
            commits: commits.collect::<Result<_, CommitError>>()?,
        };
        let give_up_at = Instant::now() + self.core.request_timeout;
        let mut outcome = Ok(());
        let mut failures = 0;
        loop {
            let budget = give_up_at.saturating_duration_since(Instant::now());
            let asked = self.core.call_within(budget, Repeat::Always, |channel| {
                let request = request.clone();
                async move { positions(channel).commit_positions(request).await }
            });
            let mut answer = asked.await?;
            failures += 1;
            let wait = backoff::search(failures, rand::random());
            let passing = match Instant::now() + wait < give_up_at {
                true => take_passing(&mut answer),
                false => Vec::new(),
            };
            let judged = self.judge(answer);
            outcome = outcome.and(judged);
            if passing.is_empty() || self.over {
                return outcome;
            }
            // Their owner is on its way to another broker.
            request.commits.retain(|commit| passing.contains(&commit.partition));
            tokio::time::sleep(wait).await;
        }
    }

    fn judge(&mut self, answer: v1::CommitPositionsResponse) -> Result<(), CommitError> {
        let Some(held) = self.group.as_mut() else { return Err(CommitError::NoGroup) };
        let mut outcome = Ok(());
        for result in answer.results {
            let partition = result.partition;
            match (result.error, result.position) {
                (None, Some(position)) => {
                    held.held.insert(partition, position);
                }
                (None, None) => {}
                (Some(error), _) => {
                    let error = held.refused(partition, Refusal::from_wire(error));
                    if let CommitError::Fenced { group, partition, .. } = &error {
                        self.over = true;
                        self.fenced =
                            Some(ConsumeError::Fenced { group: group.clone(), partition: *partition });
                    }
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome
    }
}

/// Takes out what was refused for a while only, or left open: repeating a commit does no harm.
fn take_passing(answer: &mut v1::CommitPositionsResponse) -> Vec<u32> {
    let passes = |result: &v1::PositionResult| {
        let meaning = result.error.as_ref().map(|error| error.reason().meaning());
        meaning.is_some_and(|meaning| meaning.retriable || meaning.certainty == Certainty::Unknown)
    };
    let passing =
        answer.results.iter().filter(|result| passes(result)).map(|result| result.partition).collect();
    answer.results.retain(|result| !passes(result));
    passing
}

impl GroupPositions {
    fn refused(&self, partition: u32, refusal: Refusal) -> CommitError {
        let generation = Generation(self.held.get(&partition).map_or(0, |position| position.generation));
        match refusal.reason {
            Reason::FencedGeneration => {
                CommitError::Fenced { group: self.group.clone(), partition, generation }
            }
            _ => CommitError::Refused { partition, refusal: Box::new(refusal) },
        }
    }
}
