//! What the active controller proposes because time has passed. Pure.
//!
//! | due | when |
//! |---|---|
//! | an election among replicas that all restarted uncleanly (N10) | 5 s after this controller first saw them wait, and every 5 s from then on |
//!
//! Always true: what is due is only asked for; whether it may be is decided where it becomes an entry. Everything here
//! may be forgotten: the waits begin anew.

use std::collections::BTreeMap;
use std::time::Duration;

use fidelog_log::env::Moment;
use fidelog_record::types::TopicPartition;

use crate::meta::state::{ClusterState, OfflineReason, PartitionEntry, Proposal};

/// How long the quorum waits for all members of a partition that restarted uncleanly (N10).
pub const UNCLEAN_WAIT: Duration = Duration::from_secs(5);
/// Partitions elected by one proposal.
const ELECTED_MAX: usize = 1_000;
/// How often all partitions are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Something to be proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duty {
    /// The wait for the members of these is over.
    ElectUnclean(Vec<TopicPartition>),
}

impl Duty {
    /// What is proposed for it.
    #[must_use]
    pub fn proposal(&self) -> Proposal {
        match self {
            Self::ElectUnclean(partitions) => Proposal::ElectUnclean { partitions: partitions.clone() },
        }
    }
}

/// What has been waited for, and since when.
#[derive(Clone, Debug, Default)]
pub struct Duties {
    looked_at: Option<Moment>,
    /// Partitions whose members all restarted uncleanly: when they were seen so, or last asked to be elected.
    unclean: BTreeMap<TopicPartition, Moment>,
}

impl Duties {
    /// What is due at `now`. Looks once a second, however often it is asked.
    pub fn due(&mut self, state: &ClusterState, now: Moment) -> Vec<Duty> {
        if self.looked_at.is_some_and(|looked_at| now.since(looked_at) < LOOK_EVERY) {
            return Vec::new();
        }
        self.looked_at = Some(now);
        self.elections(state, now)
    }

    fn elections(&mut self, state: &ClusterState, now: Moment) -> Vec<Duty> {
        let waits = |partition: &PartitionEntry| match &partition.offline {
            // Without a report there is nothing to choose from, however long it waits.
            Some(OfflineReason::RestartedUncleanly { reports, .. }) => reports.iter().any(|report| {
                state.broker(report.broker).is_some_and(|entry| entry.epoch == report.broker_epoch)
            }),
            _ => false,
        };
        let since = std::mem::take(&mut self.unclean);
        let waiting = state.partitions().filter(|(_, partition)| waits(partition));
        self.unclean = waiting.map(|(at, _)| (at, since.get(&at).copied().unwrap_or(now))).collect();
        let over: Vec<TopicPartition> = self
            .unclean
            .iter_mut()
            .filter(|(_, since)| now.since(**since) >= UNCLEAN_WAIT)
            .take(ELECTED_MAX)
            .map(|(at, since)| {
                *since = now;
                *at
            })
            .collect();
        if over.is_empty() { Vec::new() } else { vec![Duty::ElectUnclean(over)] }
    }
}
