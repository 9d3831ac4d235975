//! A quorum that lost its majority for good, rebuilt from what one of its voters holds (DESIGN §7).
//!
//! ```text
//!   closed store --read--> RebuildPlan: what there is, and what may be lost --an operator agrees--> the same store, made
//!                          that of a quorum of one: new incarnation, new number, its log folded into a snapshot
//! ```
//!
//! Always true: every entry of the log counts, known to be committed or not, as if this voter had been elected; the
//! change is one synced commit, there as a whole or not at all; what is rebuilt is what was read, or nothing is.
//!
//! Not here: that the other voters never come back on what they had. Their messages are refused, but brokers that they
//! still reach would follow them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::Disk;
use fidelog_record::types::{ClusterId, Incarnation};
use openraft::{CommittedLeaderId, EntryPayload};

use super::snapshot::snapshot_change;
use super::state_machine::Turn;
use super::stored::{encode_image, encode_vote};
use super::types::{NodeId, Voter};
use super::{Contents, LogId, Membership, RaftStore, SnapshotMeta, StoredMembership, Vote};
use crate::meta::state::ClusterState;
use crate::meta::store::{Change, Fact, LastStop, StoreError, StoreFile};

/// What a voter's store holds, to be judged before a quorum is rebuilt from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuildPlan {
    /// Its number in the quorum.
    pub node_id: NodeId,
    /// The metadata, every entry of the log applied.
    pub state: Arc<ClusterState>,
    /// The term and the index of the last entry of its log: of two voters, the greater one has seen more.
    pub last: (u64, u64),
    /// The index of the last entry of the log that it knows to be committed; those behind it are taken over, too.
    pub committed: Option<u64>,
    /// The term it voted in last.
    pub term: u64,
    /// All members of the quorum, and whether they vote.
    pub members: Vec<(NodeId, Voter, bool)>,
}

/// Why a quorum cannot be rebuilt from a store.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It holds no metadata.
    #[error("this controller has never learned any metadata; rebuild from one that has")]
    Empty,
    /// An entry of the log does not apply.
    #[error("the log of this controller does not apply to its snapshot: {0}")]
    Misfit(String),
    /// It is not what the plan was made of.
    #[error("the store has changed since the plan was made; make a new one")]
    Changed,
}

impl RebuildPlan {
    /// What the operator gives back to show that this plan was read.
    #[must_use]
    pub fn hash(&self) -> u32 {
        let image = encode_image(Some(&self.state));
        let numbers = [self.node_id, self.last.0, self.last.1, self.committed.unwrap_or(u64::MAX), self.term];
        let bytes = numbers.iter().flat_map(|number| number.to_be_bytes()).chain(image);
        fnv(bytes)
    }
}

/// FNV-1a: it tells apart what operators are shown, and resists nobody.
pub fn fnv(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Contents {
    /// What a quorum rebuilt from this would begin with.
    ///
    /// # Errors
    /// [`RebuildError::Empty`], [`RebuildError::Misfit`].
    pub fn rebuild_plan(&self, cluster: ClusterId) -> Result<RebuildPlan, RebuildError> {
        let (mut last, mut membership, mut turn) = match &self.snapshot {
            Some((meta, state)) => {
                let turn = Turn::new(cluster, state.clone().map(Arc::new));
                (meta.last_log_id, meta.last_membership.membership().clone(), turn)
            }
            None => (None, Membership::default(), Turn::new(cluster, None)),
        };
        for (entry, _) in &self.log {
            if last.is_some_and(|last| entry.log_id.index <= last.index) {
                continue;
            }
            last = Some(entry.log_id);
            match &entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(command) => {
                    let misfit = |error: &dyn std::fmt::Display| {
                        RebuildError::Misfit(format!("entry {}: {error}", entry.log_id))
                    };
                    turn.apply(command.clone()).map_err(|error| misfit(&error))?;
                }
                EntryPayload::Membership(changed) => membership = changed.clone(),
            }
        }
        let (Some(state), Some(last)) = (turn.into_state(), last) else { return Err(RebuildError::Empty) };
        let votes: BTreeSet<NodeId> = membership.voter_ids().collect();
        let members = membership.nodes().map(|(node, voter)| (*node, voter.clone(), votes.contains(node)));
        Ok(RebuildPlan {
            node_id: self.node_id,
            state,
            last: (last.leader_id.term, last.index),
            committed: self.committed.map(|committed| committed.index),
            term: self.vote.map_or(0, |vote| vote.leader_id.term),
            members: members.collect(),
        })
    }
}

/// The one voter of a rebuilt quorum.
#[derive(Clone, Debug)]
pub struct Rebuilder {
    /// A number that was never used.
    pub node_id: NodeId,
    /// Who it is and where it is reached.
    pub voter: Voter,
    /// The rebuilt quorum's own.
    pub incarnation: Incarnation,
    /// Unix milliseconds.
    pub now_ms: u64,
}

impl RaftStore {
    /// Makes the closed store in `directory`, which `plan` was made of, that of a quorum of one.
    ///
    /// # Errors
    /// [`RebuildError`]; unless the disk failed in the middle, nothing is changed then.
    pub fn rebuild(
        disk: Arc<dyn Disk>,
        directory: &Path,
        cluster: ClusterId,
        plan: &RebuildPlan,
        rebuilder: Rebuilder,
    ) -> Result<(), RebuildError> {
        // The plan's reading has just written the file again where that was needed.
        let contents = Self::read(Arc::clone(&disk), directory, cluster, LastStop::Clean)?;
        if contents.rebuild_plan(cluster)? != *plan {
            return Err(RebuildError::Changed);
        }
        let Rebuilder { node_id, voter, incarnation, now_ms } = rebuilder;
        let state = plan.state.rebuilt(incarnation, now_ms);
        // Above everything it ever said yes to, although whom it said that to never hears of this number.
        let term = plan.term.max(plan.last.0);
        let last = LogId::new(CommittedLeaderId::new(term, node_id), plan.last.1 + 1);
        let membership = Membership::new(vec![BTreeSet::from([node_id])], BTreeMap::from([(node_id, voter)]));
        let image = encode_image(Some(&state));
        let meta = SnapshotMeta {
            last_log_id: Some(last),
            last_membership: StoredMembership::new(Some(last), membership),
            snapshot_id: format!("{last}@{node_id}+{}", image.len()),
        };
        let vote = encode_vote(&Vote::new(term, node_id));
        let changes = [Change::Reset(node_id), Change::Keep(Fact::Vote, vote), snapshot_change(&meta, image)];
        let file = StoreFile::open(disk, directory, cluster, LastStop::Clean)?;
        file.commit(changes.iter())?;
        Ok(file.close()?)
    }
}
