//! What arrives from other controllers.

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, InstallSnapshotRequest, VoteRequest};

use super::leadership::{Leads, NoRound};
use super::network::{parse, reply};
use super::proposer::NotDecided;
use super::quorum::{Inner, RaftQuorum};
use super::types::{NodeId, TypeConfig};
use super::wire::{Answer, Question, RaftKind, RaftMessage};

impl RaftQuorum {
    /// Takes a message of another controller's library and gives the answer.
    ///
    /// # Errors
    /// Why it was not taken: definite.
    pub async fn receive(&self, kind: RaftKind, message: RaftMessage) -> Result<RaftMessage, String> {
        let inner = &self.inner;
        inner.seat.check(&message)?;
        if inner.leadership.is_full() {
            // The library would keep it, and whatever is sent after it, in memory for as long as the disk is full.
            return Err(format!("the disk of broker {} is full", inner.seat.broker()));
        }
        let raft = &inner.raft;
        let body = match kind {
            RaftKind::Append => {
                let rpc: AppendEntriesRequest<TypeConfig> = parse(&message)?;
                reply(&raft.append_entries(rpc).await)
            }
            RaftKind::Vote => {
                let rpc: VoteRequest<NodeId> = parse(&message)?;
                reply(&raft.vote(rpc).await)
            }
            RaftKind::InstallSnapshot => {
                let mut rpc: InstallSnapshotRequest<TypeConfig> = parse(&message)?;
                rpc.data = message.chunk.into();
                reply(&raft.install_snapshot(rpc).await)
            }
        };
        Ok(inner.seat.message(message.from.node, body, Bytes::new()))
    }

    /// Answers what another node asked.
    pub async fn answer(&self, question: Question) -> Answer {
        self.inner.answer(question).await
    }
}

impl Inner {
    /// Answers what another node asked.
    pub(super) async fn answer(&self, question: Question) -> Answer {
        let forwarded = match &question {
            Question::Propose { forwarded, .. }
            | Question::Confirm { forwarded }
            | Question::ChangeVoters { forwarded, .. }
            | Question::Describe { forwarded } => *forwarded,
            Question::Announce { .. } => false,
        };
        if forwarded && !self.leadership.is_mine() {
            return self.not_leader();
        }
        match question {
            Question::Announce { controller } => self.members.hear(controller),
            Question::Describe { .. } => Answer::Described { status: Box::new(self.describe().await) },
            Question::ChangeVoters { change, .. } => {
                Answer::Changed { result: self.change_voters(change).await }
            }
            Question::Confirm { forwarded: true } => match self.confirm_here().await {
                Ok(index) => Answer::Confirmed { index },
                Err(NoRound::NotLeader) => self.not_leader(),
                Err(NoRound::Unconfirmed(reason) | NoRound::Stopped(reason)) => {
                    Answer::Unavailable { reason }
                }
            },
            Question::Confirm { forwarded: false } => match self.confirm().await {
                Ok(index) => Answer::Confirmed { index },
                Err(unconfirmed) => Answer::Unavailable { reason: unconfirmed.reason },
            },
            Question::Propose { proposal, forwarded: true } => match self.propose_here(*proposal).await {
                Ok(accepted) => Answer::Proposed { result: Ok(accepted) },
                Err(NotDecided::Error(error)) => Answer::Proposed { result: Err(error) },
                Err(NotDecided::NotLeader) => self.not_leader(),
            },
            Question::Propose { proposal, forwarded: false } => {
                Answer::Proposed { result: self.propose(*proposal).await }
            }
        }
    }

    fn not_leader(&self) -> Answer {
        let leader = match self.leadership.now() {
            Leads::Other(voter) => Some(voter.broker),
            Leads::Me | Leads::Nobody => None,
        };
        Answer::NotLeader { leader }
    }
}
