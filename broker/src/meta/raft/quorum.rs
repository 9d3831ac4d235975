//! A controller: a member of the quorum, and the quorum as its node sees it.
//!
//! ```text
//!   propose --leads here--> Proposer                   confirm --leads here--> Confirmer
//!          \--another leads--> Question over the wire         \--another leads--> Question over the wire
//!   watch: confirm, wait until that is applied here, then what is published here; confirmed again and again
//! ```
//!
//! Always true: a question that was passed on is not passed on again; a watch shows what was applied here, opens only
//! after a confirmed round, and ends when rounds fail for [`SILENCE_MAX`], so that a controller that was cut off
//! does not go on showing old metadata as if it were new.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::{Clock, Entropy};
use fidelog_record::types::MetaIndex;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use openraft::Raft;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::confirmer::{Confirmed, Confirmer};
use super::heard::Heard;
use super::leadership::{Leadership, NoRound};
use super::members::Members;
use super::network::Network;
use super::proposer::{NotDecided, Proposer, Waiting};
use super::seat::{Seat, SeatParts};
use super::types::TypeConfig;
use super::wire::QuorumWire;
use crate::meta::published::Published;
use crate::meta::quorum::{
    Accepted, FormerSessions, MetadataQuorum, ProposeError, QuorumStatus, Unconfirmed, VoterChange,
    VoterStatus, WatchError, WatchStream,
};
use crate::meta::state::{Proposal, TopicDefaults};

/// Proposals that may wait at the leader; whoever comes later waits to queue.
const PROPOSALS_WAITING_MAX: usize = 1_024;
/// Confirmations that may wait.
const ASKERS_WAITING_MAX: usize = 4_096;
/// How long a call looks for somebody who leads: longer than an election.
pub(super) const LOOK_MAX: Duration = Duration::from_millis(2_500);
/// How often an open watch is confirmed, and how long that may fail.
const CONFIRM_EVERY: Duration = Duration::from_millis(500);
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(2);

/// What a controller is made of, beside its store.
pub struct RaftParts {
    /// Who it is.
    pub seat: SeatParts,
    /// The way to the others.
    pub wire: Arc<dyn QuorumWire>,
    /// Who has a session.
    pub sessions: Arc<dyn FormerSessions>,
    /// What topics inherit, used once, when the metadata is founded.
    pub topic_defaults: TopicDefaults,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids.
    pub entropy: Arc<dyn Entropy>,
}

/// See the file. Clones share one controller.
#[derive(Clone)]
pub struct RaftQuorum {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) seat: Arc<Seat>,
    pub(super) raft: Raft<TypeConfig>,
    pub(super) leadership: Leadership,
    pub(super) published: Arc<Published>,
    pub(super) wire: Arc<dyn QuorumWire>,
    pub(super) members: Arc<Members>,
    heard: Heard,
    /// Gone once it is shut down.
    proposals: Mutex<Option<mpsc::Sender<Waiting>>>,
    askers: mpsc::Sender<oneshot::Sender<Confirmed>>,
    stop: CancellationToken,
}

impl fmt::Debug for RaftQuorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RaftQuorum({:?}, {:?})", self.inner.seat, self.inner.leadership.now())
    }
}

/// Why a controller does not start.
#[derive(Debug, thiserror::Error)]
#[error("the metadata quorum cannot start: {reason}")]
pub struct RaftStartError {
    /// What the library said.
    pub reason: String,
}

impl RaftQuorum {
    /// Starts a controller over an open store. To be called inside the runtime it is to run on, which must be no
    /// other's.
    ///
    /// # Errors
    /// [`RaftStartError`] when the store cannot be read.
    pub async fn start(
        parts: RaftParts,
        log: super::LogStore,
        machine: super::StateMachine,
        opened: &super::Opened,
    ) -> Result<Self, RaftStartError> {
        let published = Arc::clone(&opened.published);
        let RaftParts { seat, wire, sessions, topic_defaults, clock, entropy } = parts;
        let seat = Arc::new(Seat::new(seat, Arc::clone(&published)));
        let heard = Heard::default();
        let network = Network { seat: Arc::clone(&seat), wire: Arc::clone(&wire), heard: heard.clone() };
        let config = Arc::new(super::config::config());
        let raft = Raft::new(seat.node(), config, network, log, machine)
            .await
            .map_err(|fatal| RaftStartError { reason: fatal.to_string() })?;
        let leadership = Leadership::new(raft.clone(), seat.node(), opened.health());
        let (proposals, waiting) = mpsc::channel(PROPOSALS_WAITING_MAX);
        let (ask, askers) = mpsc::channel(ASKERS_WAITING_MAX);
        let stop = CancellationToken::new();
        let proposer = Proposer {
            raft: raft.clone(),
            leadership: leadership.clone(),
            published: Arc::clone(&published),
            waiting,
            sessions,
            clock,
            entropy: Arc::clone(&entropy),
            is_doubtful: false,
        };
        let confirmer =
            Confirmer { leadership: leadership.clone(), published: Arc::clone(&published), askers };
        let members = Arc::new(Members {
            seat: Arc::clone(&seat),
            raft: raft.clone(),
            leadership: leadership.clone(),
            published: Arc::clone(&published),
            wire: Arc::clone(&wire),
            topic_defaults,
            entropy,
            announced: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        });
        tokio::spawn(proposer.run());
        tokio::spawn(confirmer.run());
        tokio::spawn(stop.clone().run_until_cancelled_owned(leadership.clone().tell(heard.clone())));
        tokio::spawn(stop.clone().run_until_cancelled_owned(Arc::clone(&members).announce()));
        tokio::spawn(stop.clone().run_until_cancelled_owned(Arc::clone(&members).keep()));
        let proposals = Mutex::new(Some(proposals));
        let askers = ask;
        let inner =
            Inner { seat, raft, leadership, published, wire, members, heard, proposals, askers, stop };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Ends it: takes no more proposals, and returns when the library has ended.
    pub async fn shut_down(&self) {
        let inner = &self.inner;
        inner.published.stop("the controller was shut down");
        drop(inner.proposals.lock().take());
        inner.stop.cancel();
        if let Err(error) = inner.raft.shutdown().await {
            tracing::warn!(%error, "the metadata quorum did not end well");
        }
    }

    /// Resolves when the controller cannot go on, and says why. Not when it was shut down.
    pub fn failed(&self) -> impl Future<Output = String> + Send + 'static {
        let mut metrics = self.inner.raft.metrics();
        async move {
            loop {
                let running = metrics.borrow_and_update().running_state.clone();
                match running {
                    Ok(()) => {}
                    Err(openraft::error::Fatal::Stopped) => return std::future::pending().await,
                    Err(fatal) => return fatal.to_string(),
                }
                // Stopping here is safe: the state stays.
                if metrics.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Whether this controller leads, as far as it knows; see [`MetadataQuorum::confirm`] for proof.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.inner.leadership.is_mine()
    }

    /// A task's way to hear of changes of leadership: resolves at each change of what [`MetadataQuorum::status`]
    /// tells.
    pub fn changes(&self) -> impl futures::Stream<Item = ()> + Send + 'static {
        futures::stream::unfold(self.inner.raft.metrics(), async move |mut metrics| {
            metrics.changed().await.ok()?;
            Some(((), metrics))
        })
    }
}

impl Inner {
    /// Decides here, if this controller leads.
    pub(super) async fn propose_here(&self, proposal: Proposal) -> Result<Accepted, NotDecided> {
        let stopped = || {
            let reason = self.published.why_stopped();
            NotDecided::Error(ProposeError::Unavailable { reason })
        };
        let proposals = self.proposals.lock().clone().ok_or_else(stopped)?;
        if !self.leadership.is_mine() {
            return Err(NotDecided::NotLeader);
        }
        let (answer, answered) = oneshot::channel();
        // Stopping here is safe: a proposal not yet queued was not made.
        proposals.send(Waiting { proposal, answer }).await.map_err(|_| stopped())?;
        // Stopping here leaves the outcome unknown to whoever dropped the future, and to nobody else.
        answered.await.unwrap_or_else(|_| {
            let reason = self.published.why_stopped();
            Err(NotDecided::Error(ProposeError::Unreachable { reason }))
        })
    }

    /// Confirms here, if this controller leads.
    pub(super) async fn confirm_here(&self) -> Confirmed {
        let (answer, answered) = oneshot::channel();
        let stopped = || NoRound::Stopped(self.published.why_stopped());
        self.askers.send(answer).await.map_err(|_| stopped())?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Confirms, and waits until what that covers is applied here.
    async fn catch_up(&self, wait_max: Duration) -> Result<(), Unconfirmed> {
        let index = self.confirm().await?;
        let applied = self.published.wait_for(index);
        timeout_at(Instant::now() + wait_max, applied).await.map_err(|_| Unconfirmed {
            reason: format!("this controller is behind: it has not applied index {index} yet"),
        })
    }

    /// Returns when rounds have failed, or what they cover has not been applied here, for too long.
    async fn lose_touch(self: Arc<Self>) -> String {
        let mut since = Instant::now();
        loop {
            tokio::time::sleep(CONFIRM_EVERY).await;
            let round = timeout_at(since + SILENCE_MAX, self.catch_up(SILENCE_MAX)).await;
            match round {
                Ok(Ok(())) => since = Instant::now(),
                Ok(Err(unconfirmed)) if since.elapsed() >= SILENCE_MAX => return unconfirmed.reason,
                Ok(Err(_)) => {}
                Err(_) => {
                    return format!(
                        "no majority answered, or this controller fell behind, for {SILENCE_MAX:?}"
                    );
                }
            }
        }
    }

    pub(super) fn status(&self) -> QuorumStatus {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        let votes: std::collections::BTreeSet<_> = membership.voter_ids().collect();
        let matched = |node| {
            let replication = metrics.replication.as_ref()?;
            replication.get(node).copied().flatten().map(|log_id| log_id.index)
        };
        let leads = metrics.current_leader == Some(metrics.id);
        let silent = |node| leads && node != metrics.id && self.heard.is_silent(node);
        let voters = membership.nodes().map(|(node, voter)| VoterStatus {
            node: *node,
            broker: voter.broker,
            address: self.seat.address_of(voter),
            votes: votes.contains(node),
            matched: matched(node),
            silent: silent(*node),
        });
        // What the library last knew is old while it waits for the disk.
        let leader = metrics.current_leader.filter(|_| !self.leadership.is_full());
        let leader = leader.and_then(|node| membership.get_node(&node));
        QuorumStatus {
            cluster: self.seat.cluster(),
            incarnation: self.published.look(|state| state.incarnation()).unwrap_or_default(),
            index: self.published.index(),
            term: metrics.current_term,
            leader: leader.map(|voter| voter.broker),
            voters: voters.collect(),
            stopped: self.published.stopped(),
        }
    }
}

impl MetadataQuorum for RaftQuorum {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'static, Result<Accepted, ProposeError>> {
        let inner = Arc::clone(&self.inner);
        async move { inner.propose(proposal).await }.boxed()
    }

    fn confirm(&self) -> BoxFuture<'static, Result<MetaIndex, Unconfirmed>> {
        let inner = Arc::clone(&self.inner);
        async move { inner.confirm().await }.boxed()
    }

    fn watch(&self, from: MetaIndex) -> WatchStream {
        let inner = Arc::clone(&self.inner);
        let lost = |reason: String| Err(WatchError::Lost { reason });
        let opening = async move {
            match inner.catch_up(LOOK_MAX).await {
                Err(unconfirmed) => futures::stream::iter([lost(unconfirmed.reason)]).boxed(),
                Ok(()) => {
                    let out_of_touch = Arc::clone(&inner).lose_touch().map(lost);
                    let shown = inner.published.watch(from);
                    super::until::until(shown, out_of_touch).boxed()
                }
            }
        };
        futures::stream::once(opening).flatten().boxed()
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
