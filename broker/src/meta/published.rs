//! What is committed and may be shown, and the watches over it.
//!
//! Always true: `recent` ends at the state's index and has no holes.

use std::collections::VecDeque;
use std::sync::Arc;

use fidelog_record::types::{BrokerId, MetaIndex};
use futures::StreamExt;
use futures::stream;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::meta::quorum::{QuorumStatus, WATCH_ENTRIES_MAX, WatchError, WatchEvent, WatchStream};
use crate::meta::state::{ApplyError, ClusterState, Entry};
use crate::meta::store::Loaded;

/// Entries kept in memory for watchers that resume; who is further behind gets a snapshot.
const RECENT_ENTRIES_MAX: usize = 10_000;

/// What is committed.
#[derive(Debug)]
pub(in crate::meta) struct Published {
    inner: Mutex<Inner>,
    /// Rung at every change of `inner`.
    bell: watch::Sender<()>,
}

#[derive(Debug)]
struct Inner {
    state: ClusterState,
    recent: VecDeque<(MetaIndex, Arc<Entry>)>,
    stopped: Option<String>,
}

impl Published {
    pub(in crate::meta) fn new(loaded: Loaded) -> Self {
        let Loaded { state, entries } = loaded;
        let mut inner = Inner { state, recent: entries.into(), stopped: None };
        inner.forget_old();
        Self { inner: Mutex::new(inner), bell: watch::Sender::new(()) }
    }

    /// Shows entries that are committed.
    pub(in crate::meta) fn publish(&self, entries: Vec<(MetaIndex, Arc<Entry>)>) -> Result<(), ApplyError> {
        let mut inner = self.inner.lock();
        for (index, entry) in entries {
            inner.state.apply(index, &entry)?;
            inner.recent.push_back((index, entry));
        }
        inner.forget_old();
        drop(inner);
        self.bell.send_replace(());
        Ok(())
    }

    /// Nothing will be shown any more; the first reason is kept.
    pub(in crate::meta) fn stop(&self, reason: &str) {
        self.inner.lock().stopped.get_or_insert_with(|| reason.to_owned());
        self.bell.send_replace(());
    }

    pub(in crate::meta) fn why_stopped(&self) -> String {
        self.inner.lock().stopped.clone().unwrap_or_else(|| "its writer is gone".to_owned())
    }

    /// The committed state.
    pub(in crate::meta) fn state(&self) -> ClusterState {
        self.inner.lock().state.clone()
    }

    pub(in crate::meta) fn status(&self, broker: BrokerId) -> QuorumStatus {
        let inner = self.inner.lock();
        QuorumStatus {
            cluster: inner.state.cluster(),
            incarnation: inner.state.incarnation(),
            index: inner.state.index(),
            term: 0,
            leader: inner.stopped.is_none().then_some(broker),
            voters: Vec::new(),
            stopped: inner.stopped.clone(),
        }
    }

    pub(in crate::meta) fn watch(self: &Arc<Self>, from: MetaIndex) -> WatchStream {
        let watcher =
            Watcher { published: Arc::clone(self), bell: self.bell.subscribe(), place: Place::Before(from) };
        stream::unfold(watcher, Watcher::next).boxed()
    }
}

impl Inner {
    fn forget_old(&mut self) {
        while self.recent.len() > RECENT_ENTRIES_MAX {
            self.recent.pop_front();
        }
    }

    /// What follows `after`, unless nothing does.
    fn event_after(&self, after: MetaIndex) -> Option<(WatchEvent, MetaIndex)> {
        if after == self.state.index() && after != MetaIndex(0) {
            return None;
        }
        let first = self.recent.front().map(|(index, _)| *index).filter(|first| *first <= after.next());
        match first {
            Some(first) if after != MetaIndex(0) => {
                let skip = usize::try_from(after.next().0 - first.0)
                    .expect("entries in memory are fewer than usize");
                let entries: Vec<_> =
                    self.recent.iter().skip(skip).take(WATCH_ENTRIES_MAX).cloned().collect();
                let last = entries.last().map_or(after, |(index, _)| *index);
                Some((WatchEvent::Entries(entries), last))
            }
            _ => Some((WatchEvent::Snapshot(Arc::new(self.state.clone())), self.state.index())),
        }
    }
}

/// One watch.
struct Watcher {
    published: Arc<Published>,
    bell: watch::Receiver<()>,
    place: Place,
}

/// Where a watch stands.
///
/// ```text
///   Before --opened--> Fresh (asked from 0) --snapshot--> After
///          \--opened--> After --entries, snapshot--> After
///   Before (asked beyond the end), After (stopped) --> Ended
/// ```
#[derive(Clone, Copy)]
enum Place {
    /// Nothing shown; asked from here.
    Before(MetaIndex),
    /// The whole state is due.
    Fresh,
    /// Shown up to here.
    After(MetaIndex),
    /// Over.
    Ended,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<WatchEvent, WatchError>, Self)> {
        loop {
            // Marked as heard before looking, so that nothing published in between is missed.
            self.bell.mark_unchanged();
            if let Some(event) = self.look()? {
                return Some((event, self));
            }
            // Stopping here is safe: the place moves only together with an event.
            if self.bell.changed().await.is_err() {
                return None;
            }
        }
    }

    /// The next event if there is one now; none at all when the watch is over.
    fn look(&mut self) -> Option<Option<Result<WatchEvent, WatchError>>> {
        let inner = self.published.inner.lock();
        match self.place {
            Place::Ended => None,
            Place::Before(from) => {
                let (cluster, incarnation) = (inner.state.cluster(), inner.state.incarnation());
                let index = inner.state.index();
                self.place = match from {
                    MetaIndex(0) => Place::Fresh,
                    from if from > index => Place::Ended,
                    from => Place::After(from),
                };
                Some(Some(Ok(WatchEvent::Opened { cluster, incarnation, index })))
            }
            Place::Fresh => {
                self.place = Place::After(inner.state.index());
                Some(Some(Ok(WatchEvent::Snapshot(Arc::new(inner.state.clone())))))
            }
            Place::After(after) => {
                if let Some((event, last)) = inner.event_after(after) {
                    self.place = Place::After(last);
                    return Some(Some(Ok(event)));
                }
                let Some(reason) = inner.stopped.clone() else {
                    return Some(None);
                };
                self.place = Place::Ended;
                Some(Some(Err(WatchError::Lost { reason })))
            }
        }
    }
}
