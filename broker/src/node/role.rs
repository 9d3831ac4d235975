//! What a node does for the cluster: keeps data, decides metadata, or both.

use std::fmt;
use std::str::FromStr;

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It holds replicas.
    Broker,
    /// It votes in the controller quorum and holds none.
    Controller,
    /// It does both.
    Both,
}

impl Role {
    /// The roles of nodes that nobody chose one for, by their place in the order of ids: with three nodes or more the
    /// first three vote, with one or two only the first does, because two voters survive nothing that one does not.
    #[must_use]
    pub fn by_default(place: usize, nodes: usize) -> Self {
        let voters = if nodes >= 3 { 3 } else { 1 };
        if place < voters { Self::Both } else { Self::Broker }
    }

    /// Whether it holds replicas.
    #[must_use]
    pub fn is_broker(self) -> bool {
        matches!(self, Self::Broker | Self::Both)
    }

    /// Whether it votes.
    #[must_use]
    pub fn is_controller(self) -> bool {
        matches!(self, Self::Controller | Self::Both)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broker => "broker",
            Self::Controller => "controller",
            Self::Both => "both",
        })
    }
}

/// Not a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`broker`, `controller` or `both` is expected")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        match text {
            "broker" => Ok(Self::Broker),
            "controller" => Ok(Self::Controller),
            "both" => Ok(Self::Both),
            _ => Err(UnknownRole),
        }
    }
}
