//! The quorum, for a broker that is not it: the same trait over the wire.
//!
//! ```text
//!   connected --a call fails on the way--> closed for a pause --one attempt--> connected
//!                                            ^ 200 ms, doubled up to 1 s         |
//!                                            +-------------- it fails -----------+
//! ```
//!
//! Always true: one connection is attempted at a time, and none while the pause lasts: every partition led here may
//! have a proposal, again and again, and each would knock at a dead broker's door. What never left is told as such.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fidelog_proto::internal::v1 as wire;
use fidelog_proto::internal::v1::meta_service_client::MetaServiceClient;
use fidelog_record::types::limits::MESSAGE_BYTES_MAX;
use fidelog_record::types::{BrokerEpoch, BrokerId, ClusterId, Incarnation, MetaIndex};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::meta::quorum::{
    Accepted, MetadataQuorum, ProposeError, QuorumStatus, Unconfirmed, WatchError, WatchEvent, WatchStream,
};
use crate::meta::state::{Proposal, Stored};

/// A watch that is silent for longer is given up; signs of life come every 500 ms.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// How long no connection is attempted after one that failed: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A quorum behind an address.
pub struct RemoteQuorum {
    cluster: ClusterId,
    leader: BrokerId,
    me: BrokerId,
    way: Arc<Way>,
    seen: Arc<Mutex<Seen>>,
}

/// The connection to the broker that decides.
struct Way {
    endpoint: Endpoint,
    /// The brokers' runtime: a connection lives where it was made, whoever asked for it.
    runtime: tokio::runtime::Handle,
    door: Mutex<Door>,
    /// Held by the one that connects; the others wait for what it gets.
    connecting: tokio::sync::Mutex<()>,
}

/// What is known of the way.
struct Door {
    connected: Option<Connected>,
    /// How many connections there have been.
    made: u64,
    closed_until: Option<Instant>,
    /// The next pause.
    pause: Duration,
}

/// A connection, and which one it is.
#[derive(Clone)]
struct Connected {
    channel: Channel,
    number: u64,
}

impl Way {
    fn new(endpoint: Endpoint) -> Self {
        let door = Door { connected: None, made: 0, closed_until: None, pause: PAUSE_MIN };
        let runtime = tokio::runtime::Handle::current();
        Self { endpoint, runtime, door: Mutex::new(door), connecting: tokio::sync::Mutex::default() }
    }

    /// A connection, unless there is none and the pause lasts.
    async fn open(&self) -> Result<Connected, String> {
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
                self.door.lock().close();
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
    fn works(&self) {
        self.door.lock().pause = PAUSE_MIN;
    }

    /// A call on this connection failed on the way.
    fn broke(&self, number: u64) {
        let mut door = self.door.lock();
        // Another call may have said so, and a new connection may be there.
        if door.connected.as_ref().is_some_and(|connected| connected.number == number) {
            door.connected = None;
            door.close();
        }
    }
}

impl Door {
    fn close(&mut self) {
        self.closed_until = Some(Instant::now() + self.pause);
        self.pause = PAUSE_MAX.min(self.pause * 2);
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

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    epoch: BrokerEpoch,
    incarnation: Incarnation,
    index: MetaIndex,
}

impl fmt::Debug for RemoteQuorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteQuorum(broker {}, {:?})", self.leader, *self.seen.lock())
    }
}

impl RemoteQuorum {
    /// Connects, when it is asked first, to the broker that decides. To be called inside the brokers' runtime.
    ///
    /// # Errors
    /// When `address` is not `host:port`.
    pub fn new(
        cluster: ClusterId,
        me: BrokerId,
        leader: BrokerId,
        address: &str,
    ) -> Result<Arc<Self>, String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| format!("peer address {address:?} of broker {leader}: {error}"))?;
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(2))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(1))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true);
        let way = Arc::new(Way::new(endpoint));
        Ok(Arc::new(Self { cluster, leader, me, way, seen: Arc::default() }))
    }

    /// The registration that watches from now on are the session of.
    pub fn registered(&self, epoch: BrokerEpoch) {
        self.seen.lock().epoch = epoch;
    }

    fn cluster_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.cluster.as_bytes())
    }
}

fn client(channel: Channel) -> MetaServiceClient<Channel> {
    MetaServiceClient::new(channel)
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

impl MetadataQuorum for RemoteQuorum {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'static, Result<Accepted, ProposeError>> {
        let (way, leader) = (Arc::clone(&self.way), self.leader);
        let request =
            wire::ProposeRequest { cluster_id: self.cluster_bytes(), proposal: proposal.to_bytes().into() };
        async move {
            use wire::propose_response::Result as Outcome;
            let unreachable = |reason: String| ProposeError::Unreachable { reason };
            // What cannot connect has sent nothing.
            let connected = way.open().await.map_err(|why| {
                let reason = format!("broker {leader}, which decides metadata, cannot be reached: {why}");
                ProposeError::Unavailable { reason }
            })?;
            let response = match client(connected.channel).propose(request).await {
                Ok(response) => response.into_inner(),
                // It was refused before it was looked at.
                Err(status) if matches!(status.code(), Code::FailedPrecondition) => {
                    return Err(ProposeError::Unavailable { reason: status.message().to_owned() });
                }
                Err(status) => {
                    way.broke(connected.number);
                    let what = status.message();
                    return Err(unreachable(format!("the way to broker {leader} broke: {what}")));
                }
            };
            way.works();
            match response.result {
                Some(Outcome::Accepted(bytes)) => {
                    Accepted::from_bytes(&bytes).map_err(|error| unreachable(error.to_string()))
                }
                Some(Outcome::Refused(bytes)) => {
                    Err(ProposeError::from_bytes(&bytes)
                        .unwrap_or_else(|error| unreachable(error.to_string())))
                }
                None => Err(unreachable("the answer holds nothing".to_owned())),
            }
        }
        .boxed()
    }

    fn confirm(&self) -> BoxFuture<'static, Result<MetaIndex, Unconfirmed>> {
        let way = Arc::clone(&self.way);
        let request = wire::ConfirmRequest { cluster_id: self.cluster_bytes(), forwarded: false };
        async move {
            let unconfirmed = |reason: String| Unconfirmed { reason };
            let connected = way.open().await.map_err(unconfirmed)?;
            match client(connected.channel).confirm(request).await {
                Ok(response) => {
                    way.works();
                    Ok(MetaIndex(response.into_inner().index))
                }
                Err(status) => {
                    if status.code() != Code::FailedPrecondition {
                        way.broke(connected.number);
                    }
                    Err(unconfirmed(status.message().to_owned()))
                }
            }
        }
        .boxed()
    }

    fn watch(&self, from: MetaIndex) -> WatchStream {
        let way = Arc::clone(&self.way);
        let request = wire::WatchRequest {
            cluster_id: self.cluster_bytes(),
            from_index: from.0,
            broker_id: self.me.0,
            broker_epoch: self.seen.lock().epoch.0,
        };
        let seen = Arc::clone(&self.seen);
        let lost = |reason: String| WatchError::Lost { reason };
        let opening = async move {
            let connected = way.open().await?;
            let opened = client(connected.channel).watch(request).await;
            match &opened {
                Ok(_) => way.works(),
                Err(_) => way.broke(connected.number),
            }
            opened.map_err(|status| status.message().to_owned())
        };
        futures::stream::once(opening)
            .flat_map(move |opened| match opened {
                Err(why) => futures::stream::iter([Err(lost(why))]).boxed(),
                Ok(response) => tokio_stream::StreamExt::timeout(response.into_inner(), SILENCE_MAX)
                    .map(move |item| match item {
                        Err(_) => Err(lost(format!("silent for {SILENCE_MAX:?}"))),
                        Ok(Err(status)) => Err(lost(status.message().to_owned())),
                        Ok(Ok(response)) if response.event.is_empty() => Ok(None),
                        Ok(Ok(response)) => {
                            WatchEvent::from_bytes(&response.event).map(Some).map_err(Into::into)
                        }
                    })
                    .filter_map(|item| async move { item.transpose() })
                    .boxed(),
            })
            .inspect(move |event| match event {
                Ok(WatchEvent::Opened { incarnation, index, .. }) => {
                    let mut seen = seen.lock();
                    seen.incarnation = *incarnation;
                    seen.index = seen.index.max(*index);
                }
                Ok(WatchEvent::Snapshot(state)) => seen.lock().index = state.index(),
                Ok(WatchEvent::Entries(entries)) => {
                    if let Some((index, _)) = entries.last() {
                        seen.lock().index = *index;
                    }
                }
                Err(_) => {}
            })
            .boxed()
    }

    fn status(&self) -> QuorumStatus {
        let Seen { incarnation, index, .. } = *self.seen.lock();
        QuorumStatus {
            cluster: self.cluster,
            incarnation,
            index,
            term: 0,
            leader: Some(self.leader),
            voters: Vec::new(),
            stopped: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn quorum_at(address: std::net::SocketAddr) -> Arc<RemoteQuorum> {
        RemoteQuorum::new(ClusterId::default(), BrokerId(2), BrokerId(1), &address.to_string()).unwrap()
    }

    fn proposal() -> Proposal {
        Proposal::GrantProducerIds { broker: BrokerId(2), count: 1 }
    }

    /// Every partition proposes again each 200 ms while the quorum is away, and each proposal made a connection.
    #[tokio::test]
    async fn a_broken_way_is_not_tried_by_every_proposal() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let quorum = quorum_at(listener.local_addr().unwrap());
        let accepted = Arc::new(AtomicUsize::new(0));
        let accepting = tokio::spawn({
            let accepted = Arc::clone(&accepted);
            async move {
                while let Ok((connection, _)) = listener.accept().await {
                    accepted.fetch_add(1, Ordering::Relaxed);
                    drop(connection);
                }
            }
        });
        for _ in 0..20 {
            let together = (0..50).map(|_| quorum.propose(proposal()));
            for answer in futures::future::join_all(together).await {
                assert!(answer.is_err(), "nobody decides there");
            }
        }
        let accepted = accepted.load(Ordering::Relaxed);
        assert!((1..50).contains(&accepted), "{accepted} connections for 1000 proposals");
        accepting.abort();
    }

    #[tokio::test]
    async fn what_never_left_is_definite_and_told_in_plain_words() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let quorum = quorum_at(closed.local_addr().unwrap());
        drop(closed);
        for _ in 0..2 {
            let error = quorum.propose(proposal()).await.unwrap_err();
            assert!(error.is_definite(), "{error}");
            let text = error.to_string();
            assert!(
                text.contains("broker 1") && !text.contains("tonic") && !text.contains("ConnectError"),
                "{text}"
            );
        }
    }
}
