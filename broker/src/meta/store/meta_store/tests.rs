//! The store on a real disk: what was committed is there, what is wrong is named.

use std::io::IoSlice;

use fidelog_record::types::{BrokerId, ClusterId};

use super::*;
use crate::meta::faulty_disk::FaultyDisk;
use crate::meta::state::Registration;
use crate::meta::state::fixture::{cluster, founded, register, registration, step};

struct Room {
    disk: FaultyDisk,
    directory: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        Self { disk: FaultyDisk::default(), directory: tempfile::tempdir().unwrap() }
    }

    fn formatted() -> Self {
        let room = Self::new();
        MetaStore::format(&room.disk, room.directory.path(), &founded()).unwrap();
        room
    }

    fn open_with(
        &self,
        last_stop: LastStop,
        options: StoreOptions,
    ) -> Result<(MetaStore, Loaded), StoreError> {
        MetaStore::open(Arc::new(self.disk.clone()), self.directory.path(), cluster(), last_stop, options)
    }

    fn open(&self) -> (MetaStore, Loaded) {
        self.open_with(LastStop::Clean, StoreOptions::default()).unwrap()
    }

    fn file(&self) -> Arc<dyn fidelog_log::env::DiskFile> {
        self.disk.open(&self.directory.path().join(FILE_NAME), OpenMode::ReadWrite).unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.disk.list(self.directory.path()).unwrap().into_iter().map(|entry| entry.name).collect()
    }
}

/// Applies and commits `count` grants, one commit each.
fn grow(store: &mut MetaStore, state: &mut ClusterState, count: u64) -> Result<(), StoreError> {
    for _ in 0..count {
        let from = state.next_producer_id();
        let entry = Entry::ProducerIdsGranted { broker: BrokerId(1), from, to_end: from + 1 };
        let index = state.index().next();
        state.apply(index, &entry).unwrap();
        store.commit(&[(index, Arc::new(entry))], state)?;
    }
    Ok(())
}

/// Commits batches of large entries until the store says no.
fn fill(store: &mut MetaStore, state: &mut ClusterState) -> (StoreError, MetaIndex) {
    loop {
        let before = state.index();
        let batch: Vec<_> = (0..500).map(|_| large(state)).collect();
        if let Err(error) = store.commit(&batch, state) {
            return (error, before);
        }
    }
}

fn large(state: &mut ClusterState) -> (MetaIndex, Arc<Entry>) {
    let registration = Registration { rack: Some("x".repeat(250)), ..registration(1) };
    let entry = step(state, &register(registration), 0).unwrap();
    (state.index(), Arc::new(entry))
}

#[test]
fn what_was_committed_is_there_after_any_stop() {
    let room = Room::formatted();
    let (mut store, Loaded { mut state, .. }) = room.open();
    assert_eq!(state, founded());
    for last_stop in [LastStop::Clean, LastStop::Unclean] {
        grow(&mut store, &mut state, 5).unwrap();
        drop(store);
        let loaded;
        (store, loaded) = room.open_with(last_stop, StoreOptions::default()).unwrap();
        assert_eq!(loaded.state, state);
        assert_eq!(loaded.entries.len() as u64, state.index().0);
    }
    assert_eq!(room.names(), ["meta.redb"]);
}

#[test]
fn after_an_unclean_stop_the_file_is_written_again_before_it_is_opened() {
    let room = Room::formatted();
    let (before, len) = (room.disk.faults().written_bytes, room.file().len().unwrap());
    drop(room.open_with(LastStop::Unclean, StoreOptions::default()).unwrap());
    assert!(room.disk.faults().written_bytes >= before + len);
    room.disk.set(|faults| faults.renames_fail = true);
    let failed = room.open_with(LastStop::Unclean, StoreOptions::default());
    assert!(matches!(failed, Err(StoreError::Io { .. })), "without the rename it is not believed");
    room.disk.set(|faults| faults.renames_fail = false);
    drop(room.open_with(LastStop::Unclean, StoreOptions::default()).unwrap());
    assert_eq!(room.names(), ["meta.redb"], "what the failure left behind is gone");
}

#[test]
fn without_room_for_a_copy_the_file_is_written_again_in_place() {
    let room = Room::formatted();
    let (before, len) = (room.disk.faults().written_bytes, room.file().len().unwrap());
    room.disk.set(|faults| faults.full = true);
    drop(room.open_with(LastStop::Unclean, StoreOptions::default()).unwrap());
    assert!(room.disk.faults().written_bytes >= before + len);
}

#[test]
fn snapshots_bound_what_is_kept_and_lose_nothing() {
    let room = Room::formatted();
    let options = StoreOptions { snapshot_every: 10, entries_kept: 15 };
    let (mut store, Loaded { mut state, .. }) = room.open_with(LastStop::Clean, options).unwrap();
    grow(&mut store, &mut state, 47).unwrap();
    drop(store);
    let (store, loaded) = room.open_with(LastStop::Clean, options).unwrap();
    assert_eq!(loaded.state, state);
    assert_eq!(store.snapshot_index, MetaIndex(40));
    let kept: Vec<u64> = loaded.entries.iter().map(|(index, _)| index.0).collect();
    assert_eq!(kept, (26..=47).collect::<Vec<u64>>());
}

#[test]
fn a_missing_empty_foreign_or_second_store_is_refused() {
    let room = Room::new();
    assert!(matches!(
        room.open_with(LastStop::Clean, StoreOptions::default()),
        Err(StoreError::Missing { .. })
    ));
    assert!(matches!(
        room.open_with(LastStop::Unclean, StoreOptions::default()),
        Err(StoreError::Missing { .. })
    ));
    room.disk.open(&room.directory.path().join(FILE_NAME), OpenMode::CreateNew).unwrap();
    assert!(matches!(
        room.open_with(LastStop::Clean, StoreOptions::default()),
        Err(StoreError::Damaged { .. })
    ));
    let room = Room::formatted();
    let again = MetaStore::format(&room.disk, room.directory.path(), &founded());
    assert!(matches!(again, Err(StoreError::Exists { .. })));
    let disk = Arc::new(room.disk.clone());
    let other = ClusterId::from_bytes([9; 16]);
    let foreign =
        MetaStore::open(disk, room.directory.path(), other, LastStop::Clean, StoreOptions::default());
    assert!(matches!(foreign, Err(StoreError::OtherCluster { .. })));
}

#[test]
fn a_flipped_byte_in_a_page_is_damage_and_not_an_empty_store() {
    let room = Room::formatted();
    let (mut store, Loaded { mut state, .. }) = room.open();
    grow(&mut store, &mut state, 20).unwrap();
    drop(store);
    let file = room.file();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let text = b"producer_ids_granted";
    let places: Vec<usize> =
        (0..bytes.len() - text.len()).filter(|&at| &bytes[at..at + text.len()] == text).collect();
    assert!(!places.is_empty());
    for at in places {
        file.write_all_at(&[IoSlice::new(b"P")], at as u64).unwrap();
    }
    let damaged = room.open_with(LastStop::Clean, StoreOptions::default());
    assert!(matches!(damaged, Err(StoreError::Damaged { .. })), "{damaged:?}");
}

#[test]
fn a_failed_sync_is_an_error_and_a_full_disk_a_refusal() {
    let room = Room::formatted();
    let (mut store, Loaded { mut state, .. }) = room.open();
    room.disk.set(|faults| faults.full = true);
    let (full, before) = fill(&mut store, &mut state);
    assert!(full.is_full(), "{full}");
    let loaded = store.reopen().unwrap();
    assert_eq!(loaded.state.index(), before, "the refused commit left nothing");
    room.disk.set(|faults| faults.full = false);
    let mut state = loaded.state;
    grow(&mut store, &mut state, 10).unwrap();
    room.disk.set(|faults| faults.syncs_fail = true);
    let failed = grow(&mut store, &mut state, 1).unwrap_err();
    assert!(matches!(failed, StoreError::Io { .. }) && !failed.is_full(), "{failed}");
    let after = grow(&mut store, &mut state, 1).unwrap_err();
    assert!(matches!(after, StoreError::Io { .. }), "nothing works on it afterwards: {after}");
}
