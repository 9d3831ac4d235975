//! What a controller that does not lead asks of the one who does.
//!
//! Always true: a question that was passed on is not passed on again; who said that it does not lead, or was never
//! reached, has done nothing, and another may be asked; what may have been done somewhere is not asked elsewhere.

use std::time::Duration;

use fidelog_record::types::{BrokerId, MetaIndex};
use tokio::time::{Instant, timeout_at};

use super::leadership::{Leads, NoRound};
use super::proposer::NotDecided;
use super::quorum::{Inner, LOOK_MAX};
use super::wire::{Answer, CallError, Question};
use crate::meta::quorum::{Accepted, ProposeError, QuorumStatus, Unconfirmed, VoterChange};
use crate::meta::state::Proposal;

/// Pause before a leader that just said no is asked again.
const AGAIN: Duration = Duration::from_millis(50);
/// How long another may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

const NOBODY: &str = "nobody leads the metadata quorum at present";

impl Inner {
    async fn ask(&self, broker: BrokerId, address: &str, question: Question) -> Result<Answer, CallError> {
        let call = self.wire.ask(broker, address, question);
        match timeout_at(Instant::now() + ANSWER_MAX, call).await {
            Ok(answered) => answered,
            Err(_) => Err(CallError::Lost {
                reason: format!("broker {broker} did not answer within {ANSWER_MAX:?}"),
            }),
        }
    }

    /// Asks whoever leads: as this controller knows it, or, while it waits for its disk and knows nothing, each of the
    /// others in turn. None when it is this one.
    async fn ask_leader(&self, deadline: Instant, question: &Question) -> Option<Result<Answer, CallError>> {
        match self.leadership.somebody(deadline).await {
            Leads::Me => None,
            Leads::Other(voter) => {
                Some(self.ask(voter.broker, &self.seat.address_of(&voter), question.clone()).await)
            }
            Leads::Nobody if self.leadership.is_full() => Some(self.ask_each(question).await),
            Leads::Nobody => Some(Ok(Answer::NotLeader { leader: None })),
        }
    }

    async fn ask_each(&self, question: &Question) -> Result<Answer, CallError> {
        for (broker, address) in self.seat.others() {
            match self.ask(broker, address, question.clone()).await {
                Ok(Answer::NotLeader { .. }) | Err(CallError::NotTaken { .. }) => {}
                answered => return answered,
            }
        }
        Ok(Answer::NotLeader { leader: None })
    }

    pub(super) async fn propose(&self, proposal: Proposal) -> Result<Accepted, ProposeError> {
        let deadline = Instant::now() + LOOK_MAX;
        let mut reason = NOBODY.to_owned();
        let question = Question::Propose { proposal: Box::new(proposal.clone()), forwarded: true };
        loop {
            match self.ask_leader(deadline, &question).await {
                None => match self.propose_here(proposal.clone()).await {
                    Ok(accepted) => return Ok(accepted),
                    Err(NotDecided::Error(error)) => return Err(error),
                    Err(NotDecided::NotLeader) => {}
                },
                Some(Ok(Answer::NotLeader { .. })) => {}
                Some(Err(CallError::NotTaken { reason: why })) => reason = why,
                Some(answered) => return Answer::proposed(answered),
            }
            if Instant::now() + AGAIN >= deadline {
                return Err(ProposeError::Unavailable { reason });
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    pub(super) async fn confirm(&self) -> Result<MetaIndex, Unconfirmed> {
        let deadline = Instant::now() + LOOK_MAX;
        let mut reason = NOBODY.to_owned();
        let question = Question::Confirm { forwarded: true };
        loop {
            match self.ask_leader(deadline, &question).await {
                None => match self.confirm_here().await {
                    Ok(index) => return Ok(index),
                    Err(NoRound::NotLeader) => {}
                    Err(NoRound::Unconfirmed(why)) => reason = why,
                    Err(NoRound::Stopped(reason)) => return Err(Unconfirmed { reason }),
                },
                Some(Ok(Answer::NotLeader { .. })) => {}
                Some(answered) => match Answer::confirmed(answered) {
                    Ok(index) => return Ok(index),
                    Err(unconfirmed) => reason = unconfirmed.reason,
                },
            }
            if Instant::now() + AGAIN >= deadline {
                return Err(Unconfirmed { reason });
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    pub(super) async fn change_voters(&self, change: VoterChange) -> Result<(), ProposeError> {
        let question = Question::ChangeVoters { change, forwarded: true };
        match self.ask_leader(Instant::now() + LOOK_MAX, &question).await {
            None => self.members.change(change).await,
            Some(answered) => Answer::changed(answered),
        }
    }

    pub(super) async fn describe(&self) -> QuorumStatus {
        let question = Question::Describe { forwarded: true };
        match self.ask_leader(Instant::now() + LOOK_MAX, &question).await {
            Some(Ok(Answer::Described { status })) => *status,
            _ => self.status(),
        }
    }
}
