//! A controller as the metadata knows it: its last registration.
//!
//! Always true: one node of the cluster is at most one controller; its raft node id belongs to one data directory, and
//! `generation` never falls within it. Who votes is the Raft library's, not here.

use fidelog_record::types::{BrokerId, DirectoryId, Generation};
use serde::{Deserialize, Serialize};

use super::StartId;

/// What a controller says of itself when its process starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerRegistration {
    /// The node's number in the configuration.
    pub broker: BrokerId,
    /// This process start.
    pub start: StartId,
    /// Its raft node id, minted at random with its directory.
    pub node_id: u64,
    /// Its data directory.
    pub directory: DirectoryId,
    /// The generation it found there before raising it.
    pub generation_found: Generation,
    /// The generation it raised it to, synced already; or the one found, which asks whether that is believed.
    pub generation_new: Generation,
    /// Where other nodes reach it, `host:port`.
    pub address: String,
    /// The highest feature level its version knows.
    pub feature_level: u32,
    /// Whether this process found its directory rolled back, and has emptied its store: it holds nothing but what it
    /// learned since under `node_id`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emptied: bool,
}

/// A registered controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerEntry {
    /// The node's number in the configuration.
    pub broker: BrokerId,
    /// The process start that registered.
    pub start: StartId,
    /// Its raft node id.
    pub node_id: u64,
    /// Its data directory.
    pub directory: DirectoryId,
    /// The highest generation of that directory registered so far: a message of a lower one is of a directory that was
    /// rolled back or cloned, and is ignored (DESIGN §7).
    pub generation: Generation,
    /// Where other nodes reach it, `host:port`.
    pub address: String,
    /// The highest feature level its version knows.
    pub feature_level: u32,
    /// When it registered, Unix milliseconds of the deciding node.
    pub registered_at_ms: u64,
}
