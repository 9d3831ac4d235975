//! The store's file: made once, opened, read, written to in synced transactions.
//!
//! Always true: what [`StoreFile::commit`] returned well for is synced; its changes are there after a crash all
//! together or not at all. It does not latch itself: it runs on the data directory's `Disk`, and its owner stops at
//! the first error that is not a full disk.
//!
//! One thread writes, any may read.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fidelog_log::env::{Disk, OpenMode};
use fidelog_record::types::ClusterId;
use parking_lot::RwLock;
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};

use super::backend::FileBackend;
use super::change::{
    ABOUT, CLUSTER_KEY, Change, FACTS, FORMAT_KEY, Fact, IMAGE, LOG, NODE_ID_KEY, PURGED_KEY, SNAPSHOT,
};
use super::rewrite::{remove_if_there, rewrite};
use super::{COPY_NAME, FILE_NAME, LastStop, NEW_NAME, StoreError, builder};

/// What this version reads and writes.
const FORMAT: u64 = 2;

/// Everything in a store but its snapshot.
#[derive(Debug)]
pub(in crate::meta) struct Rows {
    /// The node's number in the quorum.
    pub(in crate::meta) node_id: u64,
    /// The facts that were kept.
    pub(in crate::meta) vote: Option<Vec<u8>>,
    pub(in crate::meta) purged: Option<Vec<u8>>,
    pub(in crate::meta) committed: Option<Vec<u8>>,
    /// The log, in order.
    pub(in crate::meta) log: Vec<(u64, Vec<u8>)>,
}

/// The snapshot in a store.
#[derive(Debug)]
pub(in crate::meta) struct KeptSnapshot {
    /// What it is about.
    pub(in crate::meta) about: Vec<u8>,
    /// Its bytes.
    pub(in crate::meta) image: Vec<u8>,
}

/// The open file.
pub(in crate::meta) struct StoreFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// None while it is opened again, and once it is closed.
    database: RwLock<Option<Database>>,
}

impl std::fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl StoreFile {
    /// Makes the store of a node in `directory`, which exists. A stop in the middle leaves no store.
    ///
    /// # Errors
    /// [`StoreError::Exists`]; [`StoreError::Io`].
    pub(in crate::meta) fn format(
        disk: &dyn Disk,
        directory: &Path,
        cluster: ClusterId,
        node_id: u64,
    ) -> Result<(), StoreError> {
        let (path, new) = (directory.join(FILE_NAME), directory.join(NEW_NAME));
        let io = |source| StoreError::Io { path: path.clone(), source };
        match disk.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
            Ok(_) => return Err(StoreError::Exists { path }),
        }
        remove_if_there(disk, &new).map_err(io)?;
        let file = disk.open(&new, OpenMode::CreateNew).map_err(io)?;
        let backend = FileBackend::new(Arc::clone(&file)).map_err(io)?;
        let database = builder().create_with_backend(backend).map_err(|error| failed(&path, error))?;
        in_transaction(&database, |transaction| {
            transaction.open_table(FACTS)?.insert(CLUSTER_KEY, cluster.as_bytes().as_slice())?;
            transaction.open_table(ABOUT)?.insert(FORMAT_KEY, FORMAT)?;
            Change::Reset(node_id).write(transaction)
        })
        .map_err(|error| failed(&path, error))?;
        database.close().map_err(|error| failed(&path, error))?;
        file.sync_data().map_err(io)?;
        disk.rename(&new, &path).map_err(io)?;
        disk.sync_dir(directory).map_err(io)
    }

    /// Opens the store in `directory`.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is removed or made then.
    pub(in crate::meta) fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        cluster: ClusterId,
        last_stop: LastStop,
    ) -> Result<Self, StoreError> {
        let path = directory.join(FILE_NAME);
        if last_stop == LastStop::Unclean {
            rewrite(disk.as_ref(), directory, &path, &directory.join(COPY_NAME))
                .map_err(|source| not_found_is_missing(&path, source))?;
        }
        let store = Self { disk, path, database: RwLock::new(None) };
        store.reopen()?;
        store.check_identity(cluster)?;
        Ok(store)
    }

    /// Opens the file anew: the only thing to do after a disk had no room.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write();
        // The former database writes to the file while it is dropped, so it goes first.
        drop(database.take());
        *database = Some(match self.open_database(true) {
            Err(error) if error.is_full() => self.open_database(false)?,
            other => other?,
        });
        Ok(())
    }

    /// A full check verifies every page, but needs room of its own; without it a damaged page is found when it is
    /// read.
    fn open_database(&self, check: bool) -> Result<Database, StoreError> {
        let io = |source| not_found_is_missing(&self.path, source);
        let file = self.disk.open(&self.path, OpenMode::ReadWrite).map_err(io)?;
        if file.len().map_err(io)? == 0 {
            // redb would make a new database of it.
            return Err(self.damaged("it is empty".to_owned()));
        }
        let mut builder = builder();
        builder.set_check_integrity_on_open(check);
        let backend = FileBackend::new(file).map_err(io)?;
        builder.create_with_backend(backend).map_err(|error| failed(&self.path, error))
    }

    fn check_identity(&self, expected: ClusterId) -> Result<(), StoreError> {
        let format =
            self.read_with(|transaction| Ok(transaction.open_table(ABOUT)?.get(FORMAT_KEY)?.map(value)))?;
        match format {
            Some(FORMAT) => {}
            Some(found) => {
                return Err(StoreError::OtherFormat { path: self.path.clone(), found, known: FORMAT });
            }
            None => return Err(self.damaged("it does not say its format".to_owned())),
        }
        let bytes = self.read_with(|transaction| fact(transaction, CLUSTER_KEY))?;
        let bytes = bytes.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        match bytes.map(ClusterId::from_bytes) {
            Some(cluster) if cluster == expected => Ok(()),
            Some(cluster) => Err(StoreError::OtherCluster { path: self.path.clone(), cluster, expected }),
            None => Err(self.damaged("it does not say its cluster".to_owned())),
        }
    }

    /// Writes all `changes`, in order, in one synced commit.
    ///
    /// # Errors
    /// [`StoreError`]. Whether they are there is then unknown. After [`StoreError::is_full`], and only then, the
    /// file may be opened anew and the changes written again; after anything else nothing may be believed.
    pub(in crate::meta) fn commit<'a>(
        &self,
        changes: impl Iterator<Item = &'a Change>,
    ) -> Result<(), StoreError> {
        let guard = self.database.read();
        let database = guard.as_ref().ok_or_else(|| self.closed())?;
        in_transaction(database, |transaction| {
            for change in changes {
                change.write(transaction)?;
            }
            Ok(())
        })
        .map_err(|error| failed(&self.path, error))
    }

    /// Forgets everything but the cluster, in one synced commit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(in crate::meta) fn reset(&self, node_id: u64) -> Result<(), StoreError> {
        self.commit(std::iter::once(&Change::Reset(node_id)))
    }

    /// Everything but the snapshot.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(in crate::meta) fn rows(&self) -> Result<Rows, StoreError> {
        let rows = self.read_with(|transaction| {
            let node_id = transaction.open_table(ABOUT)?.get(NODE_ID_KEY)?.map(value);
            let about_end = transaction.open_table(SNAPSHOT)?.last()?.map(|(end, _)| end.value());
            let image_end = transaction.open_table(IMAGE)?.last()?.map(|(end, _)| end.value());
            let rows = Rows {
                node_id: node_id.unwrap_or_default(),
                vote: fact(transaction, Fact::Vote.key())?,
                purged: fact(transaction, PURGED_KEY)?,
                committed: fact(transaction, Fact::Committed.key())?,
                log: log_rows(transaction, 0..u64::MAX, usize::MAX)?,
            };
            Ok((node_id.is_some() && about_end == image_end).then_some(rows))
        })?;
        rows.ok_or_else(|| self.damaged("its node id, or a part of its snapshot, is missing".to_owned()))
    }

    /// The entries of `range` that are there, in order: all, or the first ones up to about `bytes_max`, and then
    /// one at least.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(in crate::meta) fn log(
        &self,
        range: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read_with(|transaction| log_rows(transaction, range, bytes_max))
    }

    /// The snapshot.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(in crate::meta) fn snapshot(&self) -> Result<Option<KeptSnapshot>, StoreError> {
        self.read_with(|transaction| {
            let about = transaction.open_table(SNAPSHOT)?.last()?.map(|(_, about)| about.value().to_vec());
            let image = transaction.open_table(IMAGE)?.last()?.map(|(_, image)| image.value().to_vec());
            Ok(about.zip(image).map(|(about, image)| KeptSnapshot { about, image }))
        })
    }

    /// Closes the file; whatever is read or written later is an error.
    ///
    /// # Errors
    /// [`StoreError::Io`] when what redb writes at its end could not be synced.
    pub(in crate::meta) fn close(&self) -> Result<(), StoreError> {
        match self.database.write().take() {
            Some(database) => database.close().map_err(|error| failed(&self.path, error)),
            None => Ok(()),
        }
    }

    /// The error of a store whose content makes no sense.
    pub(in crate::meta) fn damaged(&self, reason: String) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), reason }
    }

    fn closed(&self) -> StoreError {
        StoreError::Io { path: self.path.clone(), source: std::io::Error::other("the store is closed") }
    }

    fn read_with<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let guard = self.database.read();
        let database = guard.as_ref().ok_or_else(|| self.closed())?;
        let transaction = database.begin_read().map_err(|error| failed(&self.path, error))?;
        read(&transaction).map_err(|error| failed(&self.path, error))
    }
}

fn fact(transaction: &ReadTransaction, key: &str) -> Result<Option<Vec<u8>>, redb::Error> {
    Ok(transaction.open_table(FACTS)?.get(key)?.map(|bytes| bytes.value().to_vec()))
}

fn log_rows(
    transaction: &ReadTransaction,
    range: Range<u64>,
    bytes_max: usize,
) -> Result<Vec<(u64, Vec<u8>)>, redb::Error> {
    let (mut rows, mut bytes_count) = (Vec::new(), 0_usize);
    for row in transaction.open_table(LOG)?.range(range)? {
        let (index, bytes) = row?;
        bytes_count = bytes_count.saturating_add(bytes.value().len());
        if bytes_count > bytes_max && !rows.is_empty() {
            break;
        }
        rows.push((index.value(), bytes.value().to_vec()));
    }
    Ok(rows)
}

fn value(guard: redb::AccessGuard<'_, u64>) -> u64 {
    guard.value()
}

fn in_transaction(
    database: &Database,
    write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    write(&transaction)?;
    transaction.commit()?;
    Ok(())
}

fn failed(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    StoreError::of_database(path, error.into())
}

fn not_found_is_missing(path: &Path, source: std::io::Error) -> StoreError {
    let path = path.to_owned();
    match source.kind() {
        std::io::ErrorKind::NotFound => StoreError::Missing { path },
        _ => StoreError::Io { path, source },
    }
}
