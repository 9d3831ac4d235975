//! What a producer is told (N16): stored, definitely not stored, or unknown. Nothing else.

use std::sync::Arc;

use fidelog_record::types::{BrokerId, LeaderEpoch, Offset, ProducerEpoch, Sequence};

/// The answer to one produce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProduceAnswer {
    /// Synced on every in-sync replica.
    Stored(Stored),
    /// This attempt stored nothing.
    Refused(ProduceRefusal),
    /// An offset was assigned; whether it counts could not be learned.
    Unknown(Unknown),
}

/// Microseconds spent, stage after stage (G2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// Arrival to offset.
    pub queue_us: u64,
    /// Offset to written.
    pub append_us: u64,
    /// Written to synced here.
    pub sync_us: u64,
    /// Synced here to synced everywhere.
    pub replication_us: u64,
}

/// A receipt's facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// First offset; 0 when `already_stored`.
    pub base: Offset,
    /// One past the last; 0 when `already_stored`.
    pub end: Offset,
    /// The acknowledging leader's epoch.
    pub epoch: LeaderEpoch,
    /// Who had synced it: the in-sync set, the leader first.
    pub synced_by: Arc<[BrokerId]>,
    /// The leader's clock when it placed the batch; 0 for a duplicate.
    pub append_time_ms: u64,
    /// Where the time went.
    pub stages: Stages,
    /// An earlier attempt stored it.
    pub duplicate: bool,
    /// An earlier attempt stored it, too long ago to know where.
    pub already_stored: bool,
}

/// Why nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProduceRefusal {
    /// Another broker leads, or nobody.
    NotLeader {
        /// Who does, as far as this replica knows.
        leader: Option<BrokerId>,
        /// In which epoch.
        epoch: LeaderEpoch,
    },
    /// This replica leads but has not opened its epoch yet.
    Opening,
    /// Its log stopped.
    Stopped(String),
    /// The leader lost what it had: it waits to be refilled.
    DataLoss(String),
    /// The request's epoch is older.
    FencedEpoch {
        /// The leader's.
        epoch: LeaderEpoch,
    },
    /// The request's epoch is newer than this broker knows.
    UnknownEpoch {
        /// The leader's.
        epoch: LeaderEpoch,
    },
    /// Too few in sync.
    NotEnoughReplicas {
        /// The in-sync set.
        isr: Vec<BrokerId>,
        /// The minimum.
        min_insync: usize,
    },
    /// Too many bytes unacknowledged.
    Overloaded {
        /// Waiting now.
        pending_bytes: u64,
        /// The cap.
        pending_bytes_max: u64,
    },
    /// No room on the disk.
    DiskFull(String),
    /// Waited for room until its time was up; it had no offset.
    DeadlineExceeded,
    /// Sequences are missing.
    OutOfOrder {
        /// What was expected.
        expected: Sequence,
    },
    /// A newer epoch of the producer exists.
    ProducerFenced {
        /// It.
        epoch: ProducerEpoch,
    },
    /// Nothing is known of this producer.
    UnknownProducer,
    /// Too many producers on this partition.
    TooManyProducers {
        /// The cap.
        producers_max: usize,
    },
    /// More unanswered batches than the window remembers.
    WindowFull {
        /// The window.
        batches_max: usize,
    },
}

/// Why the outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The request's time was up.
    TimedOut,
    /// The epoch ended first.
    EpochEnded,
    /// The log failed.
    LogFailed(String),
    /// The broker stops.
    Stopping,
}
