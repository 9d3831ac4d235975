//! A broker as the metadata knows it: its last registration.
//!
//! Always true: `epoch` rises with every registration of any broker, and `generation` never falls within one
//! directory. Whether the broker is alive is not here: sessions are volatile.

use std::fmt;

use fidelog_record::types::{BrokerEpoch, BrokerId, DirectoryId, Generation};
use serde::{Deserialize, Serialize};

/// Names one start of one process, minted by it. A registration sent again after an unknown outcome is told by it
/// from a rolled-back disk, which finds the same old generation but starts anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StartId(uuid::Uuid);

impl StartId {
    /// An id made of 16 random bytes; randomness comes from the caller.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for StartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerEntry {
    /// Its number.
    pub id: BrokerId,
    /// Which registration this is, over all brokers of the cluster.
    pub epoch: BrokerEpoch,
    /// The process start that registered.
    pub start: StartId,
    /// Its data directory.
    pub directory: DirectoryId,
    /// The highest generation of that directory registered so far (N13).
    pub generation: Generation,
    /// Whether the former process had stopped cleanly; one that had not is not believed to hold what it
    /// reported (N10).
    pub clean: bool,
    /// Where clients reach it, `host:port`.
    pub client_address: String,
    /// Where brokers reach it, `host:port`.
    pub peer_address: String,
    /// Its rack, when it has one: replicas of a partition are spread over racks.
    pub rack: Option<String>,
    /// The highest feature level its version knows.
    pub feature_level: u32,
    /// When it registered, Unix milliseconds of the deciding node.
    pub registered_at_ms: u64,
}
