//! The quorum as the rest of the broker sees it: propose, confirm, watch, status.
//!
//! Always true, of every implementation: an accepted proposal's entry is committed and synced before the answer; a
//! watch shows committed entries only, in order, and can be resumed from any index; the answer to a proposal may come
//! before or after the watch shows its entry, and nobody acts on it (N7).
//!
//! Everything that crosses the trait has bytes, so that a remote implementation carries it without looking inside.

use std::fmt;
use std::sync::Arc;

use fidelog_record::types::{BrokerId, ClusterId, Incarnation, MetaIndex};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::state::{
    Ancestor, ClusterState, DecodeError, Entry, KnownFor, Outcome, Proposal, Refusal, Snapshot, Stored,
};

/// The most entries in one event of a watch.
pub const WATCH_ENTRIES_MAX: usize = 256;

/// An accepted proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Where its entry stands.
    pub index: MetaIndex,
    /// What it gave.
    pub outcome: Outcome,
}

/// Why a proposal has no acceptance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ProposeError {
    /// Definite: the quorum looked at it and said no. Sending it again changes nothing.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// Definite: it was not taken, and can be sent again later.
    #[error("the metadata quorum cannot take it now, and nothing was changed: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// Unknown: it may have been accepted or may yet be. The watch will show.
    #[error("the metadata quorum's answer was lost, and the change may have been made: {reason}")]
    Unreachable {
        /// What happened.
        reason: String,
    },
}

impl ProposeError {
    /// Whether the proposal is known to have changed nothing.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Unavailable { .. } => true,
            Self::Unreachable { .. } => false,
        }
    }
}

/// What a watch shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// The first event of every stream: whom it comes from, and how far that one is. When that is behind the index
    /// asked for, the stream ends here.
    Opened {
        /// The cluster.
        cluster: ClusterId,
        /// The quorum's store.
        incarnation: Incarnation,
        /// The last committed index.
        index: MetaIndex,
        /// Whom that quorum was rebuilt from.
        ancestors: Vec<Ancestor>,
    },
    /// The whole state: first when the watch began at 0, and whenever the entries asked for are no longer kept.
    Snapshot(Arc<ClusterState>),
    /// Committed entries, in order. May repeat what was shown before.
    Entries(Vec<(MetaIndex, Arc<Entry>)>),
}

/// Why a watch ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The connection, or the quorum, is gone. Try again.
    #[error("the watch of the metadata ended: {reason}")]
    Lost {
        /// What happened.
        reason: String,
    },
    /// It shows what this version does not know, or what is damaged. The node stops.
    #[error("the watch of the metadata cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
}

/// A watch. Dropping it ends it.
pub type WatchStream = BoxStream<'static, Result<WatchEvent, WatchError>>;

/// A change of who votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum VoterChange {
    /// The controller on this broker votes from now on.
    Add {
        /// Which.
        broker: BrokerId,
    },
    /// The controller on this broker votes no more.
    Remove {
        /// Which.
        broker: BrokerId,
    },
}

/// Which brokers have a session, volatile, at the one who decides (N13).
pub trait FormerSessions: fmt::Debug + Send + Sync {
    /// Whether a process of this broker has a session.
    fn is_open(&self, broker: BrokerId) -> bool;

    /// For how long a broker has been seen as it is; none where nothing is known of it.
    fn known_for(&self, broker: BrokerId) -> Option<KnownFor>;
}

/// The quorum did not confirm in time who leads it: what is known here may be behind. Try again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the metadata quorum does not answer: {reason}")]
pub struct Unconfirmed {
    /// What happened.
    pub reason: String,
}

/// How the quorum is, as far as this node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuorumStatus {
    /// The cluster.
    pub cluster: ClusterId,
    /// The quorum's store; zeros before it is known.
    pub incarnation: Incarnation,
    /// The last committed index known.
    pub index: MetaIndex,
    /// The term of the one who decides; 0 where that is not known.
    pub term: u64,
    /// Who decides at present.
    pub leader: Option<BrokerId>,
    /// Who votes, and who learns in order to vote.
    pub voters: Vec<VoterStatus>,
    /// Why nothing is decided any more.
    pub stopped: Option<String>,
}

/// A member of the quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoterStatus {
    /// The number of its directory in the quorum; 0 where that is not known.
    pub node: u64,
    /// Which node of the cluster.
    pub broker: BrokerId,
    /// Its address between brokers, `host:port`.
    pub address: String,
    /// Whether it votes; a learner does not.
    pub votes: bool,
    /// How far its log is known to match the leader's; the leader alone knows. Not a metadata index.
    pub matched: Option<u64>,
    /// Whether the leader has not heard it for some seconds; the leader alone knows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
}

/// Whoever decides on the metadata.
pub trait MetadataQuorum: fmt::Debug + Send + Sync {
    /// Asks for a change; answers once its entry is committed and synced. Dropping the future leaves the outcome
    /// unknown.
    fn propose(&self, proposal: Proposal) -> BoxFuture<'static, Result<Accepted, ProposeError>>;

    /// A round, begun after this call, in which a majority confirms who decides. Gives an index that is at or beyond
    /// everything committed before the call.
    fn confirm(&self) -> BoxFuture<'static, Result<MetaIndex, Unconfirmed>>;

    /// Shows everything committed after `from`, for ever; from 0 it begins with a snapshot. It opens after a round
    /// like that of [`Self::confirm`], so that it is never behind what was accepted before the call.
    fn watch(&self, from: MetaIndex) -> WatchStream;

    /// How the quorum is, as far as this node knows without asking.
    fn status(&self) -> QuorumStatus;

    /// How the quorum is, as the one who decides sees it; as [`Self::status`] when that one cannot be reached.
    fn describe(&self) -> BoxFuture<'static, QuorumStatus> {
        std::future::ready(self.status()).boxed()
    }

    /// Changes who votes; answers once the change is committed. Refused as unavailable, with the reason, when it
    /// would leave fewer voters than a majority that can be reached.
    fn change_voters(&self, change: VoterChange) -> BoxFuture<'static, Result<(), ProposeError>> {
        let reason = format!("the voters of this quorum cannot be changed: {change:?}");
        std::future::ready(Err(ProposeError::Unavailable { reason })).boxed()
    }
}

/// A watch event as it is sent.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum EventForm {
    Opened {
        cluster: ClusterId,
        incarnation: Incarnation,
        index: MetaIndex,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ancestors: Vec<Ancestor>,
    },
    Snapshot {
        snapshot: Box<Snapshot>,
    },
    Entries {
        entries: Vec<NumberedEntry>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberedEntry {
    index: MetaIndex,
    entry: Entry,
}

impl Stored for WatchEvent {
    fn to_bytes(&self) -> Vec<u8> {
        let form = match self {
            Self::Opened { cluster, incarnation, index, ancestors } => EventForm::Opened {
                cluster: *cluster,
                incarnation: *incarnation,
                index: *index,
                ancestors: ancestors.clone(),
            },
            Self::Snapshot(state) => EventForm::Snapshot { snapshot: Box::new(state.to_snapshot()) },
            Self::Entries(entries) => {
                let number = |(index, entry): &(MetaIndex, Arc<Entry>)| NumberedEntry {
                    index: *index,
                    entry: Entry::clone(entry),
                };
                EventForm::Entries { entries: entries.iter().map(number).collect() }
            }
        };
        super::state::encode(&form)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(match super::state::decode(bytes)? {
            EventForm::Opened { cluster, incarnation, index, ancestors } => {
                Self::Opened { cluster, incarnation, index, ancestors }
            }
            EventForm::Snapshot { snapshot } => {
                Self::Snapshot(Arc::new(ClusterState::from_snapshot(*snapshot)?))
            }
            EventForm::Entries { entries } => {
                Self::Entries(entries.into_iter().map(|it| (it.index, Arc::new(it.entry))).collect())
            }
        })
    }
}

impl Stored for Accepted {
    fn to_bytes(&self) -> Vec<u8> {
        super::state::encode(self)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        super::state::decode(bytes)
    }
}

impl Stored for ProposeError {
    fn to_bytes(&self) -> Vec<u8> {
        super::state::encode(self)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        super::state::decode(bytes)
    }
}
