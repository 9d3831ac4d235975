//! Recovery of a partition by an operator, who has seen what is lost by it and wants it (N5, N9, G5).
//!
//! ```text
//!   look at what is left --> plan --operator reads it, gives its hash back--> RecoverPartition --> one replica leads,
//!                                                    alone; others may cut what it does not have, down to `cut_end`
//! ```
//!
//! Always true: nobody who may still acknowledge, or may still hold everything, is alive when it is decided: every
//! member that is believed has been fenced, and every other replica been its present process, for the ack lease and
//! 2 s; the plan is the one that was shown, since any later change
//! of the partition or start of its leader voids it.

use fidelog_record::types::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch, TopicPartition};
use serde::{Deserialize, Serialize};

use super::partition::Step;
use super::{EndReport, PartitionEntry};

/// How long others must have been unable to acknowledge, milliseconds: the ack lease of 10 s, and 2 s (N9).
pub const RECOVERY_WAIT_MS: u64 = 12_000;
/// Recoveries a partition remembers one by one; earlier ones are merged.
const RECOVERIES_MAX: usize = 8;

/// What an operator is shown, and agrees to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryPlan {
    /// Of which partition.
    pub partition: TopicPartition,
    /// The entry's version it was made on: compare and set.
    pub partition_epoch: PartitionEpoch,
    /// Who is to lead.
    pub leader: BrokerId,
    /// Its registration.
    pub leader_broker_epoch: BrokerEpoch,
    /// Where replicas end that could be asked, the leader's among them.
    pub ends: Vec<EndReport>,
    /// Below this the leader holds what all held; from here on committed records may be missing or different, and
    /// other replicas may cut theirs.
    pub cut_end: Offset,
}

impl RecoveryPlan {
    /// What the operator gives back to show that this plan was read.
    #[must_use]
    pub fn hash(&self) -> u32 {
        // FNV-1a: it tells plans apart, and resists nobody.
        super::codec::encode(self)
            .iter()
            .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
    }
}

/// How long the active controller has known a broker as it is, by its own monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFor {
    /// Which.
    pub broker: BrokerId,
    /// The registration that it has known.
    pub broker_epoch: BrokerEpoch,
    /// For how long, milliseconds.
    pub registered_ms: u64,
    /// For how long it has seen it fenced, milliseconds; none while it is not.
    pub fenced_ms: Option<u64>,
}

/// A cut that an operator permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// The leadership that began with it.
    pub leader_epoch: LeaderEpoch,
    /// Replicas that know only earlier epochs may cut committed records from here on, and keep the bytes aside.
    pub cut_end: Offset,
}

impl Recovery {
    /// The offset from which on a replica whose last batch has `last_epoch` may cut what it knows to be committed, by
    /// these recoveries; none: it must not cut any of it (N5).
    #[must_use]
    pub fn permitted_cut(recoveries: &[Self], last_epoch: LeaderEpoch) -> Option<Offset> {
        let later = recoveries.iter().filter(|recovery| recovery.leader_epoch > last_epoch);
        later.map(|recovery| recovery.cut_end).min()
    }
}

impl PartitionEntry {
    /// `leader` leads alone from now on.
    pub(super) fn recover(&mut self, leader: BrokerId, cut_end: Offset) -> Step {
        // The leader was nobody, so that settling raises the epoch by one.
        let recovery = Recovery { leader_epoch: self.leader_epoch.next(), cut_end };
        self.isr = vec![leader];
        self.eligible.clear();
        self.unproven.clear();
        self.leader = Some(leader);
        self.recoveries.push(recovery);
        if self.recoveries.len() > RECOVERIES_MAX {
            // The wider permission: only whom both concern is told a cut too deep, and it still cuts at the divergence.
            let oldest = self.recoveries.remove(0);
            self.recoveries[0].cut_end = self.recoveries[0].cut_end.min(oldest.cut_end);
        }
        Step::NewVersion
    }
}
