//! What is committed and may be shown, and the watches over it.
//!
//! Always true: the index only rises; `recent` ends at the state's index and has no holes; before there is a state,
//! watches wait for one.

use std::collections::VecDeque;
use std::sync::Arc;

use fidelog_record::types::MetaIndex;
use futures::StreamExt;
use futures::stream;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::meta::quorum::{WATCH_ENTRIES_MAX, WatchError, WatchEvent, WatchStream};
use crate::meta::state::{ClusterState, Entry};

/// Entries with their indexes, in order.
pub(in crate::meta) type NumberedEntries = Vec<(MetaIndex, Arc<Entry>)>;

/// Entries kept in memory for watchers that resume; who is further behind gets a snapshot.
const RECENT_ENTRIES_MAX: usize = 10_000;

/// What is committed.
#[derive(Debug)]
pub(in crate::meta) struct Published {
    inner: Mutex<Inner>,
    /// Rung at every change of `inner`.
    bell: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Option<Arc<ClusterState>>,
    recent: VecDeque<(MetaIndex, Arc<Entry>)>,
    stopped: Option<String>,
}

impl Published {
    /// Nothing yet.
    pub(in crate::meta) fn empty() -> Self {
        Self { inner: Mutex::default(), bell: watch::Sender::new(()) }
    }

    /// Shows `state`, which is that before it plus `entries`.
    pub(in crate::meta) fn extend(&self, state: Arc<ClusterState>, entries: NumberedEntries) {
        let mut inner = self.inner.lock();
        assert_eq!(
            entries.last().map_or(state.index(), |(index, _)| *index),
            state.index(),
            "the entries shown end where the state stands"
        );
        inner.state = Some(state);
        inner.recent.extend(entries);
        inner.forget_old();
        drop(inner);
        self.bell.send_replace(());
    }

    /// Shows `state`, whatever was before it: a founded one, or one of a snapshot.
    pub(in crate::meta) fn replace(&self, state: Arc<ClusterState>) {
        let mut inner = self.inner.lock();
        let (index, before) = (state.index(), inner.index());
        assert!(index >= before, "a state at {index} cannot replace one at {before}");
        inner.recent.clear();
        inner.state = Some(state);
        drop(inner);
        self.bell.send_replace(());
    }

    /// Nothing will be shown any more; the first reason is kept.
    pub(in crate::meta) fn stop(&self, reason: &str) {
        self.inner.lock().stopped.get_or_insert_with(|| reason.to_owned());
        self.bell.send_replace(());
    }

    pub(in crate::meta) fn why_stopped(&self) -> String {
        self.inner.lock().stopped.clone().unwrap_or_else(|| "its writer is gone".to_owned())
    }

    /// The committed state, once there is one.
    pub(in crate::meta) fn state(&self) -> Option<Arc<ClusterState>> {
        self.inner.lock().state.clone()
    }

    /// What `look` finds in the committed state, once there is one.
    pub(in crate::meta) fn look<T>(&self, look: impl FnOnce(&ClusterState) -> T) -> Option<T> {
        self.inner.lock().state.as_deref().map(look)
    }

    /// The index of the committed state; 0 before there is one.
    pub(in crate::meta) fn index(&self) -> MetaIndex {
        self.inner.lock().index()
    }

    /// Why nothing will be shown any more.
    pub(in crate::meta) fn stopped(&self) -> Option<String> {
        self.inner.lock().stopped.clone()
    }

    /// Waits until there is a state at `index` or beyond.
    pub(in crate::meta) async fn wait_for(&self, index: MetaIndex) {
        let mut bell = self.bell.subscribe();
        loop {
            bell.mark_unchanged();
            if self.look(|state| state.index() >= index) == Some(true) {
                return;
            }
            // Stopping here is safe: nothing was taken.
            let changed = bell.changed().await;
            changed.expect("the bell is borrowed here");
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

    fn index(&self) -> MetaIndex {
        self.state.as_ref().map_or(MetaIndex(0), |state| state.index())
    }

    /// What follows `after`, unless nothing does.
    fn event_after(&self, after: MetaIndex) -> Option<(WatchEvent, MetaIndex)> {
        let state = self.state.as_ref().filter(|state| state.index() > after)?;
        let first = self.recent.front().map(|(index, _)| *index).filter(|first| *first <= after.next());
        match first {
            Some(first) => {
                let skip = usize::try_from(after.next().0 - first.0)
                    .expect("entries in memory are fewer than usize");
                let entries: Vec<_> =
                    self.recent.iter().skip(skip).take(WATCH_ENTRIES_MAX).cloned().collect();
                let last = entries.last().map_or(after, |(index, _)| *index);
                Some((WatchEvent::Entries(entries), last))
            }
            None => Some((WatchEvent::Snapshot(Arc::clone(state)), state.index())),
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
            Place::Ended => return None,
            Place::Before(from) => {
                if let Some(state) = &inner.state {
                    let (cluster, incarnation) = (state.cluster(), state.incarnation());
                    let index = state.index();
                    self.place = match from {
                        MetaIndex(0) => Place::Fresh,
                        from if from > index => Place::Ended,
                        from => Place::After(from),
                    };
                    let ancestors = state.ancestors().to_vec();
                    return Some(Some(Ok(WatchEvent::Opened { cluster, incarnation, index, ancestors })));
                }
            }
            Place::Fresh => {
                if let Some(state) = inner.state.clone() {
                    self.place = Place::After(state.index());
                    return Some(Some(Ok(WatchEvent::Snapshot(state))));
                }
            }
            Place::After(after) => {
                if let Some((event, last)) = inner.event_after(after) {
                    self.place = Place::After(last);
                    return Some(Some(Ok(event)));
                }
            }
        }
        let Some(reason) = inner.stopped.clone() else {
            return Some(None);
        };
        self.place = Place::Ended;
        Some(Some(Err(WatchError::Lost { reason })))
    }
}
