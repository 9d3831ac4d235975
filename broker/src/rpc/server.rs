//! The public services as routes, and the hardened server that serves them.

use std::sync::Arc;
use std::time::Duration;

use fidelog_proto::FILE_DESCRIPTOR_SET;
use fidelog_proto::v1::cluster_service_server::ClusterServiceServer;
use fidelog_proto::v1::fetch_service_server::FetchServiceServer;
use fidelog_proto::v1::operations_service_server::OperationsServiceServer;
use fidelog_proto::v1::position_service_server::PositionServiceServer;
use fidelog_proto::v1::produce_service_server::ProduceServiceServer;
use fidelog_proto::v1::topic_service_server::TopicServiceServer;
use fidelog_record::types::limits::STREAMS_PER_CONNECTION_MAX;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tower::layer::util::{Identity, Stack};

use super::cluster::ClusterServer;
use super::context::Context;
use super::fetch::FetchServer;
use super::health::Health;
use super::limits::RpcLimits;
use super::listen::{ListenLimits, incoming};
use super::operations::OperationsServer;
use super::positions::PositionServer;
use super::produce::ProduceServer;
use super::topics::TopicServer;
use super::wire::WireLayer;

/// A connection without a sign of life for so long is asked for one, and closed when it owes it as long again.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// What a client may send on one stream, and on a connection, before it hears that it was read. Memory that
/// connections may take before any budget is asked is their number times the latter.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const FRAME_BYTES_MAX: u32 = 1 << 20;
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Streams reset by a client that we have not noticed yet; more end the connection.
const PENDING_RESETS_MAX: usize = 20;

/// A server with our settings, the wire's rules around whatever it serves.
#[must_use]
pub fn hardened(context: &Arc<Context>, limits: ListenLimits) -> Server<Stack<WireLayer, Identity>> {
    Server::builder()
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .layer(WireLayer::new(Arc::clone(context), limits.forwarded_only))
}

/// The public services, health and reflection.
#[must_use]
pub fn public_routes(context: &Arc<Context>, health: &Health) -> Routes {
    let message_bytes_max = RpcLimits::MESSAGE_BYTES_MAX;
    let context = || Arc::clone(context);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("both descriptor sets were made by the build");
    // The library's own limit is a quarter of what is promised, and none on the way out.
    macro_rules! sized {
        ($server:expr) => {
            $server.max_decoding_message_size(message_bytes_max).max_encoding_message_size(message_bytes_max)
        };
    }
    Routes::new(sized!(ProduceServiceServer::new(ProduceServer::new(context()))))
        .add_service(sized!(FetchServiceServer::new(FetchServer::new(context()))))
        .add_service(sized!(TopicServiceServer::new(TopicServer::new(context()))))
        .add_service(sized!(ClusterServiceServer::new(ClusterServer::new(context()))))
        .add_service(sized!(PositionServiceServer::new(PositionServer::new(context()))))
        .add_service(sized!(OperationsServiceServer::new(OperationsServer::new(context()))))
        .add_service(health.service())
        .add_service(reflection)
}

/// Serves `routes` to whoever connects to `listener`, until `stopping`; then every call that has begun is finished.
///
/// # Errors
/// What ends a server early.
pub async fn serve(
    context: &Arc<Context>,
    routes: Routes,
    listener: TcpListener,
    limits: ListenLimits,
    stopping: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let connections = incoming(listener, limits, stopping.clone());
    let router = hardened(context, limits).add_routes(routes);
    router.serve_with_incoming_shutdown(connections, stopping.cancelled_owned()).await
}

/// Serves the public services to clients, with producer ids in reserve; see [`serve`].
///
/// # Errors
/// What ends a server early.
pub async fn public_server(
    context: Arc<Context>,
    health: Health,
    listener: TcpListener,
    limits: ListenLimits,
) -> Result<(), tonic::transport::Error> {
    let routes = public_routes(&context, &health);
    let stopping = context.stopping.clone();
    let reserve = Arc::clone(&context);
    reserve.producer_ids.begin().await;
    let watched = Arc::clone(&context);
    tokio::spawn(stopping.clone().run_until_cancelled_owned(async move {
        watched.journal.keep(&watched.meta, &*watched.clock).await
    }));
    tokio::spawn(
        stopping.clone().run_until_cancelled_owned(async move { reserve.producer_ids.keep().await }),
    );
    serve(&context, routes, listener, limits, stopping).await
}
