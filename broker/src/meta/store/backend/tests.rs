//! The storage under redb: shorter and longer again, without a byte of what was.

use std::sync::Arc;

use fidelog_log::env::{Disk, OpenMode, RealDisk};
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use super::super::builder;
use super::FileBackend;

const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");

#[test]
fn a_shortened_file_grows_again_with_zeros() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let file = RealDisk.open(&path, OpenMode::CreateNew).unwrap();
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
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let open = |mode: OpenMode| {
        let backend = Arc::new(FileBackend::new(RealDisk.open(&path, mode).unwrap()).unwrap());
        let spy = Spy { backend, shrink_count: Arc::default() };
        let mut builder = builder();
        builder.set_check_integrity_on_open(true);
        (builder.create_with_backend(spy.clone()).unwrap(), spy)
    };
    let rows = |database: &Database, count: u64| {
        let transaction = database.begin_write().unwrap();
        let mut table = transaction.open_table(ROWS).unwrap();
        table.retain(|_, _| false).unwrap();
        (0..count).for_each(|key| drop(table.insert(key, [7; 1000].as_slice()).unwrap()));
        drop(table);
        transaction.commit().unwrap();
    };
    let read = |database: &Database| {
        let table = database.begin_read().unwrap().open_table(ROWS).unwrap();
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
