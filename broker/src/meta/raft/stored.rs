//! How the quorum's things look in the store: JSON of our own forms, independent of the library's types.
//!
//! Always true: names and shapes are kept for ever; unknown fields and kinds are refused; what was encoded decodes to
//! the same value.

use std::collections::{BTreeMap, BTreeSet};

use fidelog_record::types::BrokerId;
use openraft::{CommittedLeaderId, EntryPayload};
use serde::{Deserialize, Serialize};

use super::command::Command;
use super::types::{NodeId, TypeConfig, Voter};
use super::{LogId, Membership, SnapshotMeta, StoredMembership, Vote};
use crate::meta::state::{ClusterState, DecodeError, Snapshot, decode, encode};

/// Version of the image's form.
const IMAGE_FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogIdForm {
    term: u64,
    leader: NodeId,
    index: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VoteForm {
    term: u64,
    node: NodeId,
    committed: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeForm {
    node: NodeId,
    broker: BrokerId,
    address: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MembershipForm {
    /// The sets of voters: one, or two while they change.
    voters: Vec<BTreeSet<NodeId>>,
    /// Voters and learners.
    nodes: Vec<NodeForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum PayloadForm {
    Blank,
    Command(Command),
    Membership(MembershipForm),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryForm {
    id: LogIdForm,
    payload: PayloadForm,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotForm {
    id: String,
    last: Option<LogIdForm>,
    membership_at: Option<LogIdForm>,
    membership: MembershipForm,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageForm {
    format: u32,
    state: Option<Snapshot>,
}

impl From<&LogId> for LogIdForm {
    fn from(id: &LogId) -> Self {
        Self { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
    }
}

impl From<LogIdForm> for LogId {
    fn from(form: LogIdForm) -> Self {
        Self::new(CommittedLeaderId::new(form.term, form.leader), form.index)
    }
}

impl From<&Membership> for MembershipForm {
    fn from(membership: &Membership) -> Self {
        let node =
            |(&node, it): (_, &Voter)| NodeForm { node, broker: it.broker, address: it.address.clone() };
        Self { voters: membership.get_joint_config().clone(), nodes: membership.nodes().map(node).collect() }
    }
}

impl From<MembershipForm> for Membership {
    fn from(form: MembershipForm) -> Self {
        let voter = |it: NodeForm| (it.node, Voter { broker: it.broker, address: it.address });
        Self::new(form.voters, form.nodes.into_iter().map(voter).collect::<BTreeMap<_, _>>())
    }
}

pub(super) fn encode_log_id(id: &LogId) -> Vec<u8> {
    encode(&LogIdForm::from(id))
}

pub(super) fn decode_log_id(bytes: &[u8]) -> Result<LogId, DecodeError> {
    decode::<LogIdForm>(bytes).map(LogId::from)
}

pub(super) fn encode_vote(vote: &Vote) -> Vec<u8> {
    encode(&VoteForm { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed })
}

pub(super) fn decode_vote(bytes: &[u8]) -> Result<Vote, DecodeError> {
    let VoteForm { term, node, committed } = decode(bytes)?;
    Ok(if committed { Vote::new_committed(term, node) } else { Vote::new(term, node) })
}

pub(super) fn encode_entry(entry: &openraft::Entry<TypeConfig>) -> Vec<u8> {
    let payload = match &entry.payload {
        EntryPayload::Blank => PayloadForm::Blank,
        EntryPayload::Normal(command) => PayloadForm::Command(command.clone()),
        EntryPayload::Membership(membership) => PayloadForm::Membership(membership.into()),
    };
    encode(&EntryForm { id: (&entry.log_id).into(), payload })
}

pub(super) fn decode_entry(bytes: &[u8]) -> Result<openraft::Entry<TypeConfig>, DecodeError> {
    let EntryForm { id, payload } = decode(bytes)?;
    let payload = match payload {
        PayloadForm::Blank => EntryPayload::Blank,
        PayloadForm::Command(command) => EntryPayload::Normal(command),
        PayloadForm::Membership(form) => EntryPayload::Membership(form.into()),
    };
    Ok(openraft::Entry { log_id: id.into(), payload })
}

pub(super) fn encode_snapshot_meta(meta: &SnapshotMeta) -> Vec<u8> {
    encode(&SnapshotForm {
        id: meta.snapshot_id.clone(),
        last: meta.last_log_id.as_ref().map(LogIdForm::from),
        membership_at: meta.last_membership.log_id().as_ref().map(LogIdForm::from),
        membership: meta.last_membership.membership().into(),
    })
}

pub(super) fn decode_snapshot_meta(bytes: &[u8]) -> Result<SnapshotMeta, DecodeError> {
    let form: SnapshotForm = decode(bytes)?;
    Ok(SnapshotMeta {
        last_log_id: form.last.map(LogId::from),
        last_membership: StoredMembership::new(form.membership_at.map(LogId::from), form.membership.into()),
        snapshot_id: form.id,
    })
}

/// The bytes of a snapshot.
pub(super) fn encode_image(state: Option<&ClusterState>) -> Vec<u8> {
    encode(&ImageForm { format: IMAGE_FORMAT, state: state.map(ClusterState::to_snapshot) })
}

pub(super) fn decode_image(bytes: &[u8]) -> Result<Option<ClusterState>, DecodeError> {
    let ImageForm { format, state } = decode(bytes)?;
    if format != IMAGE_FORMAT {
        let reason = format!("the snapshot's format is {format}; this version knows {IMAGE_FORMAT}");
        return Err(DecodeError::new(reason));
    }
    state.map(ClusterState::from_snapshot).transpose()
}
