//! The watch, for brokers that are no controllers.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fidelog_proto::internal::v1 as wire;
use fidelog_proto::internal::v1::meta_service_server::MetaService;
use fidelog_record::types::{ClusterId, MetaIndex};
use futures::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use crate::meta::quorum::{MetadataQuorum, WatchError};
use crate::meta::state::Stored;

/// How often a silent watch shows a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);

/// `fidelog.internal.v1.MetaService`; on nodes that are no controllers every call is refused.
#[derive(Clone, Debug)]
pub struct MetaServer {
    cluster: ClusterId,
    quorum: Option<Arc<dyn MetadataQuorum>>,
}

impl MetaServer {
    /// A service over `quorum`, when this node is a controller.
    #[must_use]
    pub fn new(cluster: ClusterId, quorum: Option<Arc<dyn MetadataQuorum>>) -> Self {
        Self { cluster, quorum }
    }

    fn quorum(&self, cluster_id: &[u8]) -> Result<&Arc<dyn MetadataQuorum>, Status> {
        if cluster_id != self.cluster.as_bytes() {
            return Err(Status::failed_precondition(format!(
                "this broker belongs to cluster {}; the caller to another; check the addresses",
                self.cluster
            )));
        }
        let reason = "this node is no controller; ask one of those that the configuration names";
        self.quorum.as_ref().ok_or_else(|| Status::failed_precondition(reason))
    }
}

#[tonic::async_trait]
impl MetaService for MetaServer {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<wire::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let quorum = self.quorum(&request.cluster_id)?;
        let events = quorum.watch(MetaIndex(request.from_index));
        let stream = tokio_stream::StreamExt::timeout_repeating(events, tokio::time::interval(SIGN_OF_LIFE))
            .map(|item| match item {
                Err(_) => Ok(wire::WatchResponse { event: Bytes::new() }),
                Ok(Ok(event)) => Ok(wire::WatchResponse { event: event.to_bytes().into() }),
                Ok(Err(WatchError::Lost { reason })) => Err(Status::unavailable(reason)),
                Ok(Err(error)) => Err(Status::data_loss(error.to_string())),
            });
        Ok(Response::new(Box::pin(stream)))
    }
}
