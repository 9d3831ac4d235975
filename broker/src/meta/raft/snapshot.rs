//! Snapshots: made beside the state machine, kept in the store.
//!
//! Always true: a snapshot is synced before anybody hears of it; the store keeps the one that covers most of the log.

use std::io::Cursor;
use std::sync::Arc;

use openraft::{AnyError, RaftSnapshotBuilder, StorageIOError};

use super::shared::Shared;
use super::stored::{decode_snapshot_meta, encode_image, encode_snapshot_meta};
use super::types::TypeConfig;
use super::{LogId, Snapshot, SnapshotMeta, StorageError, StoredMembership};
use crate::meta::state::ClusterState;
use crate::meta::store::{Change, KeptSnapshot, StoreFile};

/// Makes one snapshot of the state as it was when this was made.
#[derive(Debug)]
pub struct SnapshotBuilder {
    shared: Arc<Shared>,
    state: Option<Arc<ClusterState>>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl SnapshotBuilder {
    pub(super) fn new(
        shared: Arc<Shared>,
        state: Option<Arc<ClusterState>>,
        applied: Option<LogId>,
        membership: StoredMembership,
    ) -> Self {
        Self { shared, state, applied, membership }
    }

    /// Names its maker and its length, so that a receiver never joins pieces of two.
    fn id(&self, image: &[u8]) -> String {
        let at = self.applied.map_or_else(|| "empty".to_owned(), |applied| applied.to_string());
        format!("{at}@{}+{}", self.shared.node_id, image.len())
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let state = self.state.clone();
        // A large state takes a while, and nothing else on this thread may wait for it.
        let encoded = tokio::task::spawn_blocking(move || encode_image(state.as_deref())).await;
        let image = encoded.map_err(|error| StorageIOError::write_snapshot(None, AnyError::new(&error)))?;
        let meta = SnapshotMeta {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
            snapshot_id: self.id(&image),
        };
        let written = self.shared.writer.write(vec![snapshot_change(&meta, image.clone())]).await;
        written.map_err(|stopped| {
            StorageIOError::write_snapshot(Some(meta.signature()), AnyError::new(&stopped))
        })?;
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(image)) })
    }
}

/// The end of the log a snapshot covers, exclusive.
pub(super) fn covered_end(meta: &SnapshotMeta) -> u64 {
    meta.last_log_id.map_or(0, |last| last.index + 1)
}

pub(super) fn snapshot_change(meta: &SnapshotMeta, image: Vec<u8>) -> Change {
    Change::Snapshot { end: covered_end(meta), about: encode_snapshot_meta(meta), image }
}

/// The snapshot in the store.
pub(super) async fn read_snapshot(shared: &Shared) -> Result<Option<Snapshot>, StorageError> {
    let read = |file: &StoreFile| {
        let Some(KeptSnapshot { about, image }) = file.snapshot()? else { return Ok(None) };
        let meta = decode_snapshot_meta(&about);
        let meta = meta.map_err(|error| file.damaged(format!("its snapshot: {error}")))?;
        Ok(Some(Snapshot { meta, snapshot: Box::new(Cursor::new(image)) }))
    };
    shared.read(read).await
}
