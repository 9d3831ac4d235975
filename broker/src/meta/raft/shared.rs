//! What the log's store, the state machine and the readers of one open store have in common.

use std::sync::Arc;

use fidelog_record::types::ClusterId;
use openraft::{AnyError, StorageIOError};

use super::StorageError;
use super::types::NodeId;
use crate::meta::store::{Health, StoreError, StoreFile, StoreWriter};

/// Of one open store.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) cluster: ClusterId,
    pub(super) node_id: NodeId,
    pub(super) file: Arc<StoreFile>,
    pub(super) writer: StoreWriter,
    pub(super) health: Arc<Health>,
}

impl Shared {
    /// Reads from the file on a thread that may wait for the disk. A failure stops the store.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&StoreFile) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let file = Arc::clone(&self.file);
        // Stopping here is safe: nothing is changed.
        match tokio::task::spawn_blocking(move || read(&file)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failed(&error)),
            // The runtime is ending.
            Err(error) => Err(StorageIOError::read(AnyError::new(&error)).into()),
        }
    }

    /// Nothing more is written; the error for the library.
    pub(super) fn failed(&self, error: &(impl std::error::Error + 'static)) -> StorageError {
        self.health.stop(&error.to_string());
        StorageIOError::read(AnyError::new(error)).into()
    }
}
