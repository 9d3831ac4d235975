//! The metadata as Raft's state machine: committed entries in, the published state out.
//!
//! Always true: what was applied is what is published; a batch is applied on the state it was decided on, or changes
//! nothing and says so; an entry that does not apply, or a snapshot that cannot be read, stops the node and is shown
//! to nobody.
//!
//! The state lives in memory. After a start it is that of the snapshot, and the committed log brings it up to date.

use std::io::Cursor;
use std::sync::Arc;

use fidelog_record::types::{ClusterId, MetaIndex};
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, StorageIOError};

use super::command::{Applied, Command};
use super::shared::Shared;
use super::snapshot::{SnapshotBuilder, read_snapshot, snapshot_change};
use super::stored::decode_image;
use super::types::TypeConfig;
use super::{LogId, Snapshot, SnapshotMeta, StorageError, StoredMembership};
use crate::meta::published::NumberedEntries;
use crate::meta::published::Published;
use crate::meta::state::{ApplyError, ClusterState, DecodeError};

/// Why an entry or a snapshot stops the node.
#[derive(Debug, thiserror::Error)]
pub(super) enum MachineError {
    /// An entry does not fit the state: a bug, or the log of something else.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// It holds what this version does not know, or is damaged.
    #[error("a snapshot of the metadata cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    /// It is of another cluster.
    #[error("the metadata given to this node is that of cluster {given}; this node belongs to cluster {own}")]
    OtherCluster {
        /// Whose it is.
        given: ClusterId,
        /// Whose this node is.
        own: ClusterId,
    },
    /// It is an older state of this cluster, or comes from another founding of it.
    #[error("a snapshot of {given} cannot replace {own}")]
    NotLater {
        /// The snapshot's state.
        given: String,
        /// The state of this node.
        own: String,
    },
    /// The log runs backwards: a bug.
    #[error("log entry {given} is to be applied after {applied}")]
    Backwards {
        /// The entry.
        given: LogId,
        /// The last one applied.
        applied: LogId,
    },
}

/// Applies what is committed. One owner.
#[derive(Debug)]
pub struct StateMachine {
    shared: Arc<Shared>,
    published: Arc<Published>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

/// What one call applied and nobody has seen yet.
pub(super) struct Turn {
    cluster: ClusterId,
    state: Option<Arc<ClusterState>>,
    entries: NumberedEntries,
    /// The state is not what came before it plus `entries`.
    founded: bool,
}

impl StateMachine {
    pub(super) fn new(
        shared: Arc<Shared>,
        published: Arc<Published>,
        applied: Option<LogId>,
        membership: StoredMembership,
    ) -> Self {
        Self { shared, published, applied, membership }
    }

    fn apply_entry(
        &mut self,
        turn: &mut Turn,
        entry: openraft::Entry<TypeConfig>,
    ) -> Result<Applied, MachineError> {
        let given = entry.log_id;
        if let Some(applied) = self.applied.filter(|applied| given.index <= applied.index) {
            return Err(MachineError::Backwards { given, applied });
        }
        self.applied = Some(given);
        match entry.payload {
            EntryPayload::Blank => Ok(Applied::Nothing),
            EntryPayload::Normal(command) => turn.apply(command),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(given), membership);
                Ok(Applied::Nothing)
            }
        }
    }

    fn stop(&self, at: LogId, error: &MachineError) -> StorageError {
        self.shared.health.stop(&error.to_string());
        StorageIOError::apply(at, AnyError::new(error)).into()
    }

    /// The state of a snapshot that may follow the present one.
    fn decode(&self, bytes: &[u8]) -> Result<Option<ClusterState>, MachineError> {
        let state = decode_image(bytes)?;
        if let Some(given) = &state {
            check_cluster(given, self.shared.cluster)?;
        }
        let tell = |state: Option<&ClusterState>| {
            state.map_or_else(
                || "no metadata".to_owned(),
                |it| format!("incarnation {} at {}", it.incarnation(), it.index()),
            )
        };
        match (&state, self.published.state()) {
            (_, None) => Ok(state),
            (Some(given), Some(own))
                if given.incarnation() == own.incarnation() && given.index() >= own.index() =>
            {
                Ok(state)
            }
            (given, Some(own)) => {
                Err(MachineError::NotLater { given: tell(given.as_ref()), own: tell(Some(&own)) })
            }
        }
    }
}

fn check_cluster(state: &ClusterState, own: ClusterId) -> Result<(), MachineError> {
    let given = state.cluster();
    if given == own { Ok(()) } else { Err(MachineError::OtherCluster { given, own }) }
}

impl Turn {
    /// Begins on `state`.
    pub(super) fn new(cluster: ClusterId, state: Option<Arc<ClusterState>>) -> Self {
        Self { cluster, state, entries: Vec::new(), founded: false }
    }

    /// The state as far as it was applied.
    pub(super) fn into_state(self) -> Option<Arc<ClusterState>> {
        self.state
    }

    pub(super) fn apply(&mut self, command: Command) -> Result<Applied, MachineError> {
        match (command, &mut self.state) {
            // Proposed twice, when the founder did not hear the first answer.
            (Command::Found { .. }, Some(state)) => Ok(Applied::Void { index: state.index() }),
            (Command::Found { snapshot }, None) => {
                let state = ClusterState::from_snapshot(*snapshot)?;
                check_cluster(&state, self.cluster)?;
                let index = state.index();
                self.state = Some(Arc::new(state));
                self.founded = true;
                Ok(Applied::Counts { index })
            }
            (Command::Batch { .. }, None) => Ok(Applied::Void { index: MetaIndex(0) }),
            (Command::Batch { base, .. }, Some(state)) if base != state.index() => {
                Ok(Applied::Void { index: state.index() })
            }
            (Command::Batch { entries, .. }, Some(state)) => {
                // The published state is another holder, so that this is a copy the first time.
                let state = Arc::make_mut(state);
                for entry in entries {
                    let index = state.index().next();
                    state.apply(index, &entry)?;
                    self.entries.push((index, Arc::new(entry)));
                }
                Ok(Applied::Counts { index: state.index() })
            }
        }
    }

    fn publish(self, published: &Published) {
        match self.state {
            Some(state) if self.founded => published.replace(state),
            Some(state) if !self.entries.is_empty() => published.extend(state, self.entries),
            _ => {}
        }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Applied>, StorageError>
    where
        I: IntoIterator<Item = openraft::Entry<TypeConfig>> + Send,
        I::IntoIter: Send,
    {
        let mut turn = Turn::new(self.shared.cluster, self.published.state());
        let mut answers = Vec::new();
        for entry in entries {
            let at = entry.log_id;
            answers.push(self.apply_entry(&mut turn, entry).map_err(|error| self.stop(at, &error))?);
        }
        turn.publish(&self.published);
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let state = self.published.state();
        SnapshotBuilder::new(Arc::clone(&self.shared), state, self.applied, self.membership.clone())
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let image = snapshot.into_inner();
        let failed = |error: &MachineError| -> StorageError {
            self.shared.health.stop(&error.to_string());
            StorageIOError::write_snapshot(Some(meta.signature()), AnyError::new(error)).into()
        };
        // Read before it is kept: a snapshot that cannot be read never replaces one that can.
        let state = self.decode(&image).map_err(|error| failed(&error))?;
        let written = self.shared.writer.write(vec![snapshot_change(meta, image)]).await;
        written.map_err(|stopped| {
            StorageIOError::write_snapshot(Some(meta.signature()), AnyError::new(&stopped))
        })?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        if let Some(state) = state {
            self.published.replace(Arc::new(state));
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        read_snapshot(&self.shared).await
    }
}
