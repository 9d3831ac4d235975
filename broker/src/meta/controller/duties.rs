//! What the active controller proposes because time has passed. Pure.
//!
//! | due | when |
//! |---|---|
//! | an election among replicas that all restarted uncleanly (N10) | 5 s after this controller first saw them wait, and every 5 s from then on |
//! | a leadership that is owed goes back to the preferred replica | that is in sync, has been live for 5 s, and nobody is about to be fenced; a few a second, or one in a hundred |
//!
//! A leadership is owed when another than the preferred replica leads, and no operator chose that one.
//!
//! Always true: what is due is only asked for; whether it may be is decided where it becomes an entry. Everything here
//! may be forgotten: the waits begin anew.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use fidelog_log::env::Moment;
use fidelog_record::types::{BrokerId, TopicPartition};

use super::liveness::Liveness;
use crate::meta::state::{ClusterState, OfflineReason, PartitionEntry, Proposal};

/// How long the quorum waits for all members of a partition that restarted uncleanly (N10).
pub const UNCLEAN_WAIT: Duration = Duration::from_secs(5);
/// How long a broker must have been live before leaderships go back to it.
pub const RETURN_AFTER: Duration = Duration::from_secs(5);
/// Partitions elected by one proposal.
const ELECTED_MAX: usize = 1_000;
/// Leaderships that are found to be due at a look: as many, or this part of all partitions where that is more, so that a
/// cluster of any size is even again within minutes.
const RETURNS_MAX: usize = 10;
const RETURNS_PART: u64 = 100;
/// As many of them go back at once, the next ones a turn later.
const RETURNS_AT_ONCE: usize = 10;
/// A leadership that did not go back is not tried again before this has passed.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How often all partitions are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Something to be proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duty {
    /// The wait for the members of these is over.
    ElectUnclean(Vec<TopicPartition>),
    /// The preferred replica of this one can lead it again.
    GiveBack(TopicPartition),
}

impl Duty {
    /// What is proposed for it.
    #[must_use]
    pub fn proposal(&self) -> Proposal {
        match self {
            Self::ElectUnclean(partitions) => Proposal::ElectUnclean { partitions: partitions.clone() },
            Self::GiveBack(partition) => Proposal::ElectLeader { partition: *partition, broker: None },
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
            Self::GiveBack(partition) => write!(f, "give {partition} back to its preferred leader"),
        }
    }
}

/// What has been waited for, and since when.
#[derive(Clone, Debug, Default)]
pub struct Duties {
    looked_at: Option<Moment>,
    /// Partitions whose members all restarted uncleanly: when they were seen so, or last asked to be elected.
    unclean: BTreeMap<TopicPartition, Moment>,
    /// Those that were asked to go back, and when.
    asked: BTreeMap<TopicPartition, Moment>,
    /// Those whose turn to be asked comes next.
    owed: VecDeque<TopicPartition>,
}

impl Duties {
    /// What is due at `now`, of leaderships that go back at most `room`. Looks once a second, however often it is asked.
    pub fn due(&mut self, state: &ClusterState, liveness: &Liveness, now: Moment, room: usize) -> Vec<Duty> {
        let mut due = Vec::new();
        if self.looked_at.is_none_or(|looked_at| now.since(looked_at) >= LOOK_EVERY) {
            self.looked_at = Some(now);
            due = self.elections(state, now);
            self.owed = self.returns(state, liveness, now);
        }
        if liveness.is_calm() {
            let count = RETURNS_AT_ONCE.min(room).min(self.owed.len());
            for partition in self.owed.drain(..count) {
                self.asked.insert(partition, now);
                due.push(Duty::GiveBack(partition));
            }
        }
        due
    }

    fn elections(&mut self, state: &ClusterState, now: Moment) -> Vec<Duty> {
        let waits = |partition: &PartitionEntry| match &partition.offline {
            // Without a report there is nothing to choose from, however long it waits.
            Some(OfflineReason::RestartedUncleanly { .. }) if partition.awaits_all => false,
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

    fn returns(
        &mut self,
        state: &ClusterState,
        liveness: &Liveness,
        now: Moment,
    ) -> VecDeque<TopicPartition> {
        self.asked.retain(|_, asked| now.since(*asked) < TRY_AGAIN_AFTER);
        let steady = |broker: BrokerId| {
            let unfenced_for = liveness.unfenced_for(broker, now);
            unfenced_for.is_some_and(|unfenced_for| unfenced_for >= RETURN_AFTER)
                && state.broker(broker).is_some_and(|entry| !entry.draining)
        };
        let owed = state.partitions().filter(|(_, it)| preferred_in_waiting(it).is_some_and(steady));
        let due = owed.map(|(at, _)| at).filter(|at| !self.asked.contains_key(at));
        let part = usize::try_from(state.partition_count() / RETURNS_PART).unwrap_or(RETURNS_MAX);
        due.take(RETURNS_MAX.max(part)).collect()
    }
}

/// The preferred replica, when it is owed the leadership and could take it.
fn preferred_in_waiting(partition: &PartitionEntry) -> Option<BrokerId> {
    let preferred = partition.replicas.first()?.broker;
    let is_owed = partition.leader.is_some_and(|it| it != preferred && partition.chosen != Some(it));
    let marked = [&partition.damaged, &partition.unusable, &partition.unproven];
    let could =
        partition.isr.contains(&preferred) && marked.iter().all(|marked| !marked.contains(&preferred));
    (is_owed && could).then_some(preferred)
}

#[cfg(test)]
mod tests {
    use fidelog_record::types::{BrokerId, LeaderEpoch, Offset};

    use super::*;

    const ROOM: usize = 10;
    use crate::meta::controller::heartbeat::{BrokerHealth, Heartbeat, SessionId};
    use crate::meta::state::fixture::{at, change_isr, done, fence, next_start, opened, start, unfence};
    use crate::meta::state::{Registration, ReplicaEnd};

    fn second(number: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(number))
    }

    /// A controller that has heard nobody: nothing goes back.
    fn nobody() -> Liveness {
        Liveness::new(second(0))
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
        assert_eq!(duties.due(&state, &nobody(), second(1), ROOM), []);
        assert_eq!(
            duties.due(&state, &nobody(), second(100), ROOM),
            [],
            "nobody told anything: there is nothing to choose"
        );
        report(&mut state, 3);
        assert_eq!(duties.due(&state, &nobody(), second(101), ROOM), []);
        assert_eq!(duties.due(&state, &nobody(), second(105), ROOM), []);
        let due = Duty::ElectUnclean(vec![at(0xaa, 0)]);
        assert_eq!(duties.due(&state, &nobody(), second(106), ROOM), std::slice::from_ref(&due));
        assert_eq!(
            duties.due(&state, &nobody(), second(107), ROOM),
            [],
            "it is not asked for without a pause"
        );
        done(&mut state, &due.proposal());
        assert_eq!(state.partition(at(0xaa, 0)).unwrap().leader, Some(BrokerId(3)));
        assert_eq!(duties.due(&state, &nobody(), second(120), ROOM), []);
    }

    #[test]
    fn all_partitions_are_looked_at_once_a_second() {
        let mut state = all_restarted_uncleanly();
        report(&mut state, 3);
        let mut duties = Duties::default();
        duties.due(&state, &nobody(), second(1), ROOM);
        let millis = |ms| second(1).plus(Duration::from_millis(ms));
        for ms in [5_100, 5_200, 5_999] {
            duties.looked_at = Some(millis(5_050));
            assert_eq!(duties.due(&state, &nobody(), millis(ms), ROOM), []);
        }
        assert_eq!(duties.due(&state, &nobody(), millis(6_050), ROOM).len(), 1);
    }

    /// A controller that hears everybody.
    struct Scene {
        state: ClusterState,
        liveness: Liveness,
        duties: Duties,
    }

    impl Scene {
        fn new(state: ClusterState) -> Self {
            Self { state, liveness: nobody(), duties: Duties::default() }
        }

        fn at(&mut self, now: u64) -> Vec<Duty> {
            let state = self.state.clone();
            for entry in state.brokers() {
                let heartbeat = Heartbeat {
                    broker: entry.id,
                    epoch: entry.epoch,
                    number: 1,
                    passed: state.index(),
                    ready: true,
                    stopping: false,
                    health: BrokerHealth::default(),
                };
                let session = SessionId(u64::from(entry.id.0));
                self.liveness.heard(&state, session, &heartbeat, second(now));
            }
            self.duties.due(&self.state, &self.liveness, second(now), ROOM)
        }

        fn done(&mut self, proposal: &Proposal) {
            done(&mut self.state, proposal);
        }

        /// Broker 1 was away, is back in the isr, and 2 leads.
        fn away_and_back(&mut self, looked_at: u64) {
            let proposal = fence(&self.state, 1);
            self.done(&proposal);
            assert_eq!(self.at(looked_at), []);
            let proposal = unfence(&self.state, 1);
            self.done(&proposal);
            let proposal = change_isr(&self.state, at(0xaa, 0), &[1, 2, 3]);
            self.done(&proposal);
        }
    }

    #[test]
    fn a_leadership_goes_back_once_its_broker_has_been_back_for_a_while() {
        let mut scene = Scene::new(opened(3));
        assert_eq!(scene.at(1), []);
        scene.away_and_back(2);
        assert_eq!((scene.at(3), scene.at(7)), (vec![], vec![]));
        let due = Duty::GiveBack(at(0xaa, 0));
        assert_eq!(scene.at(8), std::slice::from_ref(&due));
        assert_eq!(scene.at(9), [], "it is not asked for without a pause");
        scene.done(&due.proposal());
        assert_eq!(scene.state.partition(at(0xaa, 0)).unwrap().leader, Some(BrokerId(1)));
        assert_eq!(scene.at(99), []);
    }

    #[test]
    fn what_an_operator_moved_stays_where_it_is() {
        let mut scene = Scene::new(opened(3));
        assert_eq!(scene.at(1), []);
        scene.done(&Proposal::ElectLeader { partition: at(0xaa, 0), broker: Some(BrokerId(2)) });
        assert_eq!((scene.at(2), scene.at(60)), (vec![], vec![]));
    }

    #[test]
    fn a_leadership_goes_back_however_short_its_broker_was_away_and_whoever_decides_by_then() {
        let mut scene = Scene::new(opened(3));
        assert_eq!(scene.at(1), []);
        for proposal in [fence(&scene.state, 1), unfence(&scene.state, 1)] {
            scene.done(&proposal);
        }
        let proposal = change_isr(&scene.state, at(0xaa, 0), &[1, 2, 3]);
        scene.done(&proposal);
        assert_eq!(scene.at(7).len(), 1);
        scene.duties = Duties::default();
        assert_eq!(scene.at(60).len(), 1);
    }

    #[test]
    fn what_an_operator_chose_counts_until_that_one_dies() {
        let mut scene = Scene::new(opened(3));
        assert_eq!(scene.at(1), []);
        scene.done(&Proposal::ElectLeader { partition: at(0xaa, 0), broker: Some(BrokerId(2)) });
        let proposal = fence(&scene.state, 2);
        scene.done(&proposal);
        assert_eq!(scene.state.partition(at(0xaa, 0)).unwrap().leader, Some(BrokerId(1)));
        assert_eq!(scene.state.partition(at(0xaa, 0)).unwrap().chosen, None);
    }

    #[test]
    fn nothing_goes_back_while_a_broker_is_missed() {
        let mut scene = Scene::new(opened(3));
        scene.away_and_back(2);
        scene.at(59);
        scene.liveness.ended(SessionId(3), second(59));
        assert_eq!(scene.duties.due(&scene.state, &scene.liveness, second(60), ROOM), []);
    }
}
