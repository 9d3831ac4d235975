//! A node that runs, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::{DataDir, Flusher};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::session::Session;
use super::threads::{FlushThread, QuorumThread};
use crate::meta::view::MetaView;
use crate::partition::Partitions;

/// How long a stop waits for what is under way (D16: a stop ends within 10 s).
const DRAIN_MAX: Duration = Duration::from_secs(8);

/// How long of that for handing over leadership.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);

/// Why a node stops by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// A sync failed: nothing of this data directory is believed any more (G6).
    #[error("the data directory failed: {0}")]
    DiskFailed(String),
    /// A log cannot be opened.
    #[error("a partition cannot be opened: {0}")]
    CannotOpen(String),
    /// The metadata is lost, foreign or unreadable.
    #[error("the metadata cannot be followed: {0}")]
    Metadata(String),
    /// Another process of this broker registered.
    #[error("another process registered as this broker; only one may run")]
    Superseded,
    /// A listener ended.
    #[error("a listener ended: {0}")]
    Listener(String),
}

/// Stops the node once, with the first reason.
#[derive(Clone, Debug)]
pub(super) struct Stopper {
    reason: watch::Sender<Option<StopReason>>,
}

impl Stopper {
    pub(super) fn new() -> Self {
        Self { reason: watch::Sender::new(None) }
    }

    pub(super) fn stop(&self, reason: StopReason) {
        self.reason.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(reason);
            is_first
        });
    }

    /// Resolves when the node must stop.
    pub(super) async fn wait(&self) -> StopReason {
        let mut reason = self.subscribe();
        // Stopping here is safe: the reason stays.
        match reason.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    fn subscribe(&self) -> watch::Receiver<Option<StopReason>> {
        self.reason.subscribe()
    }
}

/// A node that runs.
#[derive(Debug)]
pub struct Node {
    pub(super) clients: Option<Runtime>,
    pub(super) peers: Option<Runtime>,
    pub(super) home: Arc<DataDir>,
    pub(super) flusher: Arc<Flusher>,
    pub(super) flush_thread: FlushThread,
    pub(super) quorum_thread: Option<QuorumThread>,
    /// Of a node that holds replicas.
    pub(super) session: Option<Session>,
    pub(super) partitions: Arc<Partitions>,
    pub(super) view: Arc<MetaView>,
    pub(super) stopper: Stopper,
    /// Ends the public services: streams finish what they have taken on.
    pub(super) stop_clients: CancellationToken,
    /// Ends everything between brokers.
    pub(super) stop_peers: CancellationToken,
    pub(super) client_tasks: TaskTracker,
    pub(super) peer_tasks: TaskTracker,
    /// Where it listens for clients.
    pub(super) listen: SocketAddr,
    /// Where it listens for brokers.
    pub(super) peer_listen: SocketAddr,
}

impl Node {
    /// Where it listens for clients: the port that was chosen when 0 was asked for.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where it listens for brokers.
    #[must_use]
    pub fn peer_listen(&self) -> SocketAddr {
        self.peer_listen
    }

    /// Resolves when the node must stop, and says why. It still has to be stopped.
    pub fn failed(&self) -> impl Future<Output = StopReason> + Send + 'static {
        let (stopper, home) = (self.stopper.clone(), Arc::clone(&self.home));
        async move {
            let reason = stopper.wait().await;
            // Whoever stumbles over a failed disk first, the disk is why.
            home.latched().map_or(reason, |latched| StopReason::DiskFailed(latched.to_string()))
        }
    }

    /// Stops: what it leads is handed over, no new requests, what was placed is given time to commit, everybody who waits is told, the logs are
    /// synced and closed. `true` when the next start will find a clean stop. Blocking.
    #[must_use = "an unclean stop is worth telling"]
    pub fn stop(mut self) -> bool {
        info!("stopping");
        self.hand_over();
        self.stop_clients.cancel();
        self.client_tasks.close();
        if let Some(clients) = self.clients.take() {
            let drained = clients.block_on(async {
                tokio::time::timeout(DRAIN_MAX / 2, self.client_tasks.wait()).await.is_ok()
            });
            if !drained {
                warn!("some clients did not end in time; they are cut off");
            }
            clients.shutdown_timeout(Duration::from_millis(200));
        }
        for partition in self.partitions.all() {
            partition.stopping();
        }
        self.stop_peers.cancel();
        self.peer_tasks.close();
        if let Some(peers) = self.peers.take() {
            let ended = peers.block_on(async {
                tokio::time::timeout(DRAIN_MAX / 4, self.peer_tasks.wait()).await.is_ok()
            });
            if !ended {
                warn!("some tasks did not end in time");
            }
            peers.shutdown_timeout(Duration::from_millis(200));
        }
        self.flush_thread.join(&self.flusher);
        // A clean stop speaks for the metadata store, too: a commit that is under way must have come to its end.
        let decided = self.quorum_thread.take().is_none_or(|thread| thread.join(DRAIN_MAX / 4));
        let clean = decided
            && self.flusher.shutdown().unwrap_or_else(|failure| {
                warn!("the logs were not closed: {failure}");
                false
            });
        if !clean {
            warn!("the stop is not clean");
        }
        info!(index = %self.view.index(), clean, "stopped");
        clean
    }

    /// Others lead from now on what this broker led, if anybody can.
    fn hand_over(&mut self) {
        let (Some(peers), Some(session)) = (&self.peers, &mut self.session) else { return };
        if self.home.latched().is_some() {
            return; // What failed stops at once; its end fences it.
        }
        if !peers.block_on(session.hand_over(HAND_OVER_MAX)) {
            warn!("leadership was not handed over in time; it moves when this broker is missed");
        }
    }
}
