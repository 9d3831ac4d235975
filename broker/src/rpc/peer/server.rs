//! The listener for brokers: replication and the quorum, beside the public services that others forward to here.

use std::sync::Arc;

use fidelog_proto::internal::v1::meta_service_server::MetaServiceServer;
use fidelog_proto::internal::v1::replication_service_server::ReplicationServiceServer;
use fidelog_record::types::limits::MESSAGE_BYTES_MAX;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{MetaServer, ReplicationServer};
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
    /// The quorum.
    pub meta: MetaServer,
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
    let routes = public_routes(&context, &health).add_service(replication).add_service(meta);
    serve(&context, routes, listener, ListenLimits::PEERS, stopping).await
}
