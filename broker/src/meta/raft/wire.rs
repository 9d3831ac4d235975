//! What controllers say to each other, and the trait that carries it.
//!
//! ```text
//!   the library --RaftMessage--> wire --> RaftQuorum::receive --> the library of the other controller
//!   this quorum --Question-----> wire --> RaftQuorum::answer  --> Answer
//! ```
//!
//! Always true: every message names its cluster, its sender's directory and generation, and the directory it is meant
//! for: a number in the quorum belongs to one directory, so that what was meant for a directory that is gone never
//! reaches the one that took its place (DESIGN §7), and a quorum that was given up never reaches the one rebuilt in its
//! place. A call that never left is told apart from one whose answer was
//! lost.
//!
//! Not here: bytes on a socket (floor rpc).

use std::fmt::Debug;

use bytes::Bytes;
use fidelog_record::types::{BrokerId, ClusterId, DirectoryId, Generation, Incarnation, MetaIndex};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::types::NodeId;
use crate::meta::quorum::{Accepted, ProposeError, QuorumStatus, Unconfirmed, VoterChange};
use crate::meta::state::{DecodeError, Proposal, Stored};

/// Who a controller is: told to the others until it is a member, and with every message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// Which node of the cluster.
    pub broker: BrokerId,
    /// The number of its directory in the quorum.
    pub node: NodeId,
    /// Its data directory.
    pub directory: DirectoryId,
    /// That directory's present generation.
    pub generation: Generation,
    /// Its address between brokers, `host:port`.
    pub address: String,
    /// Of the metadata it has applied; none before it knows any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
}

/// What a message of the library asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaftKind {
    /// Take these entries; a heartbeat when there are none.
    Append,
    /// Vote for the sender.
    Vote,
    /// Take this piece of a snapshot.
    InstallSnapshot,
}

/// A message of the library, or its answer. What `body` holds is the library's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftMessage {
    /// Whose quorum.
    pub cluster: ClusterId,
    /// Who sends it.
    pub from: Controller,
    /// Whom it is meant for.
    pub to: NodeId,
    /// JSON.
    pub body: Bytes,
    /// The bytes of a piece of a snapshot, kept out of `body`; empty otherwise.
    pub chunk: Bytes,
}

/// What is asked of a controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// Decide this. `forwarded`: a controller that does not lead passed it on; it is not passed on again.
    Propose {
        /// The proposal.
        proposal: Box<Proposal>,
        /// Whether it was passed on.
        forwarded: bool,
    },
    /// Confirm who leads, by a round begun after this came.
    Confirm {
        /// Whether it was passed on.
        forwarded: bool,
    },
    /// Know this controller, and say who you are.
    Announce {
        /// Who asks.
        controller: Controller,
    },
    /// Add or remove a voter.
    ChangeVoters {
        /// What to change.
        change: VoterChange,
        /// Whether it was passed on.
        forwarded: bool,
    },
    /// How the quorum is, as the one who leads sees it.
    Describe {
        /// Whether it was passed on.
        forwarded: bool,
    },
}

/// What a controller answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// To a proposal.
    Proposed {
        /// The entry's place and what it gave, or why there is none.
        result: Result<Accepted, ProposeError>,
    },
    /// To a confirmation: an index at or beyond everything committed before.
    Confirmed {
        /// The index.
        index: MetaIndex,
    },
    /// To an announcement.
    Known {
        /// Who answers.
        controller: Controller,
        /// Whether it belongs to a quorum that was founded.
        founded: bool,
    },
    /// To an announcement: a higher generation of that directory is known. It was rolled back or cloned, and what it holds
    /// of the quorum counts for nothing.
    RolledBack {
        /// The generation known.
        registered: Generation,
    },
    /// To a change of the voters: it is made, or why it is not.
    Changed {
        /// How it went.
        result: Result<(), ProposeError>,
    },
    /// To a description.
    Described {
        /// How the quorum is.
        status: Box<QuorumStatus>,
    },
    /// Definite: this one does not lead, and nothing was done.
    NotLeader {
        /// Who leads, as far as it knows.
        leader: Option<BrokerId>,
    },
    /// Definite: nothing was done.
    Unavailable {
        /// Why.
        reason: String,
    },
}

impl Answer {
    /// What a proposal came to, when nobody else is asked any more.
    ///
    /// # Errors
    /// As [`ProposeError`] tells apart: an answer that does not fit leaves the outcome unknown.
    pub fn proposed(answered: Result<Self, CallError>) -> Result<Accepted, ProposeError> {
        match answered {
            Ok(Self::Proposed { result }) => result,
            other => Err(other.map_or_else(ProposeError::from, |answer| answer.misfit("a proposal"))),
        }
    }

    /// What a change of the voters came to.
    ///
    /// # Errors
    /// As [`Self::proposed`].
    pub fn changed(answered: Result<Self, CallError>) -> Result<(), ProposeError> {
        match answered {
            Ok(Self::Changed { result }) => result,
            other => {
                Err(other.map_or_else(ProposeError::from, |answer| answer.misfit("a change of the voters")))
            }
        }
    }

    /// What a confirmation gave.
    ///
    /// # Errors
    /// [`Unconfirmed`].
    pub fn confirmed(answered: Result<Self, CallError>) -> Result<MetaIndex, Unconfirmed> {
        match answered {
            Ok(Self::Confirmed { index }) => Ok(index),
            Ok(other) => Err(Unconfirmed { reason: other.misfit("a confirmation").to_string() }),
            Err(error) => Err(Unconfirmed { reason: error.to_string() }),
        }
    }

    /// This answer to `question` says that nothing was done, or leaves open what was.
    fn misfit(self, question: &str) -> ProposeError {
        match self {
            Self::Unavailable { reason } => ProposeError::Unavailable { reason },
            Self::NotLeader { .. } => {
                let reason = "nobody leads the metadata quorum at present".to_owned();
                ProposeError::Unavailable { reason }
            }
            other => {
                let reason = format!("{question} was answered by {other:?}");
                ProposeError::Unreachable { reason }
            }
        }
    }
}

impl From<CallError> for ProposeError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotTaken { reason } => Self::Unavailable { reason },
            CallError::Lost { reason } => Self::Unreachable { reason },
        }
    }
}

impl Stored for Question {
    fn to_bytes(&self) -> Vec<u8> {
        crate::meta::state::encode(self)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        crate::meta::state::decode(bytes)
    }
}

impl Stored for Answer {
    fn to_bytes(&self) -> Vec<u8> {
        crate::meta::state::encode(self)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        crate::meta::state::decode(bytes)
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Definite: it was not taken.
    #[error("{reason}")]
    NotTaken {
        /// Why.
        reason: String,
    },
    /// It may have been taken; the answer was lost.
    #[error("{reason}")]
    Lost {
        /// What happened.
        reason: String,
    },
}

/// How messages reach other controllers.
pub trait QuorumWire: Debug + Send + Sync + 'static {
    /// Carries a message of the library to `broker`. Dropping the future gives it up.
    fn raft(
        &self,
        broker: BrokerId,
        address: &str,
        kind: RaftKind,
        message: RaftMessage,
    ) -> BoxFuture<'static, Result<RaftMessage, CallError>>;

    /// Asks `broker`. Dropping the future leaves unknown whether it was heard.
    fn ask(
        &self,
        broker: BrokerId,
        address: &str,
        question: Question,
    ) -> BoxFuture<'static, Result<Answer, CallError>>;
}
