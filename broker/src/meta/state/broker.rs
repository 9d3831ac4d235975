//! A broker as the metadata knows it: its last registration.
//!
//! Always true: `epoch` rises with every registration of any broker, and `generation` never falls within one
//! directory; a fenced broker leads nothing. Heartbeats are not here, only what the quorum concluded from them: sessions
//! are volatile.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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

/// Why a broker is fenced.
///
/// ```text
///   unfenced --heartbeats missing, connection refused--> fenced --heartbeats again, same process--> unfenced
///   unfenced --stopping, data directory failed--> fenced, until a new process registers
///   any --registers--> fenced (starting) --its watch passed that, its logs are open--> unfenced
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceReason {
    /// It registered and has not yet shown that its watch passed that and that its logs are open (N1).
    Starting,
    /// 1.5 s without a heartbeat (N12).
    HeartbeatsMissing,
    /// Its heartbeat stream ended and its address refuses connections (N12).
    ConnectionRefused,
    /// It stops, and has handed over what it led.
    Stopping,
    /// A sync failed, or the like: nothing in its data directory is written any more (G6).
    DataDirectoryFailed,
}

impl FenceReason {
    /// Whether only another process start of the broker ends it.
    #[must_use]
    pub fn is_for_good(self) -> bool {
        match self {
            Self::Stopping | Self::DataDirectoryFailed => true,
            Self::Starting | Self::HeartbeatsMissing | Self::ConnectionRefused => false,
        }
    }

    /// In words, after "fenced:".
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Starting => "it is starting",
            Self::HeartbeatsMissing => "its heartbeats are missing",
            Self::ConnectionRefused => "its address refuses connections",
            Self::Stopping => "it is stopping",
            Self::DataDirectoryFailed => "its data directory failed",
        }
    }
}

/// All registered brokers.
pub(super) type Brokers = BTreeMap<BrokerId, Arc<BrokerEntry>>;

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
    /// Whether it leads nothing and is in no in-sync set that has another live member (N12).
    #[serde(default, skip_serializing_if = "is_false")]
    pub fenced: bool,
    /// Why it was fenced last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence_reason: Option<FenceReason>,
    /// When it was fenced last, Unix milliseconds of the deciding node; 0: never.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fenced_at_ms: u64,
    /// Whether it is to be emptied: it leads only what nobody else can, joins no in-sync set and gets no replicas.
    #[serde(default, skip_serializing_if = "is_false")]
    pub draining: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}
