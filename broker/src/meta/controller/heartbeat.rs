//! What a broker says with a heartbeat, and what it is told.
//!
//! Heartbeats are volatile: nothing here is stored.

use fidelog_record::types::{BrokerEpoch, BrokerId, MetaIndex};

/// One stream of heartbeats at one controller; never used again by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// One heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who.
    pub broker: BrokerId,
    /// Which registration of it.
    pub epoch: BrokerEpoch,
    /// Counts within one stream; the answer names it.
    pub number: u64,
    /// How far its view of the metadata is.
    pub passed: MetaIndex,
    /// Whether its view has passed its registration and the logs it must have are open.
    pub ready: bool,
    /// Whether it wants to stop, once what it leads is handed over.
    pub stopping: bool,
    /// How it is.
    pub health: BrokerHealth,
}

/// How a broker says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerHealth {
    /// Why nothing is written to its data directory any more; none while it is (G6).
    pub failed: Option<String>,
    /// Bytes free where its data directory is; none when it does not know.
    pub disk_free_bytes: Option<u64>,
}

/// What a heartbeat is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is the registered process and not fenced: the lease is extended (N12).
    Alive,
    /// It is the registered process, and fenced: it leads nothing.
    Fenced,
    /// A later process of this broker registered: it must stop.
    Superseded,
    /// The quorum does not know this registration.
    NotRegistered,
    /// This controller is not the active one, and answers no more on this stream.
    NotActive {
        /// Who is, as far as it knows.
        active: Option<BrokerId>,
    },
}
