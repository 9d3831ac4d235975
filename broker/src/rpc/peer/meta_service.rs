//! The quorum's side of the wire: proposals in, the watch out. A broker's watch is its session.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fidelog_proto::internal::v1 as wire;
use fidelog_proto::internal::v1::meta_service_server::MetaService;
use fidelog_record::types::{BrokerEpoch, BrokerId, ClusterId, MetaIndex};
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use tonic::{Request, Response, Status};

use crate::meta::quorum::{MetadataQuorum, ProposeError, WatchError};
use crate::meta::state::{Proposal, Stored};

/// How often a silent watch shows a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);

/// Which brokers have a session, volatile (N13).
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<BrokerId, BrokerEpoch>>,
}

impl Sessions {
    /// Whether a process of this broker has a session.
    #[must_use]
    pub fn is_open(&self, broker: BrokerId) -> bool {
        self.open.lock().contains_key(&broker)
    }

    fn open(self: &Arc<Self>, broker: BrokerId, epoch: BrokerEpoch) -> Session {
        self.open.lock().insert(broker, epoch);
        Session { sessions: Arc::clone(self), broker, epoch }
    }
}

/// Ends when the watch ends, however it ends.
struct Session {
    sessions: Arc<Sessions>,
    broker: BrokerId,
    epoch: BrokerEpoch,
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut open = self.sessions.open.lock();
        if open.get(&self.broker) == Some(&self.epoch) {
            open.remove(&self.broker);
        }
    }
}

/// `fidelog.internal.v1.MetaService`; on brokers that are not the quorum every call is refused.
#[derive(Clone, Debug)]
pub struct MetaServer {
    cluster: ClusterId,
    quorum: Option<Arc<dyn MetadataQuorum>>,
    sessions: Arc<Sessions>,
}

impl MetaServer {
    /// A service over `quorum`, when this broker is one.
    #[must_use]
    pub fn new(cluster: ClusterId, quorum: Option<Arc<dyn MetadataQuorum>>, sessions: Arc<Sessions>) -> Self {
        Self { cluster, quorum, sessions }
    }

    fn quorum(&self, cluster_id: &[u8]) -> Result<&Arc<dyn MetadataQuorum>, Status> {
        if cluster_id != self.cluster.as_bytes() {
            return Err(Status::failed_precondition(format!(
                "this broker belongs to cluster {}; the caller to another; check the addresses",
                self.cluster
            )));
        }
        self.quorum.as_ref().ok_or_else(|| {
            Status::failed_precondition("this broker does not decide metadata; the one of the lowest id does")
        })
    }
}

#[tonic::async_trait]
impl MetaService for MetaServer {
    async fn propose(
        &self,
        request: Request<wire::ProposeRequest>,
    ) -> Result<Response<wire::ProposeResponse>, Status> {
        use wire::propose_response::Result as Outcome;
        let request = request.into_inner();
        let quorum = self.quorum(&request.cluster_id)?;
        let mut proposal = Proposal::from_bytes(&request.proposal)
            .map_err(|error| Status::failed_precondition(format!("a proposal cannot be read: {error}")))?;
        if let Proposal::RegisterBroker { registration } = &mut proposal {
            registration.former_session_alive = self.sessions.is_open(registration.id);
        }
        let result = match quorum.propose(proposal).await {
            Ok(accepted) => Outcome::Accepted(accepted.to_bytes().into()),
            Err(refused) => Outcome::Refused(ProposeError::to_bytes(&refused).into()),
        };
        Ok(Response::new(wire::ProposeResponse { result: Some(result) }))
    }

    async fn confirm(
        &self,
        request: Request<wire::ConfirmRequest>,
    ) -> Result<Response<wire::ConfirmResponse>, Status> {
        let quorum = self.quorum(&request.into_inner().cluster_id)?;
        match quorum.confirm().await {
            Ok(index) => Ok(Response::new(wire::ConfirmResponse { index: index.0 })),
            Err(unconfirmed) => Err(Status::unavailable(unconfirmed.reason)),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<wire::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let quorum = self.quorum(&request.cluster_id)?;
        let session = (request.broker_epoch != 0)
            .then(|| self.sessions.open(BrokerId(request.broker_id), BrokerEpoch(request.broker_epoch)));
        let events = quorum.watch(MetaIndex(request.from_index));
        let stream = tokio_stream::StreamExt::timeout_repeating(events, tokio::time::interval(SIGN_OF_LIFE))
            .map(move |item| {
                let _alive = &session;
                match item {
                    Err(_) => Ok(wire::WatchResponse { event: Bytes::new() }),
                    Ok(Ok(event)) => Ok(wire::WatchResponse { event: event.to_bytes().into() }),
                    Ok(Err(WatchError::Lost { reason })) => Err(Status::unavailable(reason)),
                    Ok(Err(error)) => Err(Status::data_loss(error.to_string())),
                }
            });
        Ok(Response::new(Box::pin(stream)))
    }
}
