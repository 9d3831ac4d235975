//! This broker's session with the active controller: its heartbeats, and what is made of the answers.
//!
//! Always true: nothing is acknowledged before the first answer, since the lease begins then; a process that was
//! superseded stops.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fidelog_log::env::{Clock, Entropy};
use fidelog_record::types::{BrokerEpoch, BrokerId};
use tokio::sync::watch;

use super::config::NodeConfig;
use super::running::{StopReason, Stopper};
use crate::meta::controller::active::Controller;
use crate::meta::lease::AckLease;
use crate::meta::quorum::FormerSessions;
use crate::meta::view::MetaView;
use crate::rpc::peer::{SelfReport, SessionParts, Standing, run_session};

/// What a session is made for.
pub(super) struct SessionOf<'a> {
    pub(super) config: &'a NodeConfig,
    pub(super) epoch: BrokerEpoch,
    pub(super) lease: AckLease,
    pub(super) view: Arc<MetaView>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) stopper: Stopper,
}

/// The node's end of its session.
#[derive(Debug)]
pub(super) struct Session {
    report: watch::Sender<SelfReport>,
    standing: watch::Receiver<Standing>,
}

impl Session {
    /// A session, and the task that must be run for it.
    pub(super) fn new(of: SessionOf<'_>) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (report, reports) = watch::channel(SelfReport::default());
        let (told, standing) = watch::channel(Standing::default());
        let parts = SessionParts {
            cluster: of.config.cluster,
            me: of.config.broker,
            epoch: of.epoch,
            controllers: of.config.controllers().iter().map(|it| (it.id, it.peer.clone())).collect(),
            lease: of.lease,
            view: of.view,
            clock: of.clock,
            entropy: of.entropy,
            report: reports,
            standing: told,
        };
        let (mut superseded, stopper) = (standing.clone(), of.stopper);
        let run = async move {
            // Stopping either is safe: what was not answered counts for nothing.
            tokio::select! {
                never = run_session(parts) => match never {},
                _ = superseded.wait_for(|it| *it == Standing::Superseded) => stopper.stop(StopReason::Superseded),
            }
        };
        (Self { report, standing }, run)
    }

    /// The logs that must be open are.
    pub(super) fn ready(&self) {
        self.report.send_modify(|report| report.ready = true);
    }

    /// Asks that others lead what this broker leads, and waits until that is so; `false` when it takes too long.
    pub(super) async fn hand_over(&mut self, wait_max: Duration) -> bool {
        self.report.send_modify(|report| report.stopping = true);
        let over = self.standing.wait_for(|it| matches!(it, Standing::Fenced | Standing::Superseded));
        tokio::time::timeout(wait_max, over).await.is_ok_and(|over| over.is_ok())
    }
}

/// What the quorum asks before a process registers (N13). The active controller knows; it is made after the quorum.
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
}
