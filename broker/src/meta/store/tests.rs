//! The store on a real disk: what was committed is there, what is wrong is named.

use std::io::IoSlice;

use fidelog_record::types::{BrokerId, ClusterId};
use redb::StorageBackend;

use super::super::faulty_disk::FaultyDisk;
use super::super::state::Registration;
use super::super::state::fixture::{cluster, founded, register, registration, step};
use super::*;

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

#[test]
fn a_shortened_file_grows_again_with_zeros() {
    let room = Room::new();
    let path = room.directory.path().join("x");
    let file = room.disk.open(&path, OpenMode::CreateNew).unwrap();
    let backend = FileBackend::new(Arc::clone(&file)).unwrap();
    backend.set_len(200_000).unwrap();
    backend.write(0, &vec![7; 200_000]).unwrap();
    backend.set_len(100).unwrap();
    assert_eq!(backend.len().unwrap(), 100);
    assert!(backend.read(50, &mut [0; 51]).is_err() && backend.write(50, &[1; 51]).is_err());
    backend.set_len(300_000).unwrap();
    let mut bytes = vec![1; 300_000];
    backend.read(0, &mut bytes).unwrap();
    assert!(bytes[..100].iter().all(|&byte| byte == 7) && bytes[100..].iter().all(|&byte| byte == 0));
}

/// Passes everything on, and counts how often redb shortens its storage.
#[derive(Clone, Debug)]
struct Spy {
    backend: Arc<FileBackend>,
    shrink_count: Arc<std::sync::atomic::AtomicU64>,
}

impl StorageBackend for Spy {
    fn len(&self) -> std::io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        let shorter = len < self.backend.len()?;
        self.shrink_count.fetch_add(u64::from(shorter), std::sync::atomic::Ordering::Relaxed);
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.backend.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.backend.write(offset, data)
    }
}

/// redb shortens its file when much of it is free; ours stays as long, and the next open must settle that.
#[test]
fn a_database_that_shrank_opens_again_with_all_its_rows() {
    let room = Room::new();
    let path = room.directory.path().join("x");
    let open = |mode: OpenMode| {
        let backend = Arc::new(FileBackend::new(room.disk.open(&path, mode).unwrap()).unwrap());
        let spy = Spy { backend, shrink_count: Arc::default() };
        let mut builder = builder();
        builder.set_check_integrity_on_open(true);
        (builder.create_with_backend(spy.clone()).unwrap(), spy)
    };
    let rows = |database: &Database, count: u64| {
        in_transaction(database, |transaction| {
            let mut table = transaction.open_table(ENTRIES)?;
            table.retain(|_, _| false)?;
            (0..count).try_for_each(|key| table.insert(key, [7; 1000].as_slice()).map(drop))?;
            Ok(())
        })
        .unwrap();
    };
    let read = |database: &Database| {
        let table = database.begin_read().unwrap().open_table(ENTRIES).unwrap();
        table.iter().unwrap().filter(|row| row.is_ok()).count()
    };
    let (mut database, spy) = open(OpenMode::CreateNew);
    rows(&database, 5_000);
    rows(&database, 3);
    database.compact().unwrap();
    assert!(spy.shrink_count.load(std::sync::atomic::Ordering::Relaxed) > 0);
    assert_eq!(read(&database), 3);
    drop(database);
    let (database, spy) = open(OpenMode::ReadWrite);
    assert!(spy.backend.len().unwrap() > 1 << 20, "the file is as long as it was");
    assert_eq!(read(&database), 3);
    rows(&database, 6_000);
    drop(database);
    let (database, _) = open(OpenMode::ReadWrite);
    assert_eq!(read(&database), 6_000);
}
