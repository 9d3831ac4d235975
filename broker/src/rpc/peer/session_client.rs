//! The broker's side of its session: heartbeats to whichever controller is active.
//!
//! ```text
//!   choose: the one named by the last answer, else the next in the list
//!      ^                                        |  connect, first heartbeat
//!      |                                        v
//!      +-- not active, broken, or 1 s without --- heartbeat every 250 ms, and when something changed
//!          an answer: at once, later ones after     answered alive: the lease, from when that one was sent (N12)
//!          a jittered pause of at most 200 ms
//! ```
//!
//! Always true: the lease is extended only by an answer to a heartbeat of this process, and by the moment taken before
//! that one was handed to the network; there is one stream at a time, on a connection of its own, so that no amount of
//! replication delays it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::{Clock, Entropy, Moment};
use fidelog_proto::internal::v1 as wire;
use fidelog_proto::internal::v1::session_service_client::SessionServiceClient;
use fidelog_record::types::{BrokerEpoch, BrokerId, ClusterId};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::session_codec::{decode_answer, encode_heartbeat};
use super::session_service::HEARTBEAT_BYTES_MAX;
use crate::meta::controller::heartbeat::{BrokerHealth, Heartbeat, Told};
use crate::meta::lease::AckLease;
use crate::meta::view::MetaView;

/// How often a heartbeat is sent.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(250);
/// How soon after a heartbeat that found this broker fenced: what ends the fence may have been said in it.
const FENCED_EVERY: Duration = Duration::from_millis(50);
/// A controller that answers nothing for so long is left.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// One that is there accepts a connection at once.
const CONNECT_WAIT: Duration = Duration::from_millis(500);
/// Pauses between attempts, from the second in a row on, doubled up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// Heartbeats on the way; a stream that takes no more is left by [`ANSWER_WAIT`].
const ON_THE_WAY_MAX: usize = 16;

/// What this process says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelfReport {
    /// Whether the logs it must have are open, and its view has passed its registration.
    pub ready: bool,
    /// Whether it wants to stop. Not taken back.
    pub stopping: bool,
    /// How it is.
    pub health: BrokerHealth,
}

/// How this process stands, as it was last told; see [`Told`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was heard yet.
    #[default]
    Unknown,
    /// Registered and unfenced.
    Alive,
    /// Fenced: it leads nothing.
    Fenced,
    /// Another process of this broker took its place.
    Superseded,
    /// The quorum does not know it.
    NotRegistered,
}

/// What a session is made of.
#[derive(Debug)]
pub struct SessionParts {
    /// The cluster.
    pub cluster: ClusterId,
    /// This broker.
    pub me: BrokerId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// All nodes that may be the active controller, this one perhaps among them: id, and `host:port` between brokers.
    pub controllers: Vec<(BrokerId, String)>,
    /// What answers extend.
    pub lease: AckLease,
    /// How far the metadata has come here.
    pub view: Arc<MetaView>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
    /// What is said; a change is said at once.
    pub report: watch::Receiver<SelfReport>,
    /// Where it is told how this process stands.
    pub standing: watch::Sender<Standing>,
}

/// Why a stream was left.
struct Left {
    /// Who answers instead, if that was said.
    active: Option<BrokerId>,
    /// Whether it had answered heartbeats.
    had_answered: bool,
    why: String,
}

/// A stream that is up.
struct Stream {
    requests: mpsc::Sender<wire::HeartbeatRequest>,
    /// What was sent and not answered: number, and when.
    sent: VecDeque<(u64, Moment)>,
    number: u64,
    /// When an answer is missed; none while nothing is to be answered.
    missed_at: Option<Instant>,
    had_answered: bool,
}

/// Sends heartbeats for as long as this process lives. Dropping the future ends the session.
pub async fn run_session(mut parts: SessionParts) -> Infallible {
    let mut chosen = 0;
    let mut pause = Duration::ZERO;
    loop {
        let Some((to, address)) = parts.controllers.get(chosen).cloned() else {
            // The configuration was checked: there is one.
            return std::future::pending().await;
        };
        // Stopping at any await is safe: whatever was not answered counts for nothing.
        let left = match connect(&address).await {
            Ok(channel) => parts.stream(channel).await,
            Err(why) => Left { active: None, had_answered: false, why },
        };
        tracing::debug!(controller = %to, "left: {}", left.why);
        let named = left.active.filter(|&active| active != to);
        let named = named.and_then(|active| parts.controllers.iter().position(|(id, _)| *id == active));
        chosen = named.unwrap_or((chosen + 1) % parts.controllers.len());
        if left.had_answered {
            pause = Duration::ZERO;
        }
        tokio::time::sleep(parts.jittered(pause)).await;
        pause = (pause * 2).clamp(PAUSE_FIRST, PAUSE_MAX);
    }
}

async fn connect(address: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
    let endpoint = endpoint.connect_timeout(CONNECT_WAIT).tcp_nodelay(true);
    let connecting = tokio::time::timeout(CONNECT_WAIT, endpoint.connect());
    let connected = connecting.await.map_err(|_| format!("{address} did not accept in {CONNECT_WAIT:?}"))?;
    connected.map_err(|error| format!("{address}: {error}"))
}

impl SessionParts {
    /// One stream, until it is left.
    async fn stream(&mut self, channel: Channel) -> Left {
        let (requests, outgoing) = mpsc::channel(ON_THE_WAY_MAX);
        let sent = VecDeque::with_capacity(ON_THE_WAY_MAX);
        let mut stream = Stream { requests, sent, number: 0, missed_at: None, had_answered: false };
        self.report.mark_unchanged();
        self.beat(&mut stream);
        let mut client = SessionServiceClient::new(channel).max_decoding_message_size(HEARTBEAT_BYTES_MAX);
        let opening = tokio::time::timeout(ANSWER_WAIT, client.heartbeat(ReceiverStream::new(outgoing)));
        let left = |why: String| Left { active: None, had_answered: false, why };
        let mut answers = match opening.await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return left(status.message().to_owned()),
            Err(_) => return left(format!("no answer within {ANSWER_WAIT:?}")),
        };
        let (active, why) = self.converse(&mut stream, &mut answers).await;
        Left { active, had_answered: stream.had_answered, why }
    }

    /// Heartbeats and answers, until there is a reason to go elsewhere.
    async fn converse(
        &mut self,
        stream: &mut Stream,
        answers: &mut Streaming<wire::HeartbeatResponse>,
    ) -> (Option<BrokerId>, String) {
        let mut every = tokio::time::interval(HEARTBEAT_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        every.reset();
        loop {
            let missed_at = stream.missed_at;
            tokio::select! {
                _ = every.tick() => self.beat(stream),
                Ok(()) = self.report.changed() => self.beat(stream),
                () = missed(missed_at) => return (None, format!("no answer within {ANSWER_WAIT:?}")),
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => match self.hear(stream, answer) {
                        Ok(Standing::Fenced) => every.reset_after(FENCED_EVERY),
                        Ok(_) => {}
                        Err(active) => return (active, "it is not the active controller".to_owned()),
                    },
                    Ok(None) => return (None, "it hung up".to_owned()),
                    Err(status) => return (None, status.message().to_owned()),
                },
            }
        }
    }

    /// Sends a heartbeat, unless the stream takes none.
    fn beat(&self, stream: &mut Stream) {
        let Ok(room) = stream.requests.try_reserve() else { return };
        if stream.sent.len() == ON_THE_WAY_MAX {
            return;
        }
        let report = self.report.borrow().clone();
        stream.number += 1;
        // The moment is taken before the network has it: that it waits there is not to the lease's advantage.
        stream.sent.push_back((stream.number, self.clock.now()));
        room.send(encode_heartbeat(
            self.cluster,
            Heartbeat {
                broker: self.me,
                epoch: self.epoch,
                number: stream.number,
                passed: self.view.index(),
                ready: report.ready,
                stopping: report.stopping,
                health: report.health,
            },
        ));
        stream.missed_at.get_or_insert_with(|| Instant::now() + ANSWER_WAIT);
    }

    /// Takes an answer: how this process stands, or who is active when this one is not.
    fn hear(
        &self,
        stream: &mut Stream,
        answer: wire::HeartbeatResponse,
    ) -> Result<Standing, Option<BrokerId>> {
        let Some(answer) = decode_answer(answer) else { return Err(None) };
        let standing = match answer.told {
            Told::NotActive { active } => return Err(active),
            Told::Alive => Standing::Alive,
            Told::Fenced => Standing::Fenced,
            Told::Superseded => Standing::Superseded,
            Told::NotRegistered => Standing::NotRegistered,
        };
        let Some(sent) = stream.answered(answer.number) else { return Ok(standing) };
        if standing == Standing::Alive {
            self.lease.extend(sent);
        }
        self.standing.send_if_modified(|before| std::mem::replace(before, standing) != standing);
        Ok(standing)
    }

    /// Between half of `pause` and all of it.
    fn jittered(&self, pause: Duration) -> Duration {
        let mut byte = [0];
        self.entropy.fill(&mut byte);
        pause / 2 + pause / 2 * u32::from(byte[0]) / 255
    }
}

impl Stream {
    /// When the heartbeat of this number was sent; it and those before it are answered. None when it was before.
    fn answered(&mut self, number: u64) -> Option<Moment> {
        let position = self.sent.iter().position(|(sent, _)| *sent == number)?;
        let found = self.sent.drain(..=position).next_back().map(|(_, sent)| sent);
        if found.is_some() {
            self.had_answered = true;
            self.missed_at = (!self.sent.is_empty()).then(|| Instant::now() + ANSWER_WAIT);
        }
        found
    }
}

async fn missed(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use fidelog_log::env::{RealClock, RealEntropy};

    use super::*;

    /// A clock that the test moves.
    #[derive(Debug, Default)]
    struct Hand(parking_lot::Mutex<Moment>);

    impl Clock for Hand {
        fn now(&self) -> Moment {
            *self.0.lock()
        }

        fn wall_ms(&self) -> u64 {
            RealClock.wall_ms()
        }
    }

    struct Scene {
        clock: Arc<Hand>,
        parts: SessionParts,
        stream: Stream,
        _outgoing: mpsc::Receiver<wire::HeartbeatRequest>,
    }

    impl Scene {
        fn new() -> Self {
            let clock = Arc::new(Hand::default());
            let parts = SessionParts {
                cluster: ClusterId::default(),
                me: BrokerId(2),
                epoch: BrokerEpoch(9),
                controllers: Vec::new(),
                lease: AckLease::default(),
                view: MetaView::new(clock.as_ref()),
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                entropy: Arc::new(RealEntropy),
                report: watch::channel(SelfReport::default()).1,
                standing: watch::Sender::new(Standing::Unknown),
            };
            let (requests, _outgoing) = mpsc::channel(ON_THE_WAY_MAX);
            let stream =
                Stream { requests, sent: VecDeque::new(), number: 0, missed_at: None, had_answered: false };
            Self { clock, parts, stream, _outgoing }
        }

        fn at(&self, second: u64) -> Moment {
            let moment = Moment::default().plus(Duration::from_secs(second));
            *self.clock.0.lock() = moment;
            moment
        }

        fn hear(&mut self, number: u64, told: wire::Told) {
            let answer = wire::HeartbeatResponse { number, told: told.into(), active_broker_id: 0 };
            self.parts.hear(&mut self.stream, answer).unwrap();
        }
    }

    #[tokio::test]
    async fn n12_the_lease_counts_from_when_the_answered_heartbeat_was_sent() {
        let mut scene = Scene::new();
        let first = scene.at(1);
        scene.parts.beat(&mut scene.stream);
        let second = scene.at(2);
        scene.parts.beat(&mut scene.stream);
        scene.at(8);
        scene.hear(1, wire::Told::Alive);
        assert_eq!(scene.parts.lease.last_sent(), Some(first));
        scene.hear(2, wire::Told::Alive);
        assert_eq!(scene.parts.lease.last_sent(), Some(second));
    }

    #[tokio::test]
    async fn n12_only_an_answer_to_something_sent_that_found_it_alive_extends_the_lease() {
        let mut scene = Scene::new();
        scene.at(1);
        for _ in 0..4 {
            scene.parts.beat(&mut scene.stream);
        }
        scene.hear(7, wire::Told::Alive);
        scene.hear(1, wire::Told::Fenced);
        scene.hear(2, wire::Told::NotRegistered);
        scene.hear(2, wire::Told::Alive);
        scene.hear(3, wire::Told::Superseded);
        assert_eq!(scene.parts.lease.last_sent(), None);
        assert_eq!(*scene.parts.standing.borrow(), Standing::Superseded);
    }

    #[tokio::test]
    async fn a_stream_that_takes_nothing_is_not_fed_without_bound() {
        let mut scene = Scene::new();
        for _ in 0..ON_THE_WAY_MAX * 3 {
            scene.parts.beat(&mut scene.stream);
        }
        assert_eq!(scene.stream.sent.len(), ON_THE_WAY_MAX);
        assert!(scene.stream.missed_at.is_some());
    }
}
