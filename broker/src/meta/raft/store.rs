//! The quorum's store of one node: made, opened, emptied.
//!
//! ```text
//!   meta.redb --open--> LogStore (log, vote)          --> the library
//!                  \--> StateMachine --> Published    --> the library; watches
//!                   \-> Opened: close it in the end
//! ```
//!
//! Always true: a store that opens makes sense: its log has no holes and joins its snapshot, and every entry of it can
//! be read by this version.

use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::Disk;
use fidelog_record::types::ClusterId;
use tokio::sync::watch;

use super::log_store::{Head, LogStore};
use super::log_tail::LogTail;
use super::shared::Shared;
use super::snapshot::covered_end;
use super::state_machine::StateMachine;
use super::stored::{decode_entry, decode_image, decode_log_id, decode_snapshot_meta, decode_vote};
use super::types::{NodeId, TypeConfig};
use super::{LogId, SnapshotMeta, StoredMembership, Vote};
use crate::meta::published::Published;
use crate::meta::state::{ClusterState, DecodeError};
use crate::meta::store::{
    Health, KeptSnapshot, LastStop, StoreError, StoreFile, StoreHealth, StoreStopped, StoreThread,
};

/// Everything a closed store holds, read and checked.
#[derive(Debug)]
pub struct Contents {
    /// The node's number.
    pub node_id: NodeId,
    /// Whom it follows or voted for.
    pub vote: Option<Vote>,
    /// The last entry known to be committed; may lag behind.
    pub committed: Option<LogId>,
    /// The last entry removed from the front of the log.
    pub purged: Option<LogId>,
    /// What the snapshot is about, and the state in it; no state before the cluster was founded.
    pub snapshot: Option<(SnapshotMeta, Option<ClusterState>)>,
    /// The log, and each entry's size as stored, bytes.
    pub log: Vec<(openraft::Entry<TypeConfig>, usize)>,
}

/// An open store's other end: how it is, and how it is closed.
#[derive(Debug)]
pub struct Opened {
    /// The node's number.
    pub node_id: NodeId,
    pub(in crate::meta) published: Arc<Published>,
    health: Arc<Health>,
    thread: StoreThread,
}

impl Opened {
    /// How the store is, from now on.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<StoreHealth> {
        self.health.subscribe()
    }

    /// What gives room up for the store when the disk has none, and tells whether there was any to give. It may block.
    pub fn room_from(&self, make_room: impl Fn() -> bool + Send + Sync + 'static) {
        self.health.room_from(make_room);
    }

    /// The state as far as it is applied; none before the cluster was founded.
    #[must_use]
    pub fn state(&self) -> Option<Arc<ClusterState>> {
        self.published.state()
    }

    /// Writes all that waits and closes the file. The library must have been shut down before; blocks.
    ///
    /// # Errors
    /// [`StoreStopped`] when the store had failed, or failed now.
    pub fn close(self) -> Result<(), StoreStopped> {
        self.thread.close()
    }
}

/// The ways into a store.
#[derive(Debug)]
pub struct RaftStore;

impl RaftStore {
    /// Makes the store of a node in `directory`, which exists. `node_id` is minted for it and never used again.
    ///
    /// # Errors
    /// [`StoreError::Exists`]; [`StoreError::Io`].
    pub fn format(
        disk: &dyn Disk,
        directory: &Path,
        cluster: ClusterId,
        node_id: NodeId,
    ) -> Result<(), StoreError> {
        StoreFile::format(disk, directory, cluster, node_id)
    }

    /// Opens the store in `directory` and starts the thread that writes to it.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is removed or made then.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        cluster: ClusterId,
        last_stop: LastStop,
    ) -> Result<(LogStore, StateMachine, Opened), StoreError> {
        let file = Arc::new(StoreFile::open(disk, directory, cluster, last_stop)?);
        let contents = read_all(&file, cluster)?;
        let node_id = contents.node_id;
        let published = Arc::new(Published::empty());
        let health = {
            let published = Arc::clone(&published);
            Arc::new(Health::new(move |reason| published.stop(reason)))
        };
        let covered_end = contents.covered_end();
        let started = StoreThread::start(Arc::clone(&file), Arc::clone(&health), covered_end);
        let (thread, writer) =
            started.map_err(|source| StoreError::Io { path: directory.to_owned(), source })?;
        let shared = Shared { cluster, node_id, file, writer, health: Arc::clone(&health) };
        let (log, machine) = parts(contents, Arc::new(shared), &published);
        Ok((log, machine, Opened { node_id, published, health, thread }))
    }

    /// Reads all of a closed store, for whoever must rebuild a quorum without its majority.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(
        disk: Arc<dyn Disk>,
        directory: &Path,
        cluster: ClusterId,
        last_stop: LastStop,
    ) -> Result<Contents, StoreError> {
        let file = StoreFile::open(disk, directory, cluster, last_stop)?;
        let contents = read_all(&file, cluster)?;
        file.close()?;
        Ok(contents)
    }

    /// Empties a closed store: log, vote and snapshot go in one step, and the node starts anew as nobody's voter,
    /// under a number that was never used.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reset(
        disk: Arc<dyn Disk>,
        directory: &Path,
        cluster: ClusterId,
        last_stop: LastStop,
        node_id: NodeId,
    ) -> Result<(), StoreError> {
        let file = StoreFile::open(disk, directory, cluster, last_stop)?;
        file.reset(node_id)?;
        file.close()
    }
}

fn parts(contents: Contents, shared: Arc<Shared>, published: &Arc<Published>) -> (LogStore, StateMachine) {
    let (applied, membership) = match contents.snapshot {
        Some((meta, state)) => {
            if let Some(state) = state {
                published.replace(Arc::new(state));
            }
            (meta.last_log_id, meta.last_membership)
        }
        None => (None, StoredMembership::default()),
    };
    let last = contents.log.last().map(|(entry, _)| entry.log_id).or(contents.purged);
    let mut tail = LogTail::default();
    tail.synced(last.map_or(0, |last| last.index + 1));
    tail.push(contents.log.into_iter());
    let (vote, committed, purged) = (contents.vote, contents.committed, contents.purged);
    let log = LogStore::new(Arc::clone(&shared), Head { vote, committed, purged, last, tail });
    (log, StateMachine::new(shared, Arc::clone(published), applied, membership))
}

fn read_all(file: &StoreFile, cluster: ClusterId) -> Result<Contents, StoreError> {
    let rows = file.rows()?;
    let unreadable = |what: &str, error: DecodeError| file.damaged(format!("{what}: {error}"));
    let id = |what: &str, bytes: Option<Vec<u8>>| {
        let id = bytes.map(|bytes| decode_log_id(&bytes)).transpose();
        id.map_err(|error| unreadable(what, error))
    };
    let vote = rows.vote.map(|bytes| decode_vote(&bytes)).transpose();
    let mut log = Vec::with_capacity(rows.log.len());
    for (index, bytes) in rows.log {
        let entry = decode_entry(&bytes).map_err(|error| unreadable(&format!("log entry {index}"), error))?;
        if entry.log_id.index != index {
            return Err(file.damaged(format!("log entry {index} says it is {}", entry.log_id)));
        }
        log.push((entry, bytes.len()));
    }
    let contents = Contents {
        node_id: rows.node_id,
        vote: vote.map_err(|error| unreadable("vote", error))?,
        committed: id("committed", rows.committed)?,
        purged: id("purged", rows.purged)?,
        snapshot: read_state(file, cluster)?,
        log,
    };
    match contents.contradiction() {
        None => Ok(contents),
        Some(reason) => Err(file.damaged(reason)),
    }
}

fn read_state(
    file: &StoreFile,
    cluster: ClusterId,
) -> Result<Option<(SnapshotMeta, Option<ClusterState>)>, StoreError> {
    let Some(KeptSnapshot { about, image }) = file.snapshot()? else { return Ok(None) };
    let unreadable = |error: DecodeError| file.damaged(format!("its snapshot: {error}"));
    let meta = decode_snapshot_meta(&about).map_err(unreadable)?;
    let state = decode_image(&image).map_err(unreadable)?;
    match &state {
        Some(state) if state.cluster() != cluster => {
            Err(file.damaged(format!("its snapshot is of cluster {}", state.cluster())))
        }
        _ => Ok(Some((meta, state))),
    }
}

impl Contents {
    /// End of the log the snapshot covers, exclusive.
    fn covered_end(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |(meta, _)| covered_end(meta))
    }

    /// What cannot be, whatever crashed when.
    pub(super) fn contradiction(&self) -> Option<String> {
        let mut next = self.purged.map_or(0, |purged| purged.index + 1);
        let covered_end = self.covered_end();
        if covered_end < next {
            return Some(format!("its log begins at {next}, and its snapshot ends at {covered_end}"));
        }
        for (entry, _) in &self.log {
            if entry.log_id.index != next {
                return Some(format!("log entries {next} to {} are missing", entry.log_id));
            }
            next += 1;
        }
        let known_end = next.max(covered_end);
        let committed_end = self.committed.map_or(0, |committed| committed.index + 1);
        (committed_end > known_end)
            .then(|| format!("entries up to {committed_end} are committed, and it ends at {known_end}"))
    }
}
