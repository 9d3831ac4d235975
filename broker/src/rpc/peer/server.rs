//! The listener for brokers: replication and the quorum, beside the public services that others forward to here.

use std::sync::Arc;

use fidelog_proto::internal::v1::meta_service_server::MetaServiceServer;
use fidelog_proto::internal::v1::quorum_service_server::QuorumServiceServer;
use fidelog_proto::internal::v1::replication_service_server::ReplicationServiceServer;
use fidelog_proto::internal::v1::session_service_server::SessionServiceServer;
use fidelog_record::types::limits::MESSAGE_BYTES_MAX;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::session_service::HEARTBEAT_BYTES_MAX;
use super::{MetaServer, QuorumServer, ReplicationServer, SessionServer};
use crate::rpc::context::Context;
use crate::rpc::health::Health;
use crate::rpc::listen::ListenLimits;
use crate::rpc::server::{public_routes, serve};

/// A frame of pushes carries at least one batch, and may pass its target by one.
const FRAME_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

/// The services between brokers.
#[derive(Clone, Debug)]
pub struct Internal {
    /// Followers.
    pub replication: ReplicationServer,
    /// The watch.
    pub meta: MetaServer,
    /// The quorum.
    pub quorum: QuorumServer,
    /// Heartbeats.
    pub sessions: SessionServer,
}

/// Serves brokers until `stopping`.
///
/// # Errors
/// What ends a server early.
pub async fn peer_server(
    context: Arc<Context>,
    health: Health,
    listener: TcpListener,
    internal: Internal,
    stopping: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let replication =
        ReplicationServiceServer::new(internal.replication).max_decoding_message_size(FRAME_BYTES_MAX);
    let meta = MetaServiceServer::new(internal.meta).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let quorum = QuorumServiceServer::new(internal.quorum)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let sessions =
        SessionServiceServer::new(internal.sessions).max_decoding_message_size(HEARTBEAT_BYTES_MAX);
    let routes = public_routes(&context, &health)
        .add_service(replication)
        .add_service(meta)
        .add_service(quorum)
        .add_service(sessions);
    serve(&context, routes, listener, ListenLimits::PEERS, stopping).await
}
