//! The wire between a benchmark's processes: generated code, and the one way servers, channels and runtimes are
//! set up, so that every floor is tuned alike.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};

/// Code generated from `proto/floor.proto`.
#[expect(missing_docs, reason = "generated; the comments are in the .proto file")]
pub mod proto {
    tonic::include_proto!("fidelog.bench.v1");
}

/// HTTP/2 window of one stream: no sender waits for a window update in the middle of a batch.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// HTTP/2 window of one connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Largest HTTP/2 frame accepted.
const FRAME_BYTES_MAX: u32 = 256 << 10;
/// Worker threads of a process when `FIDELOG_BENCH_THREADS` does not say otherwise.
const THREADS: usize = 1;

/// A server with the windows and frames above.
pub fn server() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
}

/// Listens on a free port of the loopback interface, without delaying small segments.
///
/// # Errors
/// When there is no such port.
pub fn listen() -> Result<(TcpIncoming, SocketAddr)> {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).context("cannot listen")?;
    let address = incoming.local_addr().context("cannot learn the port")?;
    Ok((incoming.with_nodelay(Some(true)), address))
}

/// A new connection to `address`, with the windows and frames above.
///
/// # Errors
/// When nobody listens there.
pub async fn connect(address: SocketAddr) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX);
    endpoint.connect().await.with_context(|| format!("cannot connect to {address}"))
}

/// A runtime with few threads: processes share the machine, and each further thread adds wake-ups between cores.
///
/// # Errors
/// When the system refuses threads, or `FIDELOG_BENCH_THREADS` is not a count of 1 to 256.
pub fn runtime() -> Result<Runtime> {
    let threads = match std::env::var("FIDELOG_BENCH_THREADS") {
        Ok(text) => text.parse().ok().filter(|count| (1..=256).contains(count)),
        Err(_) => Some(THREADS),
    };
    let threads = threads.context("FIDELOG_BENCH_THREADS must be a count from 1 to 256")?;
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().context("cannot start a runtime")
}
