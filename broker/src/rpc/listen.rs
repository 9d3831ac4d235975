//! The accept loop: what becomes a connection before HTTP/2 is asked.
//!
//! ```text
//!   accepted --over a cap--> closed
//!      |  first bytes: the 24 that every HTTP/2 client sends, and the settings that must follow them
//!      +-- another byte than expected, or not all of it within 5 s --> closed
//!      +-- all there --> handed to the server, and read again there
//! ```
//!
//! Always true: a connection has its place in the caps from accept until its socket is dropped; one that has not
//! said what it is costs a socket and a small task for at most the first-bytes time; the loop outlives every error
//! of accept.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER_BYTES: usize = 9;
/// The type of the frame that carries settings.
const SETTINGS: u8 = 4;
/// The most settings a connection may begin with: 170 of them, where clients send under ten.
const SETTINGS_BYTES_MAX: usize = 1024;
/// Connections that may wait to be taken on by the server.
const READY_MAX: usize = 64;
/// After a failed accept, such as for want of descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const BACKLOG: i32 = 1024;

/// Bounds of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenLimits {
    /// Connections, all together.
    pub connections_max: usize,
    /// Connections from one address.
    pub connections_per_address_max: usize,
    /// How long a connection may take to say that it speaks HTTP/2, its settings included.
    pub first_bytes_wait: Duration,
    /// Whether calls of the public services are answered only when another broker sent them on.
    pub forwarded_only: bool,
}

impl ListenLimits {
    /// For clients.
    pub const CLIENTS: Self = Self {
        connections_max: 4096,
        connections_per_address_max: 1024,
        first_bytes_wait: Duration::from_secs(5),
        forwarded_only: false,
    };
    /// For brokers: few connections each, of their own, so that a flood of clients cannot cut replication.
    pub const PEERS: Self = Self {
        connections_max: 512,
        connections_per_address_max: 256,
        first_bytes_wait: Duration::from_secs(5),
        forwarded_only: true,
    };
}

/// Listens on an address, its socket set up for many short-lived restarts and long backlogs.
///
/// # Errors
/// When the address is taken or is not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM.nonblocking().cloexec(),
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The connections of a listener that speak HTTP/2, until `stopping`.
#[must_use]
pub fn incoming(
    listener: TcpListener,
    limits: ListenLimits,
    stopping: CancellationToken,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, ready) = mpsc::channel(READY_MAX);
    tokio::spawn(async move {
        // Dropping the loop between two connections loses none that were taken on.
        stopping.run_until_cancelled_owned(accept(listener, limits, sender)).await;
    });
    ReceiverStream::new(ready)
}

async fn accept(listener: TcpListener, limits: ListenLimits, ready: mpsc::Sender<io::Result<Connection>>) {
    let places = Arc::new(Places { limits, taken: Mutex::default() });
    loop {
        match listener.accept().await {
            Ok((stream, address)) => match places.take(address.ip()) {
                Ok(place) => {
                    let ready = ready.clone();
                    tokio::spawn(greet(stream, address, place, limits.first_bytes_wait, ready));
                }
                // A line for each would let a flood fill the disk.
                Err(full) => debug!(%address, "connection refused: {full}"),
            },
            Err(error) => {
                warn!(%error, "accepting connections is not possible now");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Waits for a connection's first bytes; hands it on when they are HTTP/2's.
async fn greet(
    mut stream: TcpStream,
    address: SocketAddr,
    place: Place,
    wait: Duration,
    ready: mpsc::Sender<io::Result<Connection>>,
) {
    if stream.set_nodelay(true).is_err() {
        return; // It is gone already.
    }
    match tokio::time::timeout(wait, read_preface(&mut stream)).await {
        Ok(Ok(said)) => {
            let connection = Connection { stream, said, address, _place: place };
            // Nobody takes it when the server has stopped.
            drop(ready.send(Ok(connection)).await);
        }
        Ok(Err(error)) => debug!(%address, %error, "closed: not HTTP/2"),
        Err(_) => debug!(%address, "closed: its first bytes did not come in time"),
    }
}

/// What every HTTP/2 client says first: the preface and its settings (RFC 9113, 3.4).
async fn read_preface(stream: &mut TcpStream) -> io::Result<Bytes> {
    let mut bytes = [0; PREFACE.len()];
    let mut count = 0;
    while count < PREFACE.len() {
        match stream.read(&mut bytes[count..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => count += more,
        }
        // The first byte that proves it wrong ends it.
        if bytes[..count] != PREFACE[..count] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "another protocol"));
        }
    }
    // length (3), type (1), flags (1), stream (4)
    let mut header = [0; FRAME_HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let [a, b, c, kind, _, stream_number @ ..] = header;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    if kind != SETTINGS || stream_number != [0; 4] || length > SETTINGS_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no settings behind the preface"));
    }
    let mut said = Vec::with_capacity(bytes.len() + header.len() + length);
    said.extend_from_slice(&bytes);
    said.extend_from_slice(&header);
    said.resize(said.len() + length, 0);
    let settings = said.len() - length;
    stream.read_exact(&mut said[settings..]).await?;
    Ok(said.into())
}

/// Who is connected.
#[derive(Debug)]
struct Places {
    limits: ListenLimits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place; dropping it frees it.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

/// Which cap is reached.
#[derive(Debug, thiserror::Error)]
enum Full {
    #[error("{count} connections are open, connections_max is {connections_max}")]
    All { count: usize, connections_max: usize },
    #[error("{count} connections from its address, connections_per_address_max is {connections_max}")]
    Address { count: usize, connections_max: usize },
}

impl Places {
    fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, Full> {
        let mut taken = self.taken.lock();
        let ListenLimits { connections_max, connections_per_address_max, .. } = self.limits;
        if taken.count >= connections_max {
            return Err(Full::All { count: taken.count, connections_max });
        }
        let of_address = taken.by_address.entry(address).or_default();
        if *of_address >= connections_per_address_max {
            return Err(Full::Address { count: *of_address, connections_max: connections_per_address_max });
        }
        *of_address += 1;
        taken.count += 1;
        Ok(Place { places: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.count -= 1;
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// A connection that has said it speaks HTTP/2; what it said is read again first.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// What is to be read again of what it said.
    said: Bytes,
    address: SocketAddr,
    _place: Place,
}

/// Who is at the other end, in the extensions of every call.
#[derive(Clone, Copy, Debug)]
pub struct Remote {
    /// Its address.
    pub address: SocketAddr,
}

impl Connected for Connection {
    type ConnectInfo = Remote;

    fn connect_info(&self) -> Remote {
        Remote { address: self.address }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.said.is_empty() {
            let count = buffer.remaining().min(self.said.len());
            buffer.put_slice(&self.said.split_to(count));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
