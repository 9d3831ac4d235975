//! Entries and snapshots of the metadata in one redb file, `meta.redb`.
//!
//! ```text
//!   about      "format" -> 1
//!   snapshots  index    -> snapshot, JSON; one row, the latest
//!   entries    index    -> entry, JSON; every one after the snapshot, and some before it for watchers that resume
//! ```
//!
//! Always true: what [`MetaStore::commit`] returned well for is synced; all entries of one commit are there after a
//! crash, or none; the store is made once, by [`MetaStore::format`], and a missing, damaged or foreign one is an
//! error, never an empty one (D12).
//!
//! It does not latch itself: it runs on the data directory's `Disk`, and its owner stops at the first error.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fidelog_log::env::{Disk, OpenMode};
use fidelog_record::types::{ClusterId, MetaIndex};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::backend::FileBackend;
use super::rewrite::{remove_if_there, rewrite};
use super::{COPY_NAME, FILE_NAME, LastStop, NEW_NAME, StoreError, builder};
use crate::meta::state::{ClusterState, DecodeError, Entry, Stored};

const FORMAT: u64 = 1;

const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const SNAPSHOTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("snapshots");
const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");

/// How much the store keeps.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Entries from one snapshot to the next: bounds what a start applies. Default 1,000.
    pub snapshot_every: u64,
    /// Entries kept behind the last one, so that watchers resume without a snapshot. Default 10,000.
    pub entries_kept: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { snapshot_every: 1_000, entries_kept: 10_000 }
    }
}

/// Entries with their indexes, in order.
pub type NumberedEntries = Vec<(MetaIndex, Arc<Entry>)>;

/// What a store held when it was opened.
#[derive(Debug)]
pub struct Loaded {
    /// The state after the last entry.
    pub state: ClusterState,
    /// The entries kept, up to the last one.
    pub entries: NumberedEntries,
}

/// An open store. One owner, blocking.
pub struct MetaStore {
    /// None only while it is opened again.
    database: Option<Database>,
    disk: Arc<dyn Disk>,
    path: PathBuf,
    cluster: ClusterId,
    options: StoreOptions,
    snapshot_index: MetaIndex,
}

impl std::fmt::Debug for MetaStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetaStore")
            .field("path", &self.path)
            .field("snapshot_index", &self.snapshot_index)
            .finish()
    }
}

impl MetaStore {
    /// Makes the store of a new cluster in `directory`, which exists. A stop in the middle leaves no store.
    ///
    /// # Errors
    /// [`StoreError::Exists`]; [`StoreError::Io`].
    pub fn format(disk: &dyn Disk, directory: &Path, founded: &ClusterState) -> Result<(), StoreError> {
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
            transaction.open_table(ABOUT)?.insert("format", FORMAT)?;
            transaction.open_table(ENTRIES)?;
            transaction.open_table(SNAPSHOTS)?.insert(founded.index().0, founded.to_bytes().as_slice())?;
            Ok(())
        })
        .map_err(|error| failed(&path, error))?;
        drop(database);
        // redb swallows errors of its last writes when it is dropped; a failed sync here is heard.
        file.sync_data().map_err(io)?;
        disk.rename(&new, &path).map_err(io)?;
        disk.sync_dir(directory).map_err(io)
    }

    /// Opens the store in `directory` and reads all it holds.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is removed or made then.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        cluster: ClusterId,
        last_stop: LastStop,
        options: StoreOptions,
    ) -> Result<(Self, Loaded), StoreError> {
        let path = directory.join(FILE_NAME);
        if last_stop == LastStop::Unclean {
            rewrite(disk.as_ref(), directory, &path, &directory.join(COPY_NAME))
                .map_err(|source| not_found_is_missing(&path, source))?;
        }
        let snapshot_index = MetaIndex(0);
        let mut store = Self { database: None, disk, path, cluster, options, snapshot_index };
        let loaded = store.reopen()?;
        Ok((store, loaded))
    }

    /// Appends `entries`, which lead to `state`, in one synced commit; now and then with a snapshot of `state`.
    ///
    /// # Errors
    /// [`StoreError`]. Whether the entries are there is then unknown. After [`StoreError::is_full`], and only then,
    /// [`Self::reopen`] tells; after anything else nothing may be believed.
    pub fn commit(
        &mut self,
        entries: &[(MetaIndex, Arc<Entry>)],
        state: &ClusterState,
    ) -> Result<(), StoreError> {
        let Some(database) = &self.database else {
            let reason = "it could not be opened again".to_owned();
            return Err(StoreError::Damaged { path: self.path.clone(), reason });
        };
        let last = state.index().0;
        let snapshot_due = last.saturating_sub(self.snapshot_index.0) >= self.options.snapshot_every;
        in_transaction(database, |transaction| {
            let mut table = transaction.open_table(ENTRIES)?;
            for (index, entry) in entries {
                table.insert(index.0, entry.to_bytes().as_slice())?;
            }
            if snapshot_due {
                let mut snapshots = transaction.open_table(SNAPSHOTS)?;
                snapshots.insert(last, state.to_bytes().as_slice())?;
                snapshots.retain_in(..last, |_, _| false)?;
                table.retain_in(..=last.saturating_sub(self.options.entries_kept), |_, _| false)?;
            }
            Ok(())
        })
        .map_err(|error| failed(&self.path, error))?;
        if snapshot_due {
            self.snapshot_index = state.index();
        }
        Ok(())
    }

    /// Opens the file anew and reads all it holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reopen(&mut self) -> Result<Loaded, StoreError> {
        // The former database writes to the file while it is dropped, so it goes first.
        drop(self.database.take());
        let database = match self.open_database(true) {
            Err(error) if error.is_full() => self.open_database(false)?,
            other => other?,
        };
        let loaded = self.load(&database)?;
        self.database = Some(database);
        Ok(loaded)
    }

    /// A full check verifies every page, but needs room of its own; without it a damaged page is found when it is
    /// read.
    fn open_database(&self, check: bool) -> Result<Database, StoreError> {
        let io = |source| not_found_is_missing(&self.path, source);
        let file = self.disk.open(&self.path, OpenMode::ReadWrite).map_err(io)?;
        if file.len().map_err(io)? == 0 {
            // redb would make a new database of it.
            return Err(StoreError::Damaged { path: self.path.clone(), reason: "it is empty".to_owned() });
        }
        let mut builder = builder();
        builder.set_check_integrity_on_open(check);
        let backend = FileBackend::new(file).map_err(io)?;
        builder.create_with_backend(backend).map_err(|error| failed(&self.path, error))
    }

    fn load(&mut self, database: &Database) -> Result<Loaded, StoreError> {
        let rows = read_rows(database).map_err(|error| failed(&self.path, error))?;
        let damaged = |reason: String| StoreError::Damaged { path: self.path.clone(), reason };
        if rows.format != Some(FORMAT) {
            return Err(damaged(format!("its format is {:?}, this version knows {FORMAT}", rows.format)));
        }
        let (at, bytes) = rows.snapshot.ok_or_else(|| damaged("it has no snapshot".to_owned()))?;
        let unreadable = |what: &str, at: u64, error: DecodeError| damaged(format!("{what} {at}: {error}"));
        let mut state =
            ClusterState::from_bytes(&bytes).map_err(|error| unreadable("snapshot", at, error))?;
        if state.index().0 != at {
            return Err(damaged(format!("the snapshot at {at} says it is at {}", state.index())));
        }
        if state.cluster() != self.cluster {
            let (path, cluster) = (self.path.clone(), state.cluster());
            return Err(StoreError::OtherCluster { path, cluster, expected: self.cluster });
        }
        let mut entries = NumberedEntries::new();
        for (index, bytes) in rows.entries {
            let entry = Entry::from_bytes(&bytes).map_err(|error| unreadable("entry", index, error))?;
            let index = MetaIndex(index);
            if entries.last().is_some_and(|(before, _)| before.next() != index) {
                return Err(damaged(format!("entries before {index} are missing")));
            }
            if index > state.index() {
                state.apply(index, &entry).map_err(|error| damaged(error.to_string()))?;
            }
            entries.push((index, Arc::new(entry)));
        }
        self.snapshot_index = MetaIndex(at);
        Ok(Loaded { state, entries })
    }
}

struct Rows {
    format: Option<u64>,
    snapshot: Option<(u64, Vec<u8>)>,
    entries: Vec<(u64, Vec<u8>)>,
}

fn read_rows(database: &Database) -> Result<Rows, redb::Error> {
    let transaction = database.begin_read()?;
    let format = transaction.open_table(ABOUT)?.get("format")?.map(|value| value.value());
    let snapshots = transaction.open_table(SNAPSHOTS)?;
    let snapshot = snapshots.last()?.map(|(key, value)| (key.value(), value.value().to_vec()));
    let mut entries = Vec::new();
    for row in transaction.open_table(ENTRIES)?.iter()? {
        let (key, value) = row?;
        entries.push((key.value(), value.value().to_vec()));
    }
    Ok(Rows { format, snapshot, entries })
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
