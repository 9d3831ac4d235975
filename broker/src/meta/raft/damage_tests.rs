//! Stores that are missing, old, foreign or damaged, and disks that fail or fill up.

use std::io::IoSlice;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::sim::{Fault, FaultError, SimDisk};
use fidelog_log::env::{Disk, OpenMode, Operation, RealDisk};
use fidelog_record::types::ClusterId;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::{RaftLogReader, RaftSnapshotBuilder};

use super::fixture::{Entry, NODE, Store, blank, fold, found, grants, log_id, membership};
use super::{Contents, RaftStore, SnapshotMeta, Vote};
use crate::meta::state::fixture::cluster;
use crate::meta::store::{LastStop, StoreError, StoreHealth};

const ROOT: &str = "/data";
const FILE: &str = "/data/meta.redb";

fn formatted(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new(ROOT)).unwrap();
    Store::format(&disk, Path::new(ROOT));
    disk
}

fn open(disk: &SimDisk) -> Result<Store, StoreError> {
    Store::open(Arc::new(disk.clone()), Path::new(ROOT), LastStop::Unclean)
}

fn close(store: Store) {
    let Store { opened, .. } = store;
    opened.close().unwrap();
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.list(Path::new(ROOT)).unwrap().into_iter().map(|entry| entry.name).collect()
}

fn history(count: u64) -> Vec<Entry> {
    let mut entries = vec![membership(log_id(1, 0)), found(log_id(1, 1))];
    for index in 2..count {
        entries.push(grants(log_id(1, index), &fold(&entries).unwrap(), 1));
    }
    entries
}

#[test]
fn a_missing_empty_foreign_old_or_second_store_is_refused() {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new(ROOT)).unwrap();
    assert!(matches!(open(&disk), Err(StoreError::Missing { .. })));
    disk.open(Path::new(FILE), OpenMode::CreateNew).unwrap();
    assert!(matches!(open(&disk), Err(StoreError::Damaged { .. })));
    disk.remove_file(Path::new(FILE)).unwrap();

    let directory = tempfile::tempdir().unwrap();
    let former = redb::Database::create(directory.path().join("meta.redb")).unwrap();
    let transaction = former.begin_write().unwrap();
    let about = redb::TableDefinition::<&str, u64>::new("about");
    transaction.open_table(about).unwrap().insert("format", 1).unwrap();
    transaction.commit().unwrap();
    drop(former);
    let old = Store::open(Arc::new(RealDisk), directory.path(), LastStop::Clean).map(drop).unwrap_err();
    assert!(matches!(old, StoreError::OtherFormat { found: 1, known: 2, .. }), "{old}");

    let disk = formatted(2);
    let again = RaftStore::format(&disk, Path::new(ROOT), cluster(), 8);
    assert!(matches!(again, Err(StoreError::Exists { .. })));
    let other = ClusterId::from_bytes([9; 16]);
    let foreign = RaftStore::read(Arc::new(disk.clone()), Path::new(ROOT), other, LastStop::Clean);
    assert!(matches!(foreign, Err(StoreError::OtherCluster { cluster: it, .. }) if it == cluster()));
    assert_eq!(names(&disk), ["meta.redb"]);
}

#[tokio::test]
async fn a_flipped_byte_is_damage_and_not_an_empty_store() {
    let disk = formatted(3);
    let mut store = open(&disk).unwrap();
    store.commit(history(20)).await.unwrap();
    close(store);
    let file = disk.open(Path::new(FILE), OpenMode::ReadWrite).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let text = b"producer_ids_granted";
    let places = (0..bytes.len() - text.len()).filter(|&at| &bytes[at..at + text.len()] == text);
    let mut count = 0;
    for at in places {
        file.write_all_at(&[IoSlice::new(b"P")], at as u64).unwrap();
        count += 1;
    }
    assert!(count > 0);
    let damaged = open(&disk).map(drop);
    assert!(matches!(damaged, Err(StoreError::Damaged { .. })), "{damaged:?}");
}

/// A library that purges before it has the snapshot must not lose what it purges.
#[tokio::test]
async fn a_purge_is_written_only_with_the_snapshot_that_covers_it() {
    let disk = formatted(4);
    let mut store = open(&disk).unwrap();
    let entries = history(20);
    store.commit(entries[..10].to_vec()).await.unwrap();
    store.log.purge(log_id(1, 5)).await.unwrap();
    assert_eq!(store.log.try_get_log_entries(..).await.unwrap(), entries[6..10]);
    close(store);
    let mut store = open(&disk).unwrap();
    assert_eq!(store.log.try_get_log_entries(..).await.unwrap(), entries[..10]);

    store.machine.apply(entries[..10].to_vec()).await.unwrap();
    store.log.purge(log_id(1, 7)).await.unwrap();
    store.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    disk.crash();
    let contents =
        RaftStore::read(Arc::new(disk.clone()), Path::new(ROOT), cluster(), LastStop::Unclean).unwrap();
    assert_eq!(contents.purged, Some(log_id(1, 7)));
    assert_eq!(contents.log.len(), 2);
}

/// Purged far ahead of what is on disk, and not covered yet: what follows would stand behind a hole.
#[tokio::test]
async fn an_append_behind_a_purge_that_is_due_stops_the_store() {
    let disk = formatted(12);
    let mut store = open(&disk).unwrap();
    let entries = history(20);
    store.log.blocking_append(entries[..5].to_vec()).await.unwrap();
    store.log.purge(log_id(1, 9)).await.unwrap();
    let error = store.log.blocking_append(entries[10..].to_vec()).await.unwrap_err();
    assert!(error.to_string().contains("a hole"), "{error}");
    drop(store);
    disk.crash();
    let mut store = open(&disk).unwrap();
    assert_eq!(store.log.try_get_log_entries(..).await.unwrap(), entries[..5]);
}

#[test]
fn what_no_life_of_a_store_leads_to_is_a_contradiction() {
    let about = |index| SnapshotMeta { last_log_id: Some(log_id(1, index)), ..SnapshotMeta::default() };
    let contents = |purged: Option<u64>, covered: Option<u64>, committed: Option<u64>, log: Range<u64>| {
        let id = |index| log_id(1, index);
        let snapshot = covered.map(|index| (about(index), None));
        let log = log.map(|index| (blank(id(index)), 1)).collect();
        let (purged, committed) = (purged.map(id), committed.map(id));
        Contents { node_id: NODE, vote: None, committed, purged, snapshot, log }
    };
    for sound in [
        contents(None, None, None, 0..0),
        contents(None, None, Some(2), 0..5),
        contents(None, Some(9), Some(2), 0..5),
        contents(Some(3), Some(9), Some(9), 4..5),
        contents(Some(3), Some(3), None, 4..4),
    ] {
        assert_eq!(sound.contradiction(), None, "{sound:?}");
    }
    for (broken, told) in [
        (contents(Some(3), None, None, 4..5), "its log begins at 4, and its snapshot ends at 0"),
        (contents(Some(3), Some(2), None, 4..5), "its log begins at 4, and its snapshot ends at 3"),
        (contents(Some(3), Some(9), None, 5..6), "log entries 4 to"),
        (contents(None, None, Some(5), 0..5), "entries up to 6 are committed, and it ends at 5"),
    ] {
        let reason = broken.contradiction().unwrap();
        assert!(reason.contains(told), "{reason}");
    }
}

#[tokio::test]
async fn a_log_that_does_not_make_sense_is_damage() {
    let disk = formatted(5);
    let mut store = open(&disk).unwrap();
    store.log.blocking_append(history(20).split_off(3)).await.unwrap();
    close(store);
    let damaged = open(&disk).map(drop).unwrap_err();
    assert!(damaged.to_string().contains("log entries 0 to"), "{damaged}");

    let disk = formatted(6);
    let mut store = open(&disk).unwrap();
    store.log.blocking_append(history(3)).await.unwrap();
    store.log.save_committed(Some(log_id(1, 9))).await.unwrap();
    close(store);
    let damaged = open(&disk).map(drop).unwrap_err();
    assert!(damaged.to_string().contains("up to 10 are committed"), "{damaged}");
}

#[tokio::test]
async fn entries_that_would_make_a_hole_are_refused() {
    let disk = formatted(7);
    let mut store = open(&disk).unwrap();
    let entries = history(20);
    store.log.blocking_append(entries[..5].to_vec()).await.unwrap();
    store.log.blocking_append(entries[6..].to_vec()).await.unwrap_err();
    store.log.blocking_append(entries[4..].to_vec()).await.unwrap_err();
    store.log.blocking_append(vec![entries[5].clone(), entries[7].clone()]).await.unwrap_err();
    store.log.blocking_append(entries[5..].to_vec()).await.unwrap();
    assert_eq!(store.log.try_get_log_entries(..).await.unwrap(), entries);
}

#[tokio::test]
async fn a_failed_sync_is_final() {
    for operation in [Operation::Sync, Operation::Write] {
        let disk = formatted(8);
        let mut store = open(&disk).unwrap();
        let entries = history(10);
        store.commit(entries[..5].to_vec()).await.unwrap();
        disk.inject(Fault::once(operation, 1, FaultError::Io));
        store.log.blocking_append(entries[5..].to_vec()).await.unwrap_err();
        disk.clear_faults();
        store.log.save_vote(&Vote::new(9, NODE)).await.unwrap_err();
        store.log.save_committed(Some(log_id(1, 4))).await.unwrap();
        store.log.purge(log_id(1, 1)).await.unwrap_err();
        store.machine.get_snapshot_builder().await.build_snapshot().await.unwrap_err();
        let health = store.opened.health().borrow().clone();
        let StoreHealth::Stopped { reason } = health else { panic!("{operation}: it stopped") };
        assert!(reason.contains(FILE), "{reason}");
        let Store { opened, .. } = store;
        assert_eq!(opened.close().unwrap_err().reason, reason, "the first reason is kept");
    }
}

#[tokio::test]
async fn on_a_full_disk_writes_wait_for_room_and_nothing_is_lost() {
    let disk = formatted(9);
    let mut store = open(&disk).unwrap();
    let mut health = store.opened.health();
    let file = disk.open(Path::new(FILE), OpenMode::Read).unwrap();
    disk.set_capacity_bytes(file.len().unwrap());
    let mut entries = history(2);
    let mut log = store.log.clone();
    let full = loop {
        // Large enough to need room soon.
        let id = log_id(1, entries.len() as u64);
        entries.push(grants(id, &fold(&entries).unwrap(), 5_000));
        let at = entries.len() - 1;
        let from = if at == 2 { 0 } else { at };
        let appending = log.blocking_append(entries[from..].to_vec());
        tokio::select! {
            biased;
            appended = appending => appended.unwrap(),
            full = health.wait_for(|health| matches!(health, StoreHealth::Full { .. })) => {
                break full.unwrap().clone();
            }
        }
    };
    let StoreHealth::Full { reason } = full else { unreachable!() };
    assert!(reason.contains(FILE), "{reason}");
    let kept = store.log.try_get_log_entries(..).await.unwrap();
    assert_eq!(kept, entries, "what waits can be read");
    disk.set_capacity_bytes(1 << 40);
    store.log.save_vote(&Vote::new(3, NODE)).await.unwrap();
    health.wait_for(|health| *health == StoreHealth::Working).await.unwrap();
    close(store);
    disk.crash();
    let contents = RaftStore::read(Arc::new(disk), Path::new(ROOT), cluster(), LastStop::Unclean).unwrap();
    assert_eq!(contents.log.into_iter().map(|(entry, _)| entry).collect::<Vec<_>>(), entries);
    assert_eq!(contents.vote, Some(Vote::new(3, NODE)));
}

#[tokio::test]
async fn what_is_kept_for_a_full_disk_is_given_up_before_anything_waits() {
    let disk = formatted(12);
    let mut store = open(&disk).unwrap();
    let mut health = store.opened.health();
    health.mark_unchanged();
    let ballast = disk.clone();
    store.opened.room_from(move || {
        ballast.clear_faults();
        true
    });
    disk.inject(Fault::from(Operation::Write, 1, FaultError::StorageFull));
    store.log.save_vote(&Vote::new(3, NODE)).await.unwrap();
    assert!(!health.has_changed().unwrap(), "nobody hears of it: {:?}", *health.borrow());
    close(store);
}

#[tokio::test]
async fn a_store_that_waits_for_room_can_be_closed() {
    let disk = formatted(10);
    let store = open(&disk).unwrap();
    let mut health = store.opened.health();
    disk.inject(Fault::from(Operation::Write, 1, FaultError::StorageFull));
    let mut log = store.log.clone();
    let voting = tokio::spawn(async move { log.save_vote(&Vote::new(3, NODE)).await });
    health.wait_for(|health| matches!(health, StoreHealth::Full { .. })).await.unwrap();
    let Store { opened, .. } = store;
    tokio::task::spawn_blocking(move || opened.close()).await.unwrap().unwrap_err();
    voting.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_reset_store_is_a_new_node_that_knows_nothing() {
    let disk = formatted(11);
    let mut store = open(&disk).unwrap();
    store.commit(history(10)).await.unwrap();
    store.log.save_vote(&Vote::new_committed(3, NODE)).await.unwrap();
    store.log.save_committed(Some(log_id(1, 9))).await.unwrap();
    store.machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    store.log.purge(log_id(1, 4)).await.unwrap();
    close(store);
    RaftStore::reset(Arc::new(disk.clone()), Path::new(ROOT), cluster(), LastStop::Unclean, 99).unwrap();
    disk.crash();
    let mut store = open(&disk).unwrap();
    assert_eq!((store.opened.node_id, store.state()), (99, None));
    assert_eq!(store.log.read_vote().await.unwrap(), None);
    assert_eq!(store.log.read_committed().await.unwrap(), None);
    assert_eq!(store.log.get_log_state().await.unwrap(), openraft::LogState::default());
    assert!(store.machine.get_current_snapshot().await.unwrap().is_none());
    store.commit(history(3)).await.unwrap();
    close(store);
}
