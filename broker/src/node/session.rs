//! This broker's session with the active controller: its heartbeats, and what is made of the answers.
//!
//! Always true: nothing is acknowledged before the first answer, since the lease begins then; a process that was
//! superseded stops; one whose data directory failed says so for as long as it runs.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fidelog_log::env::{Clock, Disk, Entropy};
use fidelog_record::types::{BrokerEpoch, BrokerId};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::config::NodeConfig;
use super::running::{StopReason, Stopper};
use crate::meta::controller::active::Controller;
use crate::meta::lease::AckLease;
use crate::meta::quorum::FormerSessions;
use crate::meta::state::KnownFor;
use crate::meta::view::MetaView;
use crate::rpc::peer::{SelfReport, SessionParts, Standing, run_session};

/// How often the broker looks how much of its disk is free.
const DISK_EVERY: Duration = Duration::from_secs(10);

/// What a session is made for.
pub(super) struct SessionOf<'a> {
    pub(super) config: &'a NodeConfig,
    pub(super) epoch: BrokerEpoch,
    /// Where this node listens for brokers, and is reached by itself.
    pub(super) peer_address: SocketAddr,
    pub(super) lease: AckLease,
    pub(super) view: Arc<MetaView>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) stopper: Stopper,
}

/// The node's end of its session.
#[derive(Debug)]
pub(super) struct Session {
    report: Arc<watch::Sender<SelfReport>>,
    standing: watch::Receiver<Standing>,
}

impl Session {
    /// A session, and the task that must be run for it.
    pub(super) fn new(of: SessionOf<'_>) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (report, reports) = watch::channel(SelfReport::default());
        let report = Arc::new(report);
        let (told, standing) = watch::channel(Standing::default());
        let parts = SessionParts {
            cluster: of.config.cluster,
            me: of.config.broker,
            epoch: of.epoch,
            controllers: controllers(of.config, of.peer_address),
            lease: of.lease,
            view: of.view,
            clock: of.clock,
            entropy: of.entropy,
            report: reports,
            standing: told,
        };
        let watching = watch_standing(standing.clone(), Arc::clone(&report), of.stopper);
        let run = async move {
            // Stopping either is safe: what was not answered counts for nothing.
            tokio::select! {
                never = run_session(parts) => match never {},
                never = watching => match never {},
            }
        };
        (Self { report, standing }, run)
    }

    /// The logs that must be open are.
    pub(super) fn ready(&self) {
        self.report.send_modify(|report| report.ready = true);
    }

    /// Waits until the quorum has found this process to be alive and ready, and its leaders may acknowledge.
    pub(super) async fn alive(&self) {
        let mut standing = self.standing.clone();
        if standing.wait_for(|&it| it == Standing::Alive).await.is_err() {
            std::future::pending().await // The session ended: the node stops.
        }
    }

    /// Tells how much of the disk under `path` is free, now and then, for ever.
    pub(super) fn tell_free(
        &self,
        disk: Arc<dyn Disk>,
        path: PathBuf,
    ) -> impl Future<Output = ()> + Send + use<> {
        let report = Arc::clone(&self.report);
        async move {
            let mut every = tokio::time::interval(DISK_EVERY);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                // Stopping here is safe: nothing is kept.
                every.tick().await;
                let (disk, path) = (Arc::clone(&disk), path.clone());
                let free = tokio::task::spawn_blocking(move || disk.free_bytes(&path)).await;
                let free = free.ok().and_then(Result::ok);
                // It goes out with the next heartbeat, and is no reason for one.
                report.send_if_modified(|report| {
                    report.health.disk_free_bytes = free;
                    false
                });
            }
        }
    }

    /// Asks that others lead what this broker leads, and waits until that is so; `false` when it takes too long.
    pub(super) async fn hand_over(&mut self, wait_max: Duration) -> bool {
        self.report.send_modify(|report| report.stopping = true);
        let over = self.standing.wait_for(|it| matches!(it, Standing::Fenced | Standing::Superseded));
        tokio::time::timeout(wait_max, over).await.is_ok_and(|over| over.is_ok())
    }
}

/// All who may be the active controller; this node is reached where it listens.
fn controllers(config: &NodeConfig, mut own: SocketAddr) -> Vec<(BrokerId, String)> {
    if own.ip().is_unspecified() {
        own.set_ip(match own.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let address = |id: BrokerId, peer: &str| match id == config.broker {
        true => own.to_string(),
        false => peer.to_owned(),
    };
    config.controllers().iter().map(|it| (it.id, address(it.id, &it.peer))).collect()
}

/// Stops the node that was superseded; says of one whose data directory failed that it has, while it stops (G6).
async fn watch_standing(
    mut standing: watch::Receiver<Standing>,
    report: Arc<watch::Sender<SelfReport>>,
    stopper: Stopper,
) -> Infallible {
    let superseded = async { standing.wait_for(|&it| it == Standing::Superseded).await.is_ok() };
    tokio::select! {
        true = superseded => stopper.stop(StopReason::Superseded),
        reason = stopper.wait() => if let StopReason::DiskFailed(why) = reason {
            report.send_modify(|report| report.health.failed = Some(why));
        },
    }
    std::future::pending().await
}

/// What the quorum asks before a process registers (N13) or a partition is recovered (N9). The active controller knows; it is made after the quorum.
#[derive(Debug, Default)]
pub(super) struct Former(OnceLock<Arc<Controller>>);

impl Former {
    /// There is a controller from now on.
    pub(super) fn know(&self, controller: Arc<Controller>) {
        self.0.set(controller).expect("a node has one controller");
    }
}

impl FormerSessions for Former {
    fn is_open(&self, broker: BrokerId) -> bool {
        // Before it is there nothing was ever heard.
        self.0.get().is_some_and(|controller| controller.may_run(broker))
    }

    fn known_for(&self, broker: BrokerId) -> Option<KnownFor> {
        self.0.get()?.known_for(broker)
    }
}
