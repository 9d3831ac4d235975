//! Heartbeats on the wire, at every node that may be the active controller.
//!
//! ```text
//!   requests --read as they come, whoever is slow to take answers--> Session --newest answer--> responses
//! ```
//!
//! Always true: a heartbeat is handed to the controller when it comes, and waits for no answer of another; the
//! session ends when the stream of requests does, which is at once when the process on the other side dies.

use std::pin::Pin;
use std::sync::Arc;

use fidelog_proto::internal::v1 as wire;
use fidelog_proto::internal::v1::session_service_server::SessionService;
use fidelog_record::types::ClusterId;
use futures::{Stream, StreamExt};
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status, Streaming};

use super::session_codec::{decode_heartbeat, encode_answer};
use crate::meta::controller::active::Controller;
use crate::meta::controller::heartbeat::Told;
use crate::meta::controller::session::{Answer, Session};

/// The largest heartbeat.
pub(super) const HEARTBEAT_BYTES_MAX: usize = 16 << 10;

/// `fidelog.internal.v1.SessionService`; on a node that is no controller every call is refused.
#[derive(Clone, Debug)]
pub struct SessionServer {
    cluster: ClusterId,
    controller: Option<Arc<Controller>>,
}

impl SessionServer {
    /// A service before `controller`, when this node has one.
    #[must_use]
    pub fn new(cluster: ClusterId, controller: Option<Arc<Controller>>) -> Self {
        Self { cluster, controller }
    }
}

#[tonic::async_trait]
impl SessionService for SessionServer {
    type HeartbeatStream = Pin<Box<dyn Stream<Item = Result<wire::HeartbeatResponse, Status>> + Send>>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<wire::HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let controller = self.controller.as_ref().ok_or_else(|| {
            Status::failed_precondition("this node is no controller; check [cluster] brokers")
        })?;
        let mut requests = request.into_inner();
        let first = requests.message().await?.ok_or_else(|| Status::invalid_argument("no heartbeat came"))?;
        let first = decode_heartbeat(self.cluster, first).map_err(Status::failed_precondition)?;
        let session = controller.open();
        let answers = session.answers();
        session.heard(&first);
        tokio::spawn(hear(self.cluster, requests, session));
        let responses = WatchStream::new(answers)
            .filter_map(|answer| async move { answer })
            .scan(false, |over, answer| std::future::ready(until_not_active(over, answer)));
        Ok(Response::new(Box::pin(responses.map(|answer| Ok(encode_answer(answer))))))
    }
}

/// All answers up to the one that says to go elsewhere.
fn until_not_active(over: &mut bool, answer: Answer) -> Option<Answer> {
    let was_over = std::mem::replace(over, matches!(answer.told, Told::NotActive { .. }));
    (!was_over).then_some(answer)
}

async fn hear(cluster: ClusterId, mut requests: Streaming<wire::HeartbeatRequest>, session: Session) {
    // However it ends, the session ends with it. Stopping here is safe for the same reason.
    while let Ok(Some(request)) = requests.message().await {
        let Ok(heartbeat) = decode_heartbeat(cluster, request) else { return };
        session.heard(&heartbeat);
    }
}
