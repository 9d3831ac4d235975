//! The types the Raft library works with.

use std::fmt;
use std::io::Cursor;

use fidelog_record::types::BrokerId;
use serde::{Deserialize, Serialize};

use super::command::{Applied, Command};

/// A voter's or learner's number: minted at random with its directory and never used again (DESIGN §7).
pub type NodeId = u64;

/// Who a voter or learner is and where it is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voter {
    /// Which node of the cluster.
    pub broker: BrokerId,
    /// Its address between brokers, `host:port`.
    pub address: String,
}

impl fmt::Display for Voter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broker {} at {}", self.broker, self.address)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { .. } => f.write_str("found"),
            Self::Batch { base, entries } => write!(f, "{} entries after {base}", entries.len()),
        }
    }
}

openraft::declare_raft_types!(
    /// Fidelog's Raft types.
    pub TypeConfig:
        D = Command,
        R = Applied,
        NodeId = NodeId,
        Node = Voter,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = openraft::TokioRuntime,
);
