//! How a follower finds where its log and its leader's part (N3, D8, KIP-101, KIP-279).
//!
//! The follower asks where its last epoch ended in the leader's log. The leader answers with its largest epoch at or
//! below that one, and that epoch's end. Same epoch: the logs agree up to the smaller of the two ends. A smaller
//! epoch: what the follower has above it is foreign to the leader; it steps back to its own largest epoch at or below
//! the answer and asks again, until both speak of one epoch or the follower has none left.

use fidelog_log::EpochHistory;
use fidelog_record::types::{LeaderEpoch, Offset};

/// What the follower does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask where this epoch ended.
    Ask {
        /// The epoch.
        epoch: LeaderEpoch,
        /// Where it ends in the follower's log.
        end: Offset,
    },
    /// The logs agree up to here; cut what lies beyond.
    AgreeUpTo(Offset),
    /// The leader's log begins here, and retention passed all that the two may have shared: begin anew there.
    StartOver(Offset),
}

/// A reconciliation under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    asked: LeaderEpoch,
}

impl Reconciliation {
    /// Begins with the follower's own epochs, its log's start and its end.
    #[must_use]
    pub fn begin(epochs: &EpochHistory, start: Offset, end: Offset) -> (Self, Step) {
        match epochs.last() {
            Some(last) => (Self { asked: last.epoch }, Step::Ask { epoch: last.epoch, end }),
            None => (Self { asked: LeaderEpoch(0) }, Step::AgreeUpTo(start)),
        }
    }

    /// Takes the leader's answer. An answer to another question is ignored: `None`.
    pub fn answered(
        &mut self,
        epochs: &EpochHistory,
        start: Offset,
        end: Offset,
        answer: (LeaderEpoch, LeaderEpoch, Offset),
    ) -> Option<Step> {
        let (asked, leader_epoch, leader_end) = answer;
        if asked != self.asked {
            return None;
        }
        // Our largest epoch at or below the leader's answer, and where we end it.
        match epochs.end_of(leader_epoch, end) {
            // It holds no epoch as old as ours any more; that is its start, and all below it was committed.
            None if leader_epoch == LeaderEpoch(0) && leader_end > start => Some(Step::StartOver(leader_end)),
            None => Some(Step::AgreeUpTo(start)),
            Some((epoch, own_end)) if epoch == leader_epoch => {
                Some(Step::AgreeUpTo(own_end.min(leader_end).max(start)))
            }
            Some((epoch, own_end)) => {
                self.asked = epoch;
                Some(Step::Ask { epoch, end: own_end })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(entries: &[(u32, u64)]) -> EpochHistory {
        let mut history = EpochHistory::default();
        for &(epoch, start) in entries {
            history.append(LeaderEpoch(epoch), Offset(start)).unwrap();
        }
        history
    }

    /// The leader's side of the conversation.
    fn answer(
        leader: &EpochHistory,
        leader_end: u64,
        asked: LeaderEpoch,
    ) -> (LeaderEpoch, LeaderEpoch, Offset) {
        let (epoch, end) = leader.end_of(asked, Offset(leader_end)).unwrap_or_default();
        (asked, epoch, end)
    }

    fn agree(follower: &[(u32, u64)], end: u64, leader: &[(u32, u64)], leader_end: u64) -> Offset {
        let (follower, leader) = (history(follower), history(leader));
        let (mut talk, mut step) = Reconciliation::begin(&follower, Offset(0), Offset(end));
        for _ in 0..10 {
            match step {
                Step::AgreeUpTo(offset) | Step::StartOver(offset) => return offset,
                Step::Ask { epoch, .. } => {
                    let answer = answer(&leader, leader_end, epoch);
                    step = talk.answered(&follower, Offset(0), Offset(end), answer).expect("asked this");
                }
            }
        }
        panic!("the talk does not end");
    }

    #[test]
    fn equal_logs_agree_to_the_end() {
        assert_eq!(agree(&[(1, 0)], 10, &[(1, 0)], 10), Offset(10));
    }

    #[test]
    fn a_longer_follower_is_cut_to_the_leaders_end_of_that_epoch() {
        assert_eq!(agree(&[(1, 0)], 12, &[(1, 0), (2, 10)], 20), Offset(10));
    }

    #[test]
    fn a_shorter_follower_keeps_all_it_has() {
        assert_eq!(agree(&[(1, 0)], 4, &[(1, 0), (3, 8)], 20), Offset(4));
    }

    #[test]
    fn an_epoch_the_leader_never_had_is_dropped_step_by_step() {
        // KIP-279: epochs 2 and 4 exist on the follower only.
        assert_eq!(agree(&[(1, 0), (2, 5), (4, 8)], 10, &[(1, 0), (3, 6)], 9), Offset(5));
    }

    #[test]
    fn an_empty_follower_agrees_at_its_start() {
        assert_eq!(agree(&[], 0, &[(1, 0)], 9), Offset(0));
    }

    #[test]
    fn an_answer_to_another_question_is_ignored() {
        let follower = history(&[(1, 0), (2, 5)]);
        let (mut talk, _) = Reconciliation::begin(&follower, Offset(0), Offset(9));
        let stale = (LeaderEpoch(1), LeaderEpoch(1), Offset(5));
        assert_eq!(talk.answered(&follower, Offset(0), Offset(9), stale), None);
    }
}
