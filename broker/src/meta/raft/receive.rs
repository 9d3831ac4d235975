//! What arrives from other controllers.

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, InstallSnapshotRequest, VoteRequest};

use super::network::{parse, reply};
use super::quorum::RaftQuorum;
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
