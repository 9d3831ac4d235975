//! What happened lately, in memory, for those who watch.
//!
//! Always true: whoever has seen all up to an index, and asks for what came after it, misses nothing without being told
//! so. Bounded: the oldest go.

use std::collections::VecDeque;
use std::sync::Arc;

use fidelog_log::env::Clock;
use fidelog_proto::v1::{ClusterEvent, WatchEventsResponse};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::events;
use crate::meta::state::ClusterState;
use crate::meta::view::MetaView;

/// Events kept.
const KEPT_MAX: usize = 10_000;
/// Events of one answer.
const EVENTS_PER_ANSWER: usize = 500;

/// What happened lately.
#[derive(Debug)]
pub(in crate::rpc) struct Journal {
    kept: Mutex<Kept>,
    /// The metadata index that was last looked at.
    seen: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<ClusterEvent>,
    /// What happened up to here is not kept.
    gone_to: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self { kept: Mutex::default(), seen: watch::Sender::new(0) }
    }
}

impl Journal {
    /// Notes what happens, for ever.
    pub(in crate::rpc) async fn keep(&self, meta: &Arc<MetaView>, clock: &dyn Clock) {
        let mut changed = meta.subscribe();
        let mut known: Option<Arc<ClusterState>> = None;
        loop {
            let (state, changes) = changed.next().await;
            let events = known.as_ref().map(|old| events::between(old, &state, &changes));
            self.note(state.index().0, events, clock.wall_ms());
            known = Some(state);
        }
    }

    /// `events`: what happened up to `index` since the last time; `None`: this is the first time.
    fn note(&self, index: u64, events: Option<Vec<ClusterEvent>>, at_ms: u64) {
        let mut kept = self.kept.lock();
        match events {
            Some(events) => kept.events.extend(events.into_iter().map(|event| ClusterEvent {
                metadata_index: index,
                at_ms,
                ..event
            })),
            None => kept.gone_to = index,
        }
        while kept.events.len() > KEPT_MAX {
            let gone = kept.events.pop_front().map_or(0, |event| event.metadata_index);
            kept.gone_to = kept.gone_to.max(gone);
        }
        drop(kept);
        self.seen.send_replace(index);
    }

    /// A look at what happens from the present on, or after this index; and whether some of that is gone.
    pub(super) fn look(&self, after: Option<u64>) -> (Look, bool) {
        let seen = self.seen.subscribe();
        let present = *seen.borrow();
        let gone_to = self.kept.lock().gone_to;
        let missed = after.is_some_and(|after| after < gone_to);
        (Look { seen, told_to: after.unwrap_or(present) }, missed)
    }

    /// What happened since the last look, once something did; at most so much that a message holds it.
    pub(super) async fn next(&self, look: &mut Look) -> WatchEventsResponse {
        loop {
            let seen = *look.seen.borrow_and_update();
            let response = self.after(look.told_to, seen);
            if !response.events.is_empty() {
                look.told_to = response.metadata_index;
                return response;
            }
            look.told_to = look.told_to.max(seen);
            // Stopping here is safe: nothing was taken.
            look.seen.changed().await.expect("the journal holds the sender and is borrowed here");
        }
    }

    fn after(&self, told_to: u64, seen: u64) -> WatchEventsResponse {
        let kept = self.kept.lock();
        let first = kept.events.partition_point(|event| event.metadata_index <= told_to);
        let mut events: Vec<ClusterEvent> = Vec::new();
        for event in kept.events.iter().skip(first) {
            // What has one index goes together: a watch taken up again at it would lose the rest.
            let same = events.last().is_some_and(|last| last.metadata_index == event.metadata_index);
            if events.len() >= EVENTS_PER_ANSWER && !same {
                break;
            }
            events.push(event.clone());
        }
        let last = events.last().map_or(seen, |event| event.metadata_index);
        WatchEventsResponse { events, metadata_index: last, ..WatchEventsResponse::default() }
    }
}

/// Where somebody who watches stands.
#[derive(Debug)]
pub(super) struct Look {
    seen: watch::Receiver<u64>,
    told_to: u64,
}

impl Look {
    /// All that happened up to here has been told.
    pub(super) fn told_to(&self) -> u64 {
        self.told_to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(kind: &str) -> ClusterEvent {
        ClusterEvent { kind: kind.to_owned(), ..ClusterEvent::default() }
    }

    fn kinds(answer: &WatchEventsResponse) -> Vec<&str> {
        answer.events.iter().map(|event| event.kind.as_str()).collect()
    }

    #[tokio::test]
    async fn a_watch_taken_up_again_goes_on_without_a_gap_or_a_repeat() {
        let journal = Journal::default();
        journal.note(5, None, 1);
        let (mut look, missed) = journal.look(None);
        assert!(!missed);
        journal.note(6, Some(vec![named("a"), named("b")]), 2);
        journal.note(7, Some(Vec::new()), 3);
        journal.note(8, Some(vec![named("c")]), 4);
        let told = journal.next(&mut look).await;
        assert_eq!((kinds(&told), told.metadata_index), (vec!["a", "b", "c"], 8));
        let (mut again, missed) = journal.look(Some(6));
        assert!(!missed);
        assert_eq!(kinds(&journal.next(&mut again).await), ["c"]);
        let (_, missed) = journal.look(Some(4));
        assert!(missed, "what came before the first look is not known");
    }

    #[tokio::test]
    async fn what_is_gone_is_told_as_missed_and_nothing_of_one_index_is_torn() {
        let journal = Journal::default();
        journal.note(1, None, 1);
        let many = |count: usize| Some(vec![named("x"); count]);
        journal.note(2, many(EVENTS_PER_ANSWER + 7), 1);
        journal.note(3, many(1), 1);
        let (mut look, _) = journal.look(Some(1));
        let first = journal.next(&mut look).await;
        assert_eq!((first.events.len(), first.metadata_index), (EVENTS_PER_ANSWER + 7, 2));
        assert_eq!(journal.next(&mut look).await.events.len(), 1);
        journal.note(4, many(KEPT_MAX), 1);
        assert!(journal.look(Some(2)).1);
        assert!(!journal.look(Some(3)).1);
    }
}
