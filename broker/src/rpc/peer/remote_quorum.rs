//! The quorum, for a node that is no controller: the same trait over the wire, from whichever controller answers.
//!
//! ```text
//!   propose, confirm: who led last, then the others in turn, until one was reached that knows who leads
//!   watch:            one controller, as long as it shows something; then the next
//! ```
//!
//! Always true: what may have been taken somewhere is not offered elsewhere; what was taken nowhere is told as such.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fidelog_proto::internal::v1 as wire;
use fidelog_proto::internal::v1::meta_service_client::MetaServiceClient;
use fidelog_record::types::{BrokerId, ClusterId, Incarnation, MetaIndex};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use tonic::Streaming;
use tonic::transport::Channel;

use super::quorum_wire::ask;
use super::way::{Pauses, Way};
use crate::meta::quorum::{
    Accepted, MetadataQuorum, ProposeError, QuorumStatus, Unconfirmed, VoterChange, VoterStatus, WatchError,
    WatchEvent, WatchStream,
};
use crate::meta::raft::{Answer, CallError, Question};
use crate::meta::state::{Proposal, Stored};

/// A watch that is silent for longer is given up; signs of life come every 500 ms.
const SILENCE_MAX: Duration = Duration::from_secs(2);
const PAUSES: Pauses = Pauses { min: Duration::from_millis(200), max: Duration::from_secs(1) };
/// How long one question may take, whoever is asked.
const ANSWER_MAX: Duration = Duration::from_secs(6);

/// A quorum behind the addresses of its controllers.
#[derive(Clone)]
pub struct RemoteQuorum {
    inner: Arc<Inner>,
}

struct Inner {
    cluster: ClusterId,
    controllers: Vec<Controller>,
    /// Whom the next watch asks, counted over `controllers` again and again.
    watched: AtomicUsize,
    seen: Mutex<Seen>,
}

struct Controller {
    broker: BrokerId,
    address: String,
    way: Arc<Way>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    leader: Option<BrokerId>,
    incarnation: Incarnation,
    index: MetaIndex,
}

impl fmt::Debug for RemoteQuorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteQuorum({} controllers, {:?})", self.inner.controllers.len(), *self.inner.seen.lock())
    }
}

impl RemoteQuorum {
    /// Connects to one of `controllers`, by their addresses between brokers, when it is asked first. To be called
    /// inside the brokers' runtime.
    ///
    /// # Errors
    /// When there is none, or an address is not `host:port`.
    pub fn new<'a>(
        cluster: ClusterId,
        me: BrokerId,
        controllers: impl IntoIterator<Item = (BrokerId, &'a str)>,
    ) -> Result<Self, String> {
        let runtime = tokio::runtime::Handle::current();
        let controllers: Vec<Controller> = controllers
            .into_iter()
            .map(|(broker, address)| match Way::new(address, PAUSES, runtime.clone()) {
                Ok(way) => Ok(Controller { broker, address: address.to_owned(), way: Arc::new(way) }),
                Err(error) => Err(format!("peer address {address:?} of broker {broker}: {error}")),
            })
            .collect::<Result<_, _>>()?;
        if controllers.is_empty() {
            return Err("no node of the cluster is a controller".to_owned());
        }
        // Not all brokers begin with the same one.
        let watched = AtomicUsize::new(me.0 as usize);
        let inner = Inner { cluster, controllers, watched, seen: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }
}

impl Inner {
    /// Who led last, then the others.
    fn in_turn(&self) -> Vec<&Controller> {
        let leader = self.seen.lock().leader;
        let mut all: Vec<_> = self.controllers.iter().collect();
        all.sort_by_key(|controller| Some(controller.broker) != leader);
        all
    }

    /// The first answer that is more than a definite "not here".
    async fn ask(&self, question: &Question) -> Result<Answer, CallError> {
        let mut reasons = Vec::new();
        for controller in self.in_turn() {
            match ask(&controller.way, self.cluster, controller.broker, question).await {
                Ok((answer, leader)) => {
                    self.seen.lock().leader = leader;
                    match is_elsewhere(&answer) {
                        Some(reason) => reasons.push(reason),
                        None => return Ok(answer),
                    }
                }
                Err(CallError::NotTaken { reason }) => reasons.push(reason),
                Err(lost) => return Err(lost),
            }
        }
        Err(CallError::NotTaken { reason: reasons.join("; ") })
    }

    async fn ask_in_time(&self, question: Question) -> Result<Answer, CallError> {
        let asked = timeout_at(Instant::now() + ANSWER_MAX, self.ask(&question)).await;
        asked.unwrap_or_else(|_| {
            Err(CallError::Lost { reason: format!("no controller answered within {ANSWER_MAX:?}") })
        })
    }

    async fn propose(&self, proposal: Proposal) -> Result<Accepted, ProposeError> {
        let question = Question::Propose { proposal: Box::new(proposal), forwarded: false };
        Answer::proposed(self.ask_in_time(question).await)
    }

    async fn confirm(&self) -> Result<MetaIndex, Unconfirmed> {
        Answer::confirmed(self.ask_in_time(Question::Confirm { forwarded: false }).await)
    }

    async fn change_voters(&self, change: VoterChange) -> Result<(), ProposeError> {
        Answer::changed(self.ask_in_time(Question::ChangeVoters { change, forwarded: false }).await)
    }

    async fn describe(&self) -> QuorumStatus {
        match self.ask_in_time(Question::Describe { forwarded: false }).await {
            Ok(Answer::Described { status }) => *status,
            Ok(_) | Err(_) => self.status(),
        }
    }

    fn status(&self) -> QuorumStatus {
        let Seen { leader, incarnation, index, .. } = *self.seen.lock();
        let voters = self.controllers.iter().map(|controller| VoterStatus {
            node: 0,
            broker: controller.broker,
            address: controller.address.clone(),
            votes: true,
            matched: None,
            silent: false,
        });
        let (cluster, voters) = (self.cluster, voters.collect());
        QuorumStatus { cluster, incarnation, index, term: 0, leader, voters, stopped: None }
    }

    /// A watch that some controller opened, or why none did.
    async fn open_watch(&self, from: MetaIndex) -> Result<Streaming<wire::WatchResponse>, String> {
        let mut why = String::new();
        for _ in &self.controllers {
            let turn = self.watched.load(Ordering::Relaxed);
            let controller = &self.controllers[turn % self.controllers.len()];
            match self.watch_at(controller, from).await {
                Ok(stream) => return Ok(stream),
                Err(reason) => why = reason,
            }
            self.next_watched();
        }
        Err(why)
    }

    async fn watch_at(
        &self,
        controller: &Controller,
        from: MetaIndex,
    ) -> Result<Streaming<wire::WatchResponse>, String> {
        let request = wire::WatchRequest {
            cluster_id: Bytes::copy_from_slice(self.cluster.as_bytes()),
            from_index: from.0,
        };
        let way = &controller.way;
        let connected = way.open().await?;
        match meta_client(connected.channel).watch(request).await {
            Ok(response) => {
                way.works();
                Ok(response.into_inner())
            }
            Err(status) => {
                way.broke(connected.number);
                Err(status.message().to_owned())
            }
        }
    }

    /// The next watch asks another controller.
    fn next_watched(&self) {
        self.watched.fetch_add(1, Ordering::Relaxed);
    }

    fn see(&self, event: &WatchEvent) {
        let mut seen = self.seen.lock();
        match event {
            WatchEvent::Opened { incarnation, index, .. } => {
                seen.incarnation = *incarnation;
                seen.index = seen.index.max(*index);
            }
            WatchEvent::Snapshot(state) => seen.index = state.index(),
            WatchEvent::Entries(entries) => {
                if let Some((index, _)) = entries.last() {
                    seen.index = *index;
                }
            }
        }
    }
}

/// Why another controller should be asked, if it should.
fn is_elsewhere(answer: &Answer) -> Option<String> {
    match answer {
        Answer::NotLeader { .. } => Some("it does not lead the metadata quorum".to_owned()),
        Answer::Unavailable { reason }
        | Answer::Proposed { result: Err(ProposeError::Unavailable { reason }) } => Some(reason.clone()),
        _ => None,
    }
}

/// A snapshot of the whole metadata is one event, however large.
fn meta_client(channel: Channel) -> MetaServiceClient<Channel> {
    MetaServiceClient::new(channel).max_decoding_message_size(usize::MAX)
}

/// An event, or a sign of life.
fn event(
    item: Result<Result<wire::WatchResponse, tonic::Status>, impl Sized>,
) -> Result<Option<WatchEvent>, WatchError> {
    let lost = |reason: String| WatchError::Lost { reason };
    let response = item
        .map_err(|_| lost(format!("silent for {SILENCE_MAX:?}")))?
        .map_err(|status| lost(status.message().to_owned()))?;
    match response.event.as_ref() {
        [] => Ok(None),
        bytes => Ok(Some(WatchEvent::from_bytes(bytes)?)),
    }
}

impl MetadataQuorum for RemoteQuorum {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'static, Result<Accepted, ProposeError>> {
        let inner = Arc::clone(&self.inner);
        async move { inner.propose(proposal).await }.boxed()
    }

    fn confirm(&self) -> BoxFuture<'static, Result<MetaIndex, Unconfirmed>> {
        let inner = Arc::clone(&self.inner);
        async move { inner.confirm().await }.boxed()
    }

    fn watch(&self, from: MetaIndex) -> WatchStream {
        let (opening, shown) = (Arc::clone(&self.inner), Arc::clone(&self.inner));
        futures::stream::once(async move { opening.open_watch(from).await })
            .flat_map(|opened| match opened {
                Err(reason) => futures::stream::iter([Err(WatchError::Lost { reason })]).boxed(),
                Ok(stream) => tokio_stream::StreamExt::timeout(stream, SILENCE_MAX)
                    .map(event)
                    .filter_map(|item| async move { item.transpose() })
                    .boxed(),
            })
            .inspect(move |event| match event {
                Ok(event) => shown.see(event),
                Err(_) => shown.next_watched(),
            })
            .boxed()
    }

    fn status(&self) -> QuorumStatus {
        self.inner.status()
    }

    fn describe(&self) -> BoxFuture<'static, QuorumStatus> {
        let inner = Arc::clone(&self.inner);
        async move { inner.describe().await }.boxed()
    }

    fn change_voters(&self, change: VoterChange) -> BoxFuture<'static, Result<(), ProposeError>> {
        let inner = Arc::clone(&self.inner);
        async move { inner.change_voters(change).await }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quorum_at(address: std::net::SocketAddr) -> RemoteQuorum {
        let controllers = [(BrokerId(1), address.to_string())];
        let controllers = controllers.iter().map(|(broker, address)| (*broker, address.as_str()));
        RemoteQuorum::new(ClusterId::default(), BrokerId(2), controllers).unwrap()
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
