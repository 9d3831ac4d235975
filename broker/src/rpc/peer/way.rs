//! One connection to one other node, made when it is needed and kept.
//!
//! ```text
//!   connected --a call fails on the way--> closed for a pause --one attempt--> connected
//!                                            ^ doubled each time up to a bound   |
//!                                            +-------------- it fails -----------+
//! ```
//!
//! Always true: one connection is attempted at a time, and none while the pause lasts: every partition led here may
//! have a proposal, again and again, and each would knock at a dead broker's door. What never left is told as such.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

/// How to reach another node for one errand. A stream of answers has no deadline, so a machine that vanishes meanwhile
/// must be noticed.
///
/// # Errors
/// When `address` is none.
pub(super) fn one_off(address: &str) -> Result<Endpoint, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(30))
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(4)))
}

/// How long no connection is attempted after one that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    /// At first.
    pub(super) min: Duration,
    /// At most.
    pub(super) max: Duration,
}

/// The connection to one other node.
#[derive(Debug)]
pub(super) struct Way {
    endpoint: Endpoint,
    /// A connection lives on the runtime it was made on, whoever asked for it.
    runtime: tokio::runtime::Handle,
    pauses: Pauses,
    door: Mutex<Door>,
    /// Held by the one that connects; the others wait for what it gets.
    connecting: tokio::sync::Mutex<()>,
}

/// What is known of the way.
#[derive(Debug)]
struct Door {
    connected: Option<Connected>,
    /// How many connections there have been.
    made: u64,
    closed_until: Option<Instant>,
    /// The next pause.
    pause: Duration,
}

/// A connection, and which one it is.
#[derive(Clone, Debug)]
pub(super) struct Connected {
    pub(super) channel: Channel,
    pub(super) number: u64,
}

impl Way {
    /// A way to `address`, `host:port`; connections live on `runtime`.
    pub(super) fn new(
        address: &str,
        pauses: Pauses,
        runtime: tokio::runtime::Handle,
    ) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| why(&error))?;
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(2))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(1))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true);
        let door = Door { connected: None, made: 0, closed_until: None, pause: pauses.min };
        Ok(Self {
            endpoint,
            runtime,
            pauses,
            door: Mutex::new(door),
            connecting: tokio::sync::Mutex::default(),
        })
    }

    /// A connection, unless there is none and the pause lasts.
    pub(super) async fn open(&self) -> Result<Connected, String> {
        if let Some(answer) = self.known() {
            return answer;
        }
        // Stopping here is safe: the lock is free again, and nothing is known yet.
        let _connecting = self.connecting.lock().await;
        if let Some(answer) = self.known() {
            return answer;
        }
        let endpoint = self.endpoint.clone();
        let attempt =
            self.runtime.spawn(async move { endpoint.connect().await.map_err(|error| why(&error)) });
        match attempt.await.unwrap_or_else(|ended| Err(ended.to_string())) {
            Ok(channel) => {
                let mut door = self.door.lock();
                door.made += 1;
                let connected = Connected { channel, number: door.made };
                door.connected = Some(connected.clone());
                Ok(connected)
            }
            Err(why) => {
                self.door.lock().close(self.pauses.max);
                Err(why)
            }
        }
    }

    fn known(&self) -> Option<Result<Connected, String>> {
        let door = self.door.lock();
        if let Some(connected) = &door.connected {
            return Some(Ok(connected.clone()));
        }
        let closed = door.closed_until.is_some_and(|until| Instant::now() < until);
        closed.then(|| Err("it could not be reached a moment ago".to_owned()))
    }

    /// A call on this connection was answered.
    pub(super) fn works(&self) {
        self.door.lock().pause = self.pauses.min;
    }

    /// A call on this connection failed on the way.
    pub(super) fn broke(&self, number: u64) {
        let mut door = self.door.lock();
        // Another call may have said so, and a new connection may be there.
        if door.connected.as_ref().is_some_and(|connected| connected.number == number) {
            door.connected = None;
            door.close(self.pauses.max);
        }
    }
}

impl Door {
    fn close(&mut self, pause_max: Duration) {
        self.closed_until = Some(Instant::now() + self.pause);
        self.pause = pause_max.min(self.pause * 2);
    }
}

/// The innermost cause, which is what the system said.
fn why(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
