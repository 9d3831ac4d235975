//! How the library's messages leave: as bytes, over the wire.
//!
//! Always true: a call fails as soon as the wire says so and is never repeated here; how long it may take and when it
//! is sent again is the library's to say.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::error::{
    Infallible, InstallSnapshotError, NetworkError, PayloadTooLarge, RPCError, RaftError, RemoteError,
    Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::heard::Heard;
use super::seat::Seat;
use super::types::{NodeId, TypeConfig, Voter};
use super::wire::{CallError, QuorumWire, RaftKind, RaftMessage};
use crate::meta::state::{decode, encode};

/// The largest body of one message; a message between brokers may have 16 MiB.
const BODY_BYTES_MAX: usize = 12 << 20;
/// Pause after a controller could not be reached.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the ways to the others.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) seat: Arc<Seat>,
    pub(super) wire: Arc<dyn QuorumWire>,
    pub(super) heard: Heard,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Way;

    async fn new_client(&mut self, target: NodeId, node: &Voter) -> Way {
        let (seat, wire, heard) = (Arc::clone(&self.seat), Arc::clone(&self.wire), self.heard.clone());
        Way { seat, wire, heard, target, voter: node.clone() }
    }
}

/// The way to one of the others.
#[derive(Debug)]
pub(super) struct Way {
    seat: Arc<Seat>,
    wire: Arc<dyn QuorumWire>,
    heard: Heard,
    target: NodeId,
    voter: Voter,
}

type Failed<E = Infallible> = RPCError<NodeId, Voter, RaftError<NodeId, E>>;

impl Way {
    async fn call<R, E>(&self, kind: RaftKind, body: Vec<u8>, chunk: Bytes) -> Result<R, Failed<E>>
    where
        R: DeserializeOwned,
        E: std::error::Error + DeserializeOwned + 'static,
    {
        let message = self.seat.message(self.target, body, chunk);
        let address = self.seat.address_of(&self.voter);
        let answer = self
            .wire
            .raft(self.voter.broker, &address, kind, message)
            .await
            .map_err(|error| failed(&error))?;
        if let Err(reason) = self.seat.check(&answer) {
            return Err(failed(&CallError::NotTaken { reason }));
        }
        self.heard.answered(self.target);
        let result: Result<R, RaftError<NodeId, E>> =
            decode(&answer.body).map_err(|error| failed(&CallError::Lost { reason: error.to_string() }))?;
        result.map_err(|error| {
            RPCError::RemoteError(RemoteError::new_with_node(self.target, self.voter.clone(), error))
        })
    }
}

fn failed<E: std::error::Error>(error: &CallError) -> Failed<E> {
    match error {
        CallError::NotTaken { .. } => RPCError::Unreachable(Unreachable::new(error)),
        CallError::Lost { .. } => RPCError::Network(NetworkError::new(error)),
    }
}

/// The answer to a message as it is sent back.
pub(super) fn reply<R: Serialize, E: Serialize>(result: &Result<R, RaftError<NodeId, E>>) -> Vec<u8> {
    encode(result)
}

/// The message the body of `message` holds.
pub(super) fn parse<T: DeserializeOwned>(message: &RaftMessage) -> Result<T, String> {
    decode(&message.body).map_err(|error| format!("a message of the quorum cannot be read: {error}"))
}

impl RaftNetwork<TypeConfig> for Way {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, Failed> {
        let body = encode(&rpc);
        if body.len() > BODY_BYTES_MAX && rpc.entries.len() > 1 {
            let half = rpc.entries.len() as u64 / 2;
            return Err(RPCError::PayloadTooLarge(PayloadTooLarge::new_entries_hint(half)));
        }
        self.call(RaftKind::Append, body, Bytes::new()).await
    }

    async fn install_snapshot(
        &mut self,
        mut rpc: InstallSnapshotRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<NodeId>, Failed<InstallSnapshotError>> {
        let chunk = std::mem::take(&mut rpc.data);
        self.call(RaftKind::InstallSnapshot, encode(&rpc), chunk.into()).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<NodeId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, Failed> {
        self.call(RaftKind::Vote, encode(&rpc), Bytes::new()).await
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(PAUSE))
    }
}
