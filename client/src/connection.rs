//! Connections to brokers: a few per address, because one HTTP/2 connection is about one core.
//!
//! What is always true: a connection is made explicitly before anything is sent on it, so that "could not connect"
//! is told apart from "sent, and no answer". Not here: which broker to speak to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tonic::transport::{Channel, Endpoint};

use crate::event::{Event, Listener};

/// After how much silence a connection is asked whether it lives. A consumer whose leader hangs, or is cut off without
/// a word, learns it in no other way.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// How long it may take to answer.
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(3);
/// What a broker may send before it must wait for us, per stream and per connection.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// What a broker may send in one HTTP/2 frame: each costs it a system call.
const FRAME_BYTES_MAX: u32 = 1 << 20;

/// Why no connection could be made. Nothing was sent.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no connection to {address}: {cause}")]
pub(crate) struct ConnectError {
    pub(crate) address: String,
    pub(crate) cause: String,
}

/// How connections are made.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSettings {
    pub(crate) per_broker: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) client_id: String,
}

/// All connections of one client.
#[derive(Debug)]
pub(crate) struct Connections {
    settings: ConnectionSettings,
    brokers: Mutex<HashMap<String, Arc<BrokerConnections>>>,
    turn: AtomicUsize,
    listener: Listener,
}

#[derive(Debug)]
struct BrokerConnections {
    slots: Vec<Mutex<Slot>>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    channel: Arc<OnceCell<Channel>>,
    /// Whether an earlier connection here ended or failed.
    broken: bool,
}

impl Connections {
    pub(crate) fn new(settings: ConnectionSettings, listener: Listener) -> Self {
        Self { settings, brokers: Mutex::default(), turn: AtomicUsize::new(0), listener }
    }

    pub(crate) fn per_broker(&self) -> usize {
        self.settings.per_broker
    }

    /// Any of the connections to `address`, made if need be.
    pub(crate) async fn any(&self, address: &str) -> Result<Channel, ConnectError> {
        let index = self.turn.fetch_add(1, Ordering::Relaxed);
        self.get(address, index % self.settings.per_broker).await
    }

    /// Connection number `index` to `address`, made if need be. Callers that come together wait for one attempt.
    pub(crate) async fn get(&self, address: &str, index: usize) -> Result<Channel, ConnectError> {
        let broker = self.broker(address);
        let slot = broker.slots[index].lock().clone();
        let connected = slot.channel.get_or_try_init(|| self.connect(address)).await.cloned();
        let mut current = broker.slots[index].lock();
        match &connected {
            Ok(_) if current.broken => {
                current.broken = false;
                drop(current);
                self.listener.tell(Event::Reconnected { address: address.to_owned() });
            }
            Ok(_) => {}
            Err(_) => current.broken = true,
        }
        connected
    }

    /// Drops connection number `index`, so that the next use makes a new one.
    pub(crate) fn forget(&self, address: &str, index: usize, cause: &str) {
        *self.broker(address).slots[index].lock() = Slot { channel: Arc::default(), broken: true };
        self.listener.tell(Event::Disconnected { address: address.to_owned(), cause: cause.to_owned() });
    }

    /// Drops every connection to `address` after a request on one of them was lost.
    pub(crate) fn forget_all(&self, address: &str, cause: &str) {
        for index in 0..self.settings.per_broker {
            *self.broker(address).slots[index].lock() = Slot { channel: Arc::default(), broken: true };
        }
        self.listener.tell(Event::Disconnected { address: address.to_owned(), cause: cause.to_owned() });
    }

    fn broker(&self, address: &str) -> Arc<BrokerConnections> {
        let mut brokers = self.brokers.lock();
        if let Some(broker) = brokers.get(address) {
            return broker.clone();
        }
        let slots = (0..self.settings.per_broker).map(|_| Mutex::default()).collect();
        let broker = Arc::new(BrokerConnections { slots });
        brokers.insert(address.to_owned(), broker.clone());
        broker
    }

    async fn connect(&self, address: &str) -> Result<Channel, ConnectError> {
        let failed = |cause: String| ConnectError { address: address.to_owned(), cause };
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| failed(format!("not host:port ({error})")))?
            .user_agent(self.settings.client_id.clone())
            .map_err(|error| failed(format!("the client id cannot be sent: {error}")))?
            .connect_timeout(self.settings.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_ANSWER)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX);
        let connected = tokio::time::timeout(self.settings.connect_timeout, endpoint.connect()).await;
        match connected {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(failed(chain(&error))),
            Err(_) => Err(failed(format!("no answer within {:?}", self.settings.connect_timeout))),
        }
    }
}

/// Whether a call failed because a connection that had ended while idle could not be made again: nothing was sent.
pub(crate) fn never_connected(status: &tonic::Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error with its causes, on one line; what a cause only repeats is left out.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
