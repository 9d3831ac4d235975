//! The state machine: what counts, what is void, what stops it, and what watches see.

use std::io::Cursor;
use std::sync::Arc;

use fidelog_log::env::RealDisk;
use fidelog_record::types::{BrokerId, ClusterId, Incarnation, MetaIndex, TopicId};
use futures::StreamExt;
use openraft::storage::{RaftLogStorage, RaftStateMachine};
use openraft::{EntryPayload, RaftSnapshotBuilder, StorageHelper};

use super::fixture::{Entry, Store, batch, blank, fold, found, grants, log_id, membership};
use super::{Applied, Command, SnapshotMeta, StoredMembership};
use crate::meta::quorum::{WatchError, WatchEvent, WatchStream};
use crate::meta::state::fixture::founded;
use crate::meta::state::{ClusterState, Entry as MetaEntry, TopicDefaults};
use crate::meta::store::{LastStop, StoreHealth};

struct Room {
    directory: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Store::format(&RealDisk, directory.path());
        Self { directory }
    }

    fn open(&self) -> Store {
        Store::open(Arc::new(RealDisk), self.directory.path(), LastStop::Unclean).unwrap()
    }
}

/// Founded, with ten entries of the log and eight of the metadata.
async fn grown(store: &mut Store) -> Vec<Entry> {
    let mut entries = vec![membership(log_id(1, 0)), found(log_id(1, 1))];
    for index in 2..10 {
        entries.push(grants(log_id(1, index), &fold(&entries).unwrap(), 1));
    }
    store.commit(entries.clone()).await.unwrap();
    entries
}

async fn indexes(watch: &mut WatchStream) -> Vec<u64> {
    match watch.next().await {
        Some(Ok(WatchEvent::Entries(entries))) => entries.iter().map(|(index, _)| index.0).collect(),
        other => panic!("entries come next, not {other:?}"),
    }
}

#[tokio::test]
async fn a_batch_counts_on_the_state_it_was_decided_on_and_nowhere_else() {
    let room = Room::new();
    let mut store = room.open();
    let early = batch(log_id(1, 0), MetaIndex(0), Vec::new());
    let answers = store.commit(vec![early, found(log_id(1, 1)), found(log_id(1, 2))]).await.unwrap();
    let (void, counts) = (|index| Applied::Void { index }, |index| Applied::Counts { index });
    assert_eq!(answers, [void(MetaIndex(0)), counts(MetaIndex(0)), void(MetaIndex(0))]);
    let state = founded();
    let two = [grants(log_id(1, 3), &state, 3), grants(log_id(1, 4), &state, 2), blank(log_id(1, 5))];
    let answers = store.commit(two.to_vec()).await.unwrap();
    assert_eq!(answers, [counts(MetaIndex(3)), void(MetaIndex(3)), Applied::Nothing]);
    let state = store.state().unwrap();
    assert_eq!((state.index(), state.next_producer_id()), (MetaIndex(3), 4));
}

#[tokio::test]
async fn an_entry_that_does_not_apply_stops_the_store_and_is_shown_to_nobody() {
    let room = Room::new();
    let mut store = room.open();
    let before = fold(&grown(&mut store).await).unwrap();
    let mut watch = store.opened.published.watch(before.index());
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Opened { .. }))));
    let good = MetaEntry::ProducerIdsGranted { broker: BrokerId(1), from: 9, to_end: 10 };
    let misfit = MetaEntry::TopicDeleted { topic: TopicId::from_bytes([9; 16]), deleted_at_ms: 1 };
    let entry = batch(log_id(1, 10), before.index(), vec![good, misfit]);
    let error = store.commit(vec![entry]).await.unwrap_err();
    assert!(error.to_string().contains("metadata entry 10"), "{error}");
    assert_eq!(store.state().as_deref(), Some(&before));
    assert!(matches!(watch.next().await, Some(Err(WatchError::Lost { .. }))));
    let health = store.opened.health().borrow().clone();
    assert!(matches!(health, StoreHealth::Stopped { reason } if reason.contains("metadata entry 10")));
    store.log.save_vote(&super::Vote::new(9, 9)).await.unwrap_err();
}

#[tokio::test]
async fn a_cluster_of_another_founding_is_not_taken() {
    let room = Room::new();
    let mut store = room.open();
    let foreign = |cluster: u8, incarnation: u8| {
        let (cluster, incarnation) = ([cluster; 16], [incarnation; 16]);
        let defaults = TopicDefaults::default();
        ClusterState::founded(ClusterId::from_bytes(cluster), Incarnation::from_bytes(incarnation), defaults)
            .unwrap()
    };
    let snapshot = Box::new(foreign(9, 0x1c).to_snapshot());
    let payload = EntryPayload::Normal(Command::Found { snapshot });
    let error = store.commit(vec![Entry { log_id: log_id(1, 0), payload }]).await.unwrap_err();
    assert!(error.to_string().contains("this node belongs to cluster"), "{error}");

    for image in [
        super::stored::encode_image(Some(&foreign(9, 0x1c))),
        super::stored::encode_image(Some(&foreign(0xc1, 9))),
        super::stored::encode_image(None),
        b"{\"format\":2,\"state\":null}".to_vec(),
        b"{".to_vec(),
    ] {
        let room = Room::new();
        let mut store = room.open();
        let before = fold(&grown(&mut store).await);
        let meta = SnapshotMeta {
            last_log_id: Some(log_id(2, 20)),
            last_membership: StoredMembership::default(),
            snapshot_id: "x".to_owned(),
        };
        store.machine.install_snapshot(&meta, Box::new(Cursor::new(image))).await.unwrap_err();
        assert_eq!(store.state().as_deref(), before.as_ref());
        assert!(store.machine.get_current_snapshot().await.unwrap().is_none(), "it was not kept");
        assert!(matches!(*store.opened.health().borrow(), StoreHealth::Stopped { .. }));
    }
}

#[tokio::test]
async fn a_snapshot_brings_another_node_up_and_its_watchers_with_it() {
    let (room, other_room) = (Room::new(), Room::new());
    let (mut store, mut other) = (room.open(), other_room.open());
    let mut early = other.opened.published.watch(MetaIndex(0));
    assert!(futures::poll!(early.next()).is_pending(), "there is no state yet");
    let entries = grown(&mut other).await;
    let mut watch = other.opened.published.watch(MetaIndex(8));
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Opened { .. }))));
    assert!(futures::poll!(watch.next()).is_pending());

    grown(&mut store).await;
    let mut more = entries.clone();
    for index in 10..15 {
        more.push(grants(log_id(2, index), &fold(&more).unwrap(), 1));
    }
    store.commit(more[10..].to_vec()).await.unwrap();
    let snapshot = store.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    other.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
    assert_eq!(other.state(), store.state());
    let (applied, members) = other.machine.applied_state().await.unwrap();
    assert_eq!((applied, members.log_id()), (Some(log_id(2, 14)), &Some(log_id(1, 0))));
    let Some(Ok(WatchEvent::Snapshot(seen))) = watch.next().await else { panic!("a snapshot comes next") };
    assert_eq!(Some(seen), store.state());
    assert!(futures::poll!(watch.next()).is_pending());
    assert!(matches!(early.next().await, Some(Ok(WatchEvent::Opened { index: MetaIndex(13), .. }))));
    assert!(matches!(early.next().await, Some(Ok(WatchEvent::Snapshot(_)))));
    assert!(futures::poll!(early.next()).is_pending());
}

#[tokio::test]
async fn after_a_restart_the_state_is_the_snapshot_and_the_committed_log() {
    let room = Room::new();
    let mut store = room.open();
    let entries = grown(&mut store).await;
    let snapshot = store.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let mut more = entries;
    for index in 10..15 {
        more.push(grants(log_id(1, index), &fold(&more).unwrap(), 1));
    }
    store.commit(more[10..14].to_vec()).await.unwrap();
    store.log.save_committed(Some(log_id(1, 12))).await.unwrap();
    store.log.purge(log_id(1, 5)).await.unwrap();
    let Store { opened, .. } = store;
    opened.close().unwrap();

    let mut store = room.open();
    assert_eq!(store.state().as_deref(), fold(&more[..10]).as_ref(), "that of the snapshot");
    assert_eq!(store.opened.node_id, super::fixture::NODE);
    let mut watch = store.opened.published.watch(MetaIndex(8));
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Opened { .. }))));
    let mut helper = StorageHelper::new(&mut store.log, &mut store.machine);
    helper.get_initial_state().await.unwrap();
    assert_eq!(store.state().as_deref(), fold(&more[..13]).as_ref());
    assert_eq!(indexes(&mut watch).await, [9, 10, 11]);
    let kept = store.machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(kept.meta, snapshot.meta);
    let state = store.log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(1, 5)), Some(log_id(1, 13))));
}

#[tokio::test]
async fn an_older_snapshot_never_replaces_a_newer_one() {
    let room = Room::new();
    let mut store = room.open();
    let mut entries = grown(&mut store).await;
    let mut slow = store.machine.get_snapshot_builder().await;
    entries.push(blank(log_id(1, 10)));
    store.commit(entries[10..].to_vec()).await.unwrap();
    let newer = store.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    slow.build_snapshot().await.unwrap();
    assert_eq!(store.machine.get_current_snapshot().await.unwrap().unwrap().meta, newer.meta);
}
