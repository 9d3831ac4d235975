//! What a broker knows of the metadata: one state, moved by the watch alone.
//!
//! Always true: the index only rises within one incarnation; a state is here only after its index was persisted as
//! seen (N1); a subscriber hears of every change, merged when it is slow.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use fidelog_log::env::{Clock, Moment};
use fidelog_record::types::MetaIndex;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::state::{Changes, ClusterState};

/// A broker's view of the metadata.
#[derive(Debug)]
pub struct MetaView {
    state: ArcSwapOption<ClusterState>,
    index: watch::Sender<MetaIndex>,
    lost_since: Mutex<Option<Moment>>,
    subscribers: Mutex<Vec<Weak<Pending>>>,
}

/// What one subscriber has not taken yet. Bounded by what exists, not by how often it changed.
#[derive(Debug, Default)]
struct Pending {
    changes: Mutex<Changes>,
    notify: Notify,
}

impl MetaView {
    /// An empty view, without a session since now.
    #[must_use]
    pub fn new(clock: &dyn Clock) -> Arc<Self> {
        Arc::new(Self {
            state: ArcSwapOption::empty(),
            index: watch::Sender::new(MetaIndex(0)),
            lost_since: Mutex::new(Some(clock.now())),
            subscribers: Mutex::default(),
        })
    }

    /// The state, once there is one.
    #[must_use]
    pub fn state(&self) -> Option<Arc<ClusterState>> {
        self.state.load_full()
    }

    /// The index of the state; 0 before there is one.
    #[must_use]
    pub fn index(&self) -> MetaIndex {
        *self.index.borrow()
    }

    /// The state once it has reached `index`: after an accepted proposal, the state that shows it.
    pub async fn wait_for(&self, index: MetaIndex) -> Arc<ClusterState> {
        let mut seen = self.index.subscribe();
        loop {
            seen.mark_unchanged();
            if let Some(state) = self.state().filter(|state| state.index() >= index) {
                return state;
            }
            // Stopping here is safe: nothing was taken.
            let changed = seen.changed().await;
            changed.expect("the view holds the sender and is borrowed here");
        }
    }

    /// Everything from now on, and everything there is already as the first change.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>) -> Subscription {
        let pending = Arc::new(Pending::default());
        self.subscribers.lock().push(Arc::downgrade(&pending));
        // After it is listed: what is published in between is told twice rather than never.
        if let Some(state) = self.state() {
            pending.add(&Changes::of_everything(&state));
        }
        Subscription { view: Arc::clone(self), pending }
    }

    /// Since when the watch has been broken; none while it is up.
    #[must_use]
    pub fn session_lost_since(&self) -> Option<Moment> {
        *self.lost_since.lock()
    }

    pub(super) fn session_up(&self) {
        *self.lost_since.lock() = None;
    }

    pub(super) fn session_lost(&self, now: Moment) {
        self.lost_since.lock().get_or_insert(now);
    }

    /// Shows a state whose index has been persisted.
    pub(super) fn publish(&self, state: Arc<ClusterState>, changes: &Changes) {
        let index = state.index();
        self.state.store(Some(state));
        self.index.send_replace(index);
        self.subscribers.lock().retain(|subscriber| match subscriber.upgrade() {
            Some(pending) => {
                pending.add(changes);
                true
            }
            None => false,
        });
    }
}

impl Pending {
    fn add(&self, changes: &Changes) {
        self.changes.lock().merge(changes.clone());
        self.notify.notify_one();
    }
}

/// Somebody who looks again where something changed.
#[derive(Debug)]
pub struct Subscription {
    view: Arc<MetaView>,
    pending: Arc<Pending>,
}

impl Subscription {
    /// Waits for changes, and gives all there are with a state that shows at least these.
    pub async fn next(&mut self) -> (Arc<ClusterState>, Changes) {
        loop {
            // Stopping here is safe: changes stay pending until they are taken, below and without waiting.
            self.pending.notify.notified().await;
            let changes = std::mem::take(&mut *self.pending.changes.lock());
            if let Some(state) = self.view.state().filter(|_| !changes.is_empty()) {
                return (state, changes);
            }
        }
    }
}
