//! What the active controller proposes because time has passed. Pure.
//!
//! | due | when |
//! |---|---|
//! | an election among replicas that all restarted uncleanly (N10) | 5 s after this controller first saw them wait, and every 5 s from then on |
//!
//! Always true: what is due is only asked for; whether it may be is decided where it becomes an entry. Everything here
//! may be forgotten: the waits begin anew.

use std::collections::BTreeMap;
use std::fmt;
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

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ElectUnclean(partitions) => {
                write!(
                    f,
                    "elect leaders of {} partitions whose replicas restarted uncleanly",
                    partitions.len()
                )
            }
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

#[cfg(test)]
mod tests {
    use fidelog_record::types::{BrokerId, LeaderEpoch, Offset};

    use super::*;
    use crate::meta::state::fixture::{at, done, next_start, opened, start};
    use crate::meta::state::{Registration, ReplicaEnd};

    fn second(number: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(number))
    }

    /// After a power cut: three live brokers, of which nobody is believed.
    fn all_restarted_uncleanly() -> ClusterState {
        let mut state = opened(3);
        for n in [1, 2, 3] {
            start(&mut state, Registration { clean: false, ..next_start(n, 2) });
        }
        state
    }

    fn report(state: &mut ClusterState, n: u32) {
        let end = ReplicaEnd { partition: at(0xaa, 0), last_epoch: LeaderEpoch(1), durable_end: Offset(9) };
        let broker_epoch = state.broker(BrokerId(n)).unwrap().epoch;
        done(state, &Proposal::ReportEnds { broker: BrokerId(n), broker_epoch, ends: vec![end] });
    }

    #[test]
    fn n10_the_wait_for_uncleanly_restarted_replicas_ends_after_five_seconds() {
        let mut state = all_restarted_uncleanly();
        let mut duties = Duties::default();
        assert_eq!(duties.due(&state, second(1)), []);
        assert_eq!(duties.due(&state, second(100)), [], "nobody told anything: there is nothing to choose");
        report(&mut state, 3);
        assert_eq!(duties.due(&state, second(101)), []);
        assert_eq!(duties.due(&state, second(105)), []);
        let due = Duty::ElectUnclean(vec![at(0xaa, 0)]);
        assert_eq!(duties.due(&state, second(106)), std::slice::from_ref(&due));
        assert_eq!(duties.due(&state, second(107)), [], "it is not asked for without a pause");
        done(&mut state, &due.proposal());
        assert_eq!(state.partition(at(0xaa, 0)).unwrap().leader, Some(BrokerId(3)));
        assert_eq!(duties.due(&state, second(120)), []);
    }

    #[test]
    fn all_partitions_are_looked_at_once_a_second() {
        let mut state = all_restarted_uncleanly();
        report(&mut state, 3);
        let mut duties = Duties::default();
        duties.due(&state, second(1));
        let millis = |ms| second(1).plus(Duration::from_millis(ms));
        for ms in [5_100, 5_200, 5_999] {
            duties.looked_at = Some(millis(5_050));
            assert_eq!(duties.due(&state, millis(ms)), []);
        }
        assert_eq!(duties.due(&state, millis(6_050)).len(), 1);
    }
}
