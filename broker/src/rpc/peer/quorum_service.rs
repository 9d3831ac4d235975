//! What controllers and brokers ask of this node's controller.

use fidelog_proto::internal::v1 as wire;
use fidelog_proto::internal::v1::quorum_service_server::QuorumService;
use fidelog_record::types::ClusterId;
use tonic::{Request, Response, Status};

use super::quorum_codec::{decode, encode};
use crate::meta::quorum::MetadataQuorum;
use crate::meta::raft::{Question, RaftKind, RaftQuorum};
use crate::meta::state::Stored;

/// `fidelog.internal.v1.QuorumService`; on nodes that are no controllers every call is refused.
#[derive(Clone, Debug)]
pub struct QuorumServer {
    cluster: ClusterId,
    controller: Option<RaftQuorum>,
}

impl QuorumServer {
    /// A service over `controller`, when this node is one.
    #[must_use]
    pub fn new(cluster: ClusterId, controller: Option<RaftQuorum>) -> Self {
        Self { cluster, controller }
    }

    fn controller(&self) -> Result<&RaftQuorum, Status> {
        let reason = "this node is no controller; ask one of those that the configuration names";
        self.controller.as_ref().ok_or_else(|| Status::failed_precondition(reason))
    }

    async fn take(
        &self,
        kind: RaftKind,
        request: Request<wire::RaftMessage>,
    ) -> Result<Response<wire::RaftMessage>, Status> {
        let controller = self.controller()?;
        let message = decode(request.into_inner()).map_err(Status::failed_precondition)?;
        let answer = controller.receive(kind, message).await.map_err(Status::failed_precondition)?;
        Ok(Response::new(encode(answer)))
    }
}

#[tonic::async_trait]
impl QuorumService for QuorumServer {
    async fn append(
        &self,
        request: Request<wire::RaftMessage>,
    ) -> Result<Response<wire::RaftMessage>, Status> {
        self.take(RaftKind::Append, request).await
    }

    async fn vote(&self, request: Request<wire::RaftMessage>) -> Result<Response<wire::RaftMessage>, Status> {
        self.take(RaftKind::Vote, request).await
    }

    async fn install_snapshot(
        &self,
        request: Request<wire::RaftMessage>,
    ) -> Result<Response<wire::RaftMessage>, Status> {
        self.take(RaftKind::InstallSnapshot, request).await
    }

    async fn ask(&self, request: Request<wire::AskRequest>) -> Result<Response<wire::AskResponse>, Status> {
        let wire::AskRequest { cluster_id, question } = request.into_inner();
        if cluster_id != self.cluster.as_bytes().as_slice() {
            return Err(Status::failed_precondition(format!(
                "this node belongs to cluster {}, the caller to another; check the addresses",
                self.cluster
            )));
        }
        let controller = self.controller()?;
        let question = Question::from_bytes(&question)
            .map_err(|error| Status::failed_precondition(format!("a question cannot be read: {error}")))?;
        let answer = controller.answer(question).await.to_bytes().into();
        let leader = controller.status().leader.map_or(0, |leader| leader.0);
        Ok(Response::new(wire::AskResponse { answer, leader }))
    }
}
