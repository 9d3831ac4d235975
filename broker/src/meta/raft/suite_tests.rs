//! The library's own test suite over our store.

use std::sync::Arc;

use fidelog_log::env::RealDisk;
use openraft::AnyError;
use openraft::testing::{StoreBuilder, Suite};

use super::{LogStore, Opened, RaftStore, StateMachine, StorageError, TypeConfig};
use crate::meta::state::fixture::cluster;
use crate::meta::store::LastStop;

struct Builder;

type Guard = (tempfile::TempDir, Opened);

impl StoreBuilder<TypeConfig, LogStore, StateMachine, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, LogStore, StateMachine), StorageError> {
        let failed = |error| openraft::StorageIOError::read(AnyError::new(&error));
        let directory = tempfile::tempdir().unwrap();
        RaftStore::format(&RealDisk, directory.path(), cluster(), 7).map_err(failed)?;
        let opened = RaftStore::open(Arc::new(RealDisk), directory.path(), cluster(), LastStop::Clean);
        let (log, machine, opened) = opened.map_err(failed)?;
        Ok(((directory, opened), log, machine))
    }
}

#[test]
fn the_store_passes_the_suite_of_the_library() {
    Suite::test_all(Builder).unwrap();
}
