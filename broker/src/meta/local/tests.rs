//! A quorum of one: committed together, shown in order, silent after a failure.

use std::sync::Arc;

use fidelog_log::env::{Disk, Latched, RealClock, RealEntropy};
use fidelog_record::types::{BrokerId, MetaIndex};
use futures::StreamExt;

use super::super::faulty_disk::FaultyDisk;
use super::super::quorum::{Accepted, MetadataQuorum, ProposeError, WatchError, WatchEvent, WatchStream};
use super::super::state::fixture::{cluster, create, founded, register, registration};
use super::super::state::{ClusterState, Outcome, Proposal, Refusal, Registration};
use super::super::store::{LastStop, MetaStore, StoreOptions};
use super::{LocalQuorum, LocalWriter, Turn};

struct Room {
    disk: FaultyDisk,
    directory: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        let room = Self { disk: FaultyDisk::default(), directory: tempfile::tempdir().unwrap() };
        MetaStore::format(&room.disk, room.directory.path(), &founded()).unwrap();
        room
    }

    fn open(&self) -> (LocalQuorum, LocalWriter) {
        let clock = Arc::new(RealClock);
        let disk = Latched::new(Arc::new(self.disk.clone()), self.directory.path(), clock.clone());
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let options = StoreOptions::default();
        let (store, loaded) =
            MetaStore::open(disk, self.directory.path(), cluster(), LastStop::Unclean, options).unwrap();
        LocalQuorum::new(BrokerId(1), store, loaded, clock, Arc::new(RealEntropy))
    }
}

fn grant(count: u32) -> Proposal {
    Proposal::GrantProducerIds { broker: BrokerId(1), count }
}

/// The state as a watcher sees it, without waiting for more.
async fn follow(stream: &mut WatchStream, to: MetaIndex) -> ClusterState {
    let mut state: Option<ClusterState> = None;
    loop {
        match stream.next().await.unwrap().unwrap() {
            WatchEvent::Opened { .. } => {}
            WatchEvent::Snapshot(snapshot) => state = Some(ClusterState::clone(&snapshot)),
            WatchEvent::Entries(entries) => {
                for (index, entry) in entries {
                    state.as_mut().expect("a snapshot comes first").apply(index, &entry).unwrap();
                }
            }
        }
        if let Some(state) = state.take_if(|state| state.index() >= to) {
            return state;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_waits_is_one_commit_and_comes_back_after_a_restart() {
    let room = Room::new();
    let (quorum, mut writer) = room.open();
    let proposals = [register(registration(1)), grant(10), grant(5), grant(0), create("a", 1, 1)];
    // Polled once each, so that they wait in this order before the writer looks.
    let mut waiting: Vec<_> = proposals.into_iter().map(|it| quorum.propose(it)).collect();
    for proposal in &mut waiting {
        assert!(futures::poll!(proposal).is_pending());
    }
    let writer = tokio::task::spawn_blocking(move || {
        assert_eq!(writer.run_once().unwrap(), Turn::Decided);
        writer
    });
    let answers = futures::future::join_all(waiting).await;
    let mut writer = writer.await.unwrap();
    let outcome = Outcome::ProducerIdsGranted { from: 11, to_end: 16 };
    assert_eq!(answers[2], Ok(Accepted { index: MetaIndex(3), outcome }));
    let refusal = Refusal::ProducerIdCount { given: 0 };
    assert_eq!(answers[3], Err(ProposeError::Refused { refusal }));
    assert_eq!(answers[4].as_ref().unwrap().index, MetaIndex(4));
    let seen = follow(&mut quorum.watch(MetaIndex(0)), MetaIndex(4)).await;
    drop(quorum);
    assert_eq!(
        tokio::task::spawn_blocking(move || writer.run_once().unwrap()).await.unwrap(),
        Turn::Finished
    );
    let (quorum, _writer) = room.open();
    assert_eq!(follow(&mut quorum.watch(MetaIndex(0)), MetaIndex(4)).await, seen);
    assert_eq!(quorum.status().index, MetaIndex(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumes_where_it_was_and_tells_who_is_ahead() {
    let room = Room::new();
    let (quorum, writer) = room.open();
    let thread = std::thread::spawn(move || writer.run());
    quorum.propose(register(registration(1))).await.unwrap();
    for _ in 0..9 {
        quorum.propose(grant(1)).await.unwrap();
    }
    let mut resumed = quorum.watch(MetaIndex(4));
    assert!(matches!(resumed.next().await, Some(Ok(WatchEvent::Opened { index: MetaIndex(10), .. }))));
    let Some(Ok(WatchEvent::Entries(entries))) = resumed.next().await else { panic!("entries come next") };
    assert_eq!(entries.iter().map(|(index, _)| index.0).collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10]);
    assert!(futures::poll!(resumed.next()).is_pending());
    quorum.propose(grant(1)).await.unwrap();
    let Some(Ok(WatchEvent::Entries(entries))) = resumed.next().await else {
        panic!("the new entry comes next")
    };
    assert_eq!(entries[0].0, MetaIndex(11));
    let mut ahead = quorum.watch(MetaIndex(99));
    assert!(matches!(ahead.next().await, Some(Ok(WatchEvent::Opened { index: MetaIndex(11), .. }))));
    assert!(ahead.next().await.is_none());
    drop(quorum);
    thread.join().unwrap().unwrap();
    assert!(matches!(resumed.next().await, Some(Err(WatchError::Lost { .. }))));
    assert!(resumed.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_sync_nothing_is_answered_shown_or_taken() {
    let room = Room::new();
    let (quorum, writer) = room.open();
    let thread = std::thread::spawn(move || writer.run());
    quorum.propose(register(registration(1))).await.unwrap();
    room.disk.set(|faults| faults.syncs_fail = true);
    let error = quorum.propose(grant(1)).await.unwrap_err();
    assert!(matches!(error, ProposeError::Unreachable { .. }) && !error.is_definite(), "{error}");
    thread.join().unwrap().unwrap_err();
    room.disk.set(|faults| faults.syncs_fail = false);
    let later = quorum.propose(grant(1)).await.unwrap_err();
    assert!(matches!(later, ProposeError::Unavailable { .. }), "{later}");
    assert!(later.to_string().contains("meta.redb"), "the first reason is told: {later}");
    let status = quorum.status();
    assert_eq!((status.index, status.leader), (MetaIndex(1), None));
    let mut watch = quorum.watch(MetaIndex(1));
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Opened { index: MetaIndex(1), .. }))));
    assert!(
        matches!(watch.next().await, Some(Err(WatchError::Lost { .. }))),
        "the failed entry is shown to nobody"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_the_quorum_goes_on_when_there_is_room_again() {
    let room = Room::new();
    let (quorum, writer) = room.open();
    let thread = std::thread::spawn(move || writer.run());
    quorum.propose(register(registration(1))).await.unwrap();
    room.disk.set(|faults| faults.full = true);
    let large = || register(Registration { rack: Some("x".repeat(250)), ..registration(1) });
    let refused = loop {
        let answers = futures::future::join_all((0..500).map(|_| quorum.propose(large()))).await;
        if let Some(error) = answers.into_iter().find_map(Result::err) {
            break error;
        }
    };
    assert!(matches!(refused, ProposeError::Unavailable { .. }), "{refused}");
    room.disk.set(|faults| faults.full = false);
    let accepted = quorum.propose(grant(1)).await.unwrap();
    assert_eq!(accepted.outcome, Outcome::ProducerIdsGranted { from: 1, to_end: 2 });
    drop(quorum);
    thread.join().unwrap().unwrap();
}
