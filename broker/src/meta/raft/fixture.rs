//! Entries, and stores on any disk, for the tests of the quorum's store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::Disk;
use fidelog_record::types::{BrokerId, MetaIndex};
use openraft::storage::{RaftLogStorageExt, RaftStateMachine};
use openraft::{CommittedLeaderId, EntryPayload};

use super::{
    Applied, Command, LogId, LogStore, Membership, Opened, RaftStore, StateMachine, StorageError, TypeConfig,
    Voter,
};
use crate::meta::state::fixture::{cluster, founded};
use crate::meta::state::{ClusterState, Entry as MetaEntry};
use crate::meta::store::{LastStop, StoreError};

pub(super) const NODE: u64 = 7;

pub(super) type Entry = openraft::Entry<TypeConfig>;

/// An open store.
pub(super) struct Store {
    pub(super) log: LogStore,
    pub(super) machine: StateMachine,
    pub(super) opened: Opened,
}

impl Store {
    pub(super) fn format(disk: &dyn Disk, directory: &Path) {
        RaftStore::format(disk, directory, cluster(), NODE).unwrap();
    }

    pub(super) fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        last_stop: LastStop,
    ) -> Result<Self, StoreError> {
        let (log, machine, opened) = RaftStore::open(disk, directory, cluster(), last_stop)?;
        Ok(Self { log, machine, opened })
    }

    /// Appends, and applies at once.
    pub(super) async fn commit(&mut self, entries: Vec<Entry>) -> Result<Vec<Applied>, StorageError> {
        self.log.blocking_append(entries.clone()).await?;
        self.machine.apply(entries).await
    }

    pub(super) fn state(&self) -> Option<Arc<ClusterState>> {
        self.opened.state()
    }
}

pub(super) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, NODE), index)
}

fn entry(id: LogId, payload: EntryPayload<TypeConfig>) -> Entry {
    Entry { log_id: id, payload }
}

pub(super) fn blank(id: LogId) -> Entry {
    entry(id, EntryPayload::Blank)
}

pub(super) fn membership(id: LogId) -> Entry {
    let voter = |n: u32| Voter { broker: BrokerId(n), address: format!("10.0.0.{n}:9095") };
    let nodes = BTreeMap::from([(NODE, voter(1)), (8, voter(2)), (id.index + 100, voter(3))]);
    entry(id, EntryPayload::Membership(Membership::new(vec![BTreeSet::from([NODE, 8])], nodes)))
}

pub(super) fn found(id: LogId) -> Entry {
    let snapshot = Box::new(founded().to_snapshot());
    entry(id, EntryPayload::Normal(Command::Found { snapshot }))
}

/// A batch of `count` grants decided on `state`.
pub(super) fn grants(id: LogId, state: &ClusterState, count: u64) -> Entry {
    let first = state.next_producer_id();
    let grant = |from| MetaEntry::ProducerIdsGranted { broker: BrokerId(1), from, to_end: from + 1 };
    batch(id, state.index(), (first..first + count).map(grant).collect())
}

pub(super) fn batch(id: LogId, base: MetaIndex, entries: Vec<MetaEntry>) -> Entry {
    entry(id, EntryPayload::Normal(Command::Batch { base, entries }))
}

/// The state after `entries`, worked out without the state machine.
pub(super) fn fold(entries: &[Entry]) -> Option<ClusterState> {
    let mut state: Option<ClusterState> = None;
    for entry in entries {
        match (&entry.payload, &mut state) {
            (EntryPayload::Normal(Command::Found { .. }), None) => state = Some(founded()),
            (EntryPayload::Normal(Command::Batch { base, entries }), Some(state))
                if *base == state.index() =>
            {
                for entry in entries {
                    state.apply(state.index().next(), entry).unwrap();
                }
            }
            _ => {}
        }
    }
    state
}
