//! A quorum in memory, for tests of whoever stands around it: it decides on the real state, and can be told to hesitate.

use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::{Clock, Moment};
use fidelog_record::types::{BrokerEpoch, BrokerId, ClusterId, MetaIndex};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::meta::quorum::{Accepted, MetadataQuorum, ProposeError, QuorumStatus, Unconfirmed, WatchStream};
use crate::meta::state::fixture::{NOW_MS, done, founded, register, registration, topic_id};
use crate::meta::state::{Changes, ClusterState, Minted, Outcome, Proposal};
use crate::meta::view::MetaView;

/// Whose quorum it is.
pub(crate) const CLUSTER: ClusterId = ClusterId::from_bytes([0xc1; 16]);

/// The test's time, which passes as the runtime says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokioClock(Instant);

impl TokioClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Moment {
        Moment::default().plus(Duration::from_secs(1) + self.0.elapsed())
    }

    fn wall_ms(&self) -> u64 {
        NOW_MS
    }
}

/// A quorum whose view is moved by what it accepts.
#[derive(Debug)]
pub(crate) struct MemoryQuorum {
    pub(crate) view: Arc<MetaView>,
    state: Mutex<ClusterState>,
    status: Mutex<QuorumStatus>,
    /// Whether rounds come to an end.
    confirms: watch::Sender<bool>,
    /// Whether proposals are decided.
    decides: watch::Sender<bool>,
    /// What was proposed, decided or not.
    pub(crate) proposed: Mutex<Vec<Proposal>>,
}

impl MemoryQuorum {
    /// Brokers 1 to `brokers` are registered, and unfenced; broker 1 leads the quorum.
    pub(crate) fn new(clock: &dyn Clock, brokers: u32) -> Arc<Self> {
        let mut state = founded();
        for broker in 1..=brokers {
            done(&mut state, &register(registration(broker)));
            let proposal = Proposal::UnfenceBroker {
                broker: BrokerId(broker),
                broker_epoch: state.broker(BrokerId(broker)).unwrap().epoch,
            };
            done(&mut state, &proposal);
        }
        let view = MetaView::new(clock);
        view.publish(Arc::new(state.clone()), &Changes::of_everything(&state));
        let status = QuorumStatus { leader: Some(BrokerId(1)), term: 1, ..QuorumStatus::default() };
        Arc::new(Self {
            view,
            state: Mutex::new(state),
            status: Mutex::new(status),
            confirms: watch::Sender::new(true),
            decides: watch::Sender::new(true),
            proposed: Mutex::default(),
        })
    }

    pub(crate) fn lead(&self, leader: u32) {
        let mut status = self.status.lock();
        (status.leader, status.term) = (Some(BrokerId(leader)), status.term + 1);
    }

    pub(crate) fn let_confirm(&self, confirms: bool) {
        self.confirms.send_replace(confirms);
    }

    pub(crate) fn let_decide(&self, decides: bool) {
        self.decides.send_replace(decides);
    }

    pub(crate) fn epoch(&self, broker: u32) -> BrokerEpoch {
        self.state.lock().broker(BrokerId(broker)).unwrap().epoch
    }

    pub(crate) fn decide(&self, proposal: &Proposal) -> Result<Accepted, ProposeError> {
        let mut state = self.state.lock();
        let minted = Minted { topic: topic_id(7) };
        let refused = |refusal| ProposeError::Refused { refusal };
        let entry = state.decide(proposal, NOW_MS, &minted).map_err(refused)?;
        let index = state.index().next();
        let changes = state.apply(index, &entry).unwrap();
        self.view.publish(Arc::new(state.clone()), &changes);
        Ok(Accepted { index, outcome: Outcome::of(&entry) })
    }

    /// The view, once `broker` is fenced or not.
    pub(crate) async fn until_fenced(&self, broker: u32, fenced: bool) {
        let mut subscription = self.view.subscribe();
        while subscription.next().await.0.broker(BrokerId(broker)).unwrap().fenced != fenced {}
    }
}

/// A quorum shared by its test.
#[derive(Clone, Debug)]
pub(crate) struct Shared(pub(crate) Arc<MemoryQuorum>);

impl MetadataQuorum for Shared {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'static, Result<Accepted, ProposeError>> {
        let quorum = Arc::clone(&self.0);
        quorum.proposed.lock().push(proposal.clone());
        let mut decides = quorum.decides.subscribe();
        async move {
            decides.wait_for(|&decides| decides).await.unwrap();
            quorum.decide(&proposal)
        }
        .boxed()
    }

    fn confirm(&self) -> BoxFuture<'static, Result<MetaIndex, Unconfirmed>> {
        let quorum = Arc::clone(&self.0);
        let mut confirms = quorum.confirms.subscribe();
        async move {
            confirms.wait_for(|&confirms| confirms).await.unwrap();
            Ok(quorum.state.lock().index())
        }
        .boxed()
    }

    fn watch(&self, _: MetaIndex) -> WatchStream {
        Box::pin(futures::stream::pending())
    }

    fn status(&self) -> QuorumStatus {
        self.0.status.lock().clone()
    }
}
