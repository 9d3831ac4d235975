//! The ways to the other controllers: what one controller says to another.
//!
//! Always true: the library's messages and questions have a connection each, so that a large snapshot, or many
//! proposals, never delay a heartbeat; a call that could not be sent is told apart from one whose answer was lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fidelog_proto::internal::v1 as wire;
use fidelog_proto::internal::v1::quorum_service_client::QuorumServiceClient;
use fidelog_record::types::limits::MESSAGE_BYTES_MAX;
use fidelog_record::types::{BrokerId, ClusterId};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tonic::transport::Channel;
use tonic::{Code, ConnectError, Status};

use super::quorum_codec::{decode, encode};
use super::way::{Pauses, Way};
use crate::meta::raft::{Answer, CallError, Question, QuorumWire, RaftKind, RaftMessage};
use crate::meta::state::Stored;

/// Elections wait for connections: a controller that is back must be heard soon.
const PAUSES: Pauses = Pauses { min: Duration::from_millis(50), max: Duration::from_millis(300) };
/// Ways that are kept; members come and go, addresses rarely.
const WAYS_MAX: usize = 64;

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Lane {
    /// Heartbeats, votes, entries.
    Raft,
    /// Pieces of snapshots, and questions.
    Other,
}

/// The ways, by address.
#[derive(Debug)]
pub struct GrpcQuorumWire {
    cluster: ClusterId,
    runtime: tokio::runtime::Handle,
    ways: Mutex<HashMap<(String, Lane), Arc<Way>>>,
}

pub(super) fn client(channel: Channel) -> QuorumServiceClient<Channel> {
    QuorumServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// What a call that failed comes to. A connection that was made again and failed has sent nothing.
fn failed(way: &Way, connection: u64, status: &Status, whom: &str) -> CallError {
    let message = status.message();
    if status.code() == Code::FailedPrecondition {
        return CallError::NotTaken { reason: message.to_owned() };
    }
    way.broke(connection);
    let reason = format!("the way to {whom} broke: {message}");
    if is_unsent(status) { CallError::NotTaken { reason } } else { CallError::Lost { reason } }
}

fn is_unsent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A question on its way.
pub(super) async fn ask(
    way: &Way,
    cluster: ClusterId,
    broker: BrokerId,
    question: &Question,
) -> Result<(Answer, Option<BrokerId>), CallError> {
    let lost = |reason: String| CallError::Lost { reason };
    let connected = way
        .open()
        .await
        .map_err(|why| CallError::NotTaken { reason: format!("broker {broker} cannot be reached: {why}") })?;
    let request = wire::AskRequest {
        cluster_id: Bytes::copy_from_slice(cluster.as_bytes()),
        question: question.to_bytes().into(),
    };
    match client(connected.channel).ask(request).await {
        Ok(response) => {
            way.works();
            let wire::AskResponse { answer, leader } = response.into_inner();
            let answer = Answer::from_bytes(&answer).map_err(|error| lost(error.to_string()))?;
            Ok((answer, (leader != 0).then_some(BrokerId(leader))))
        }
        Err(status) => Err(failed(way, connected.number, &status, &format!("broker {broker}"))),
    }
}

impl GrpcQuorumWire {
    /// No ways yet. Connections live on the runtime this is called in.
    #[must_use]
    pub fn new(cluster: ClusterId) -> Self {
        Self { cluster, runtime: tokio::runtime::Handle::current(), ways: Mutex::default() }
    }

    fn way(&self, address: &str, lane: Lane) -> Result<Arc<Way>, CallError> {
        let mut ways = self.ways.lock();
        let key = (address.to_owned(), lane);
        if let Some(way) = ways.get(&key) {
            return Ok(Arc::clone(way));
        }
        if ways.len() >= WAYS_MAX {
            ways.clear();
        }
        let way = Way::new(address, PAUSES, self.runtime.clone()).map_err(|why| CallError::NotTaken {
            reason: format!("address {address:?} of a controller: {why}"),
        })?;
        let way = Arc::new(way);
        ways.insert(key, Arc::clone(&way));
        Ok(way)
    }
}

async fn call(way: &Way, kind: RaftKind, message: RaftMessage) -> Result<RaftMessage, CallError> {
    let connected = way.open().await.map_err(|reason| CallError::NotTaken { reason })?;
    let mut client = client(connected.channel);
    let message = encode(message);
    let answered = match kind {
        RaftKind::Append => client.append(message).await,
        RaftKind::Vote => client.vote(message).await,
        RaftKind::InstallSnapshot => client.install_snapshot(message).await,
    };
    match answered {
        Ok(answer) => {
            way.works();
            decode(answer.into_inner()).map_err(|reason| CallError::Lost { reason })
        }
        Err(status) => Err(failed(way, connected.number, &status, "a controller")),
    }
}

impl QuorumWire for GrpcQuorumWire {
    fn raft(
        &self,
        _broker: BrokerId,
        address: &str,
        kind: RaftKind,
        message: RaftMessage,
    ) -> BoxFuture<'static, Result<RaftMessage, CallError>> {
        let lane = match kind {
            RaftKind::Append | RaftKind::Vote => Lane::Raft,
            RaftKind::InstallSnapshot => Lane::Other,
        };
        let way = self.way(address, lane);
        async move { call(way?.as_ref(), kind, message).await }.boxed()
    }

    fn ask(
        &self,
        broker: BrokerId,
        address: &str,
        question: Question,
    ) -> BoxFuture<'static, Result<Answer, CallError>> {
        let (way, cluster) = (self.way(address, Lane::Other), self.cluster);
        async move { Ok(ask(way?.as_ref(), cluster, broker, &question).await?.0) }.boxed()
    }
}
