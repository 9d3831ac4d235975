//! A view over quorums that repeat, skip, go back and fall silent.

use std::collections::VecDeque;

use fidelog_log::env::{RealClock, RealEntropy};
use futures::future::BoxFuture;
use futures::stream;
use parking_lot::Mutex;

use super::super::quorum::{Accepted, ProposeError, QuorumStatus, Unconfirmed, WatchStream};
use super::super::state::fixture::{at, change_isr, cluster, done, opened};
use super::super::state::{Minted, Proposal};
use super::*;

type Script = Vec<Result<WatchEvent, WatchError>>;

/// A quorum that plays one script per connection, then stays silent.
#[derive(Debug, Default)]
struct Scripted {
    scripts: Mutex<VecDeque<Script>>,
    asked: Mutex<Vec<MetaIndex>>,
}

impl MetadataQuorum for Scripted {
    fn propose(&self, _: Proposal) -> BoxFuture<'static, Result<Accepted, ProposeError>> {
        unreachable!("a follower proposes nothing")
    }

    fn confirm(&self) -> BoxFuture<'static, Result<MetaIndex, Unconfirmed>> {
        unreachable!("a follower confirms nothing")
    }

    fn watch(&self, from: MetaIndex) -> WatchStream {
        self.asked.lock().push(from);
        match self.scripts.lock().pop_front() {
            Some(script) => stream::iter(script).boxed(),
            None => stream::pending().boxed(),
        }
    }

    fn status(&self) -> QuorumStatus {
        unreachable!("a follower asks for no status")
    }
}

/// Keeps what was persisted, and what the view showed at that moment.
struct Kept {
    view: Arc<MetaView>,
    log: Mutex<Vec<(u64, u64)>>,
    /// How often the disk has no room.
    refusals: Mutex<u32>,
}

impl PersistSeen for Kept {
    fn persist(&self, seen: HighestSeen) -> io::Result<()> {
        let mut refusals = self.refusals.lock();
        if *refusals > 0 {
            *refusals -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.log.lock().push((seen.index.0, self.view.index().0));
        Ok(())
    }
}

struct Stage {
    view: Arc<MetaView>,
    quorum: Arc<Scripted>,
    kept: Arc<Kept>,
}

impl Stage {
    fn new(scripts: Vec<Script>) -> Self {
        let view = MetaView::new(&RealClock);
        let quorum = Arc::new(Scripted { scripts: Mutex::new(scripts.into()), ..Scripted::default() });
        let kept =
            Arc::new(Kept { view: Arc::clone(&view), log: Mutex::default(), refusals: Mutex::default() });
        Self { view, quorum, kept }
    }

    fn follower(&self, seen: HighestSeen) -> Follower {
        Follower {
            view: Arc::clone(&self.view),
            quorum: self.quorum.clone(),
            cluster: cluster(),
            seen,
            persist: self.kept.clone(),
            backoff: Backoff { first: Duration::from_micros(10), max: Duration::from_micros(50) },
            clock: Arc::new(RealClock),
            entropy: Arc::new(RealEntropy),
        }
    }
}

fn hello(state: &ClusterState) -> Result<WatchEvent, WatchError> {
    let (cluster, incarnation, index) = (state.cluster(), state.incarnation(), state.index());
    let ancestors = state.ancestors().to_vec();
    Ok(WatchEvent::Opened { cluster, incarnation, index, ancestors })
}

fn snapshot(state: &ClusterState) -> Result<WatchEvent, WatchError> {
    Ok(WatchEvent::Snapshot(Arc::new(state.clone())))
}

/// Decides and applies `isr` on the one partition, and gives the entry.
fn change(state: &mut ClusterState, isr: &[u32]) -> (MetaIndex, Arc<Entry>) {
    let proposal = change_isr(state, at(0xaa, 0), isr);
    let entry = state.decide(&proposal, 0, &Minted { topic: at(0xee, 0).topic }).unwrap();
    done(state, &proposal);
    (state.index(), Arc::new(entry))
}

fn lost() -> Result<WatchEvent, WatchError> {
    Err(WatchError::Lost { reason: "unplugged".to_owned() })
}

#[tokio::test]
async fn entries_are_applied_once_in_order_and_persisted_before_they_show() {
    let mut state = opened(3);
    let start = state.clone();
    let entries: Vec<_> = [&[1, 2][..], &[1], &[1, 2, 3]].map(|isr| change(&mut state, isr)).into();
    let stage = Stage::new(vec![
        vec![hello(&start), snapshot(&start), Ok(WatchEvent::Entries(entries[..2].to_vec())), lost()],
        vec![hello(&state), Ok(WatchEvent::Entries(entries.clone())), snapshot(&start)],
    ]);
    let follower = tokio::spawn(stage.follower(HighestSeen::default()).run());
    let seen = stage.view.wait_for(state.index()).await;
    assert_eq!(*seen, state);
    // The script ends with an old snapshot; the third connection shows that it was passed over.
    while stage.quorum.asked.lock().len() < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.view.index(), state.index());
    let first = start.index().0;
    assert_eq!(*stage.kept.log.lock(), [(first, 0), (first + 2, first), (first + 3, first + 2)]);
    assert_eq!(*stage.quorum.asked.lock(), [MetaIndex(0), MetaIndex(first + 2), MetaIndex(first + 3)]);
    assert!(stage.view.session_lost_since().is_some());
    follower.abort();
}

/// A broker stopped when its disk had no byte left for the index it had seen.
#[tokio::test]
async fn a_full_disk_keeps_metadata_waiting_and_ends_nothing() {
    let mut state = opened(3);
    let start = state.clone();
    let entries = vec![change(&mut state, &[1, 2])];
    let entries = || Ok(WatchEvent::Entries(entries.clone()));
    let stage = Stage::new(vec![
        vec![hello(&start), snapshot(&start)],
        vec![hello(&start), snapshot(&start)],
        vec![hello(&start), snapshot(&start), entries()],
    ]);
    *stage.kept.refusals.lock() = 2;
    let follower = tokio::spawn(stage.follower(HighestSeen::default()).run());
    assert_eq!(*stage.view.wait_for(state.index()).await, state);
    let first = start.index().0;
    assert_eq!(*stage.kept.log.lock(), [(first, 0), (first + 1, first)], "kept before it is shown");
    follower.abort();
}

#[tokio::test]
async fn a_hole_is_asked_for_again() {
    let mut state = opened(3);
    let start = state.clone();
    let entries: Vec<_> = [&[1, 2][..], &[1]].map(|isr| change(&mut state, isr)).into();
    let stage = Stage::new(vec![
        vec![hello(&start), snapshot(&start), Ok(WatchEvent::Entries(entries[1..].to_vec()))],
        vec![hello(&state), Ok(WatchEvent::Entries(entries))],
    ]);
    let follower = tokio::spawn(stage.follower(HighestSeen::default()).run());
    assert_eq!(*stage.view.wait_for(state.index()).await, state);
    follower.abort();
}

#[tokio::test]
async fn a_rebuilt_quorum_is_followed_by_whom_it_covers_and_by_nobody_else() {
    let former = opened(2);
    let rebuilt = former.rebuilt(Incarnation::from_bytes([9; 16]), 0);
    for (index, follows) in [(former.index(), true), (former.index().next(), false)] {
        let stage = Stage::new(vec![vec![hello(&rebuilt), snapshot(&rebuilt)]]);
        let seen = HighestSeen { incarnation: Some(former.incarnation()), index };
        let follower = tokio::spawn(stage.follower(seen).run());
        if follows {
            assert_eq!(*stage.view.wait_for(rebuilt.index()).await, rebuilt);
            follower.abort();
        } else {
            let error = follower.await.unwrap().unwrap_err();
            assert!(matches!(error, FollowError::MetadataLost { .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn a_quorum_behind_or_of_another_incarnation_is_metadata_lost() {
    let state = opened(2);
    let ahead = HighestSeen { incarnation: Some(state.incarnation()), index: state.index().next() };
    let other = HighestSeen { incarnation: Some(Incarnation::from_bytes([9; 16])), index: MetaIndex(1) };
    for seen in [ahead, other] {
        let stage = Stage::new(vec![vec![hello(&state), snapshot(&state)]]);
        let error = stage.follower(seen).run().await.unwrap_err();
        assert!(matches!(error, FollowError::MetadataLost { .. }), "{error}");
        assert!(stage.view.state().is_none() && stage.kept.log.lock().is_empty());
    }
}

#[tokio::test]
async fn another_cluster_or_an_entry_that_does_not_fit_ends_it() {
    let state = opened(2);
    let stage = Stage::new(vec![vec![hello(&state)]]);
    let mut follower = stage.follower(HighestSeen::default());
    follower.cluster = ClusterId::from_bytes([9; 16]);
    assert!(matches!(follower.run().await, Err(FollowError::WrongCluster { .. })));
    let misfit = Arc::new(Entry::TopicDeleted { topic: at(0xdd, 0).topic, deleted_at_ms: 1 });
    let entries = Ok(WatchEvent::Entries(vec![(state.index().next(), misfit)]));
    let stage = Stage::new(vec![vec![hello(&state), snapshot(&state), entries]]);
    let ended = stage.follower(HighestSeen::default()).run().await;
    assert!(matches!(ended, Err(FollowError::Apply(ApplyError::Misfit { .. }))));
    assert_eq!(stage.view.index(), state.index(), "the view stays at the last good state");
}

#[tokio::test]
async fn a_slow_subscriber_hears_of_every_change_merged() {
    let mut state = opened(3);
    let start = state.clone();
    let stage = Stage::new(vec![]);
    let mut early = stage.view.subscribe();
    stage.view.publish(Arc::new(start.clone()), &Changes::of_everything(&start));
    let (_, everything) = early.next().await;
    assert_eq!(everything, Changes::of_everything(&start));
    for isr in [&[1, 2][..], &[1]] {
        let before = state.clone();
        change(&mut state, isr);
        stage.view.publish(Arc::new(state.clone()), &Changes::between(&before, &state));
    }
    let (seen, changes) = early.next().await;
    assert_eq!(seen.index(), state.index());
    assert_eq!(changes, Changes::between(&start, &state));
    let (_, late) = stage.view.subscribe().next().await;
    assert_eq!(late, Changes::of_everything(&state));
}
