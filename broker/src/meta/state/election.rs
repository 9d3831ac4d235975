//! Who leads a partition, settled inside apply after every step that touches it (N9-N12).
//!
//! ```text
//!   class   who                                        may lead
//!     0     isr, undamaged                             first in the order of the replicas
//!     1     isr, undamaged, draining                   when nobody of a lower class lives, and so on
//!     2     eligible, undamaged
//!     3     eligible, undamaged, draining
//!     4     isr, damaged                               around the damaged range (N10)
//!     5     eligible, damaged
//!     -     fenced, lost, unusable, or restarted uncleanly: never
//! ```
//!
//! Always true: a settled partition has a leader whenever a member has a class; a leader stays until somebody of a
//! lower class lives, so that nothing moves without need; whoever was known to hold every acknowledged record stays
//! in a set until the isr has the minimum without it or it is proven lost. The same entry and brokers give the same
//! result everywhere.
//!
//! Not here: wishes of operators and preferred leaders. Those are proposals.

use fidelog_log::env::planted::{Planted, is_planted};
use fidelog_record::types::BrokerId;

use super::broker::Brokers;
use super::partition::Step;
use super::{EndReport, OfflineReason, PartitionEntry, ReplicaFailure};

/// How good a leader a member is; the least leads.
type Class = u8;

impl PartitionEntry {
    /// Whether as many replicas as `min` are made and alive, and the first, which is to lead, is made or not alive
    /// (N14).
    pub(super) fn can_open(&self, min: u16, brokers: &Brokers) -> bool {
        let usable = self.replicas.iter().filter(|it| self.is_usable(it.broker, brokers)).count();
        let first = self.replicas.first();
        first.is_some_and(|it| it.made || !is_live(it.broker, brokers)) && usable >= usize::from(min)
    }

    /// It opens: the replicas that are made and alive are the first isr, and the first of them leads (N14).
    pub(super) fn open(&mut self, brokers: &Brokers) {
        let all = self.replicas.iter().map(|replica| replica.broker);
        self.isr = all.filter(|&broker| self.is_usable(broker, brokers)).collect();
        self.leader = self.isr.first().copied();
        self.leader_epoch = self.leader_epoch.next();
        self.epoch = self.epoch.next();
        self.offline = None;
    }

    /// Ends a step that was begun on `before`: settles who leads, and raises the epochs as the changes want it.
    pub(super) fn finish(&mut self, before: &Self, step: Step, min: u16, brokers: &Brokers) {
        if !self.is_open() {
            return;
        }
        self.settle(min, brokers);
        let same_leader_anew = step == Step::NewLeadership && self.leader.is_some();
        let other = self.leader != before.leader;
        let raises = match is_planted(Planted::SameEpochAfterRestart) {
            true => other && self.leader.is_some() && before.leader.is_some(),
            false => other || same_leader_anew,
        };
        if raises {
            self.leader_epoch = self.leader_epoch.next();
        }
        if self != before || step != Step::Changed {
            self.epoch = self.epoch.next();
        }
    }

    fn settle(&mut self, min: u16, brokers: &Brokers) {
        self.shed(brokers);
        self.complete_move(min, brokers);
        self.elect(brokers);
        self.settle_eligible(min);
        let preferred = self.replicas.first().map(|replica| replica.broker);
        self.chosen = self.chosen.filter(|_| self.chosen == self.leader && self.chosen != preferred);
        self.unproven = self.unproven.iter().copied().filter(|&it| self.is_member(it)).collect();
        self.awaits_all &= self.leader.is_none();
        self.offline = self.reason_without_leader(brokers);
    }

    /// Who cannot follow, or is not believed, leaves the isr in which another lives that can and is (N10, N12). The
    /// quorum does it itself: the epoch it raises voids whatever its leader has under way (N7).
    fn shed(&mut self, brokers: &Brokers) {
        let (stays, leaves): (Vec<_>, Vec<_>) =
            self.isr.iter().copied().partition(|&it| self.is_usable(it, brokers) && self.is_proven(it));
        if !stays.is_empty() {
            self.isr = stays;
            self.eligible.extend(leaves);
        }
    }

    fn elect(&mut self, brokers: &Brokers) {
        let best = self.members().filter_map(|it| Some((self.class(it, brokers)?, it)));
        let Some((best_class, best)) = best.min_by_key(|(class, _)| *class) else {
            self.leader = None;
            self.elect_unproven(brokers);
            return;
        };
        let class_of_leader = self.leader.and_then(|leader| self.class(leader, brokers));
        if class_of_leader != Some(best_class) {
            self.lead(best);
        }
    }

    fn class(&self, broker: BrokerId, brokers: &Brokers) -> Option<Class> {
        if !self.is_usable(broker, brokers) || !self.is_proven(broker) {
            return None;
        }
        let draining = Class::from(brokers.get(&broker).is_some_and(|it| it.draining));
        Some(match (self.damaged.contains(&broker), self.isr.contains(&broker)) {
            (false, true) => draining,
            (false, false) => 2 + draining,
            (true, true) => 4,
            (true, false) => 5,
        })
    }

    /// Whether `broker` is a member that may lead, however good.
    pub(super) fn can_lead(&self, broker: BrokerId, brokers: &Brokers) -> bool {
        self.is_member(broker) && self.class(broker, brokers).is_some()
    }

    /// Whether `broker` may be preferred by somebody's wish: in sync, alive, believed, undamaged and not draining.
    pub(super) fn is_preferable(&self, broker: BrokerId, brokers: &Brokers) -> bool {
        self.class(broker, brokers) == Some(0)
    }

    /// Those who could lead as well as anybody, beginning after `broker` in the order of the replicas, round.
    pub(super) fn preferable_after(&self, broker: BrokerId, brokers: &Brokers) -> Vec<BrokerId> {
        let place = self.replicas.iter().position(|it| it.broker == broker).unwrap_or(0);
        let (before, from) = self.replicas.split_at(place);
        let round = from.iter().chain(before).map(|it| it.broker);
        round.filter(|&it| it != broker && self.is_preferable(it, brokers)).collect()
    }

    /// What the broker of a replica says of it (N11). A leader whose log stopped is followed by another in-sync member
    /// if there is one, and else by itself: its log goes on only under a higher epoch.
    pub(super) fn replica_failed(
        &mut self,
        broker: BrokerId,
        reason: ReplicaFailure,
        brokers: &Brokers,
    ) -> Step {
        let marked = match reason {
            ReplicaFailure::Damaged => &mut self.damaged,
            ReplicaFailure::Unusable => &mut self.unusable,
            ReplicaFailure::Stopped if self.leader != Some(broker) => return Step::Changed,
            ReplicaFailure::Stopped => {
                self.leader = self.preferable_after(broker, brokers).first().copied().or(self.leader);
                return Step::NewLeadership;
            }
        };
        if !marked.contains(&broker) {
            marked.push(broker);
        }
        Step::Changed
    }

    /// One of the eligible becomes the whole isr: nothing was acknowledged since it left, because the isr was below
    /// the minimum. For the same reason those it replaces are eligible now.
    fn lead(&mut self, broker: BrokerId) {
        if !self.isr.contains(&broker) {
            let left = std::mem::replace(&mut self.isr, vec![broker]);
            self.eligible.retain(|&member| member != broker);
            self.eligible.extend(left);
        }
        self.leader = Some(broker);
    }

    /// With all members restarted uncleanly, once each has told where it ends the greatest leads, as soon as it lives.
    /// A single one has nobody to be compared with (N10).
    fn elect_unproven(&mut self, brokers: &Brokers) {
        if !self.all_unproven() {
            return;
        }
        let members: Vec<BrokerId> = self.members().collect();
        let reports = self.reports(brokers);
        let told = |member: &BrokerId| reports.iter().any(|report| report.broker == *member);
        let winner = match members.as_slice() {
            [only] => Some(*only),
            all if all.iter().all(told) => self.greatest(&reports),
            _ => None,
        };
        if let Some(winner) = winner.filter(|&it| self.is_usable(it, brokers)) {
            self.believe(winner, brokers);
        }
    }

    /// After the wait: the greatest of those who told leads, if it lives (N10). Who was greater and is fenced by now
    /// is waited for: it may hold what was acknowledged.
    pub(super) fn elect_of_reported(&mut self, brokers: &Brokers) -> Step {
        let winner = self.greatest(&self.reports(brokers)).filter(|_| !self.awaits_all);
        if let Some(winner) = winner.filter(|&it| self.all_unproven() && self.is_usable(it, brokers)) {
            self.believe(winner, brokers);
        }
        Step::Changed
    }

    fn believe(&mut self, winner: BrokerId, brokers: &Brokers) {
        self.unproven.retain(|&member| member != winner);
        self.lead(winner);
        self.shed(brokers);
    }

    /// Undamaged before damaged; then the last epoch, then the end; among equals the first.
    fn greatest(&self, reports: &[EndReport]) -> Option<BrokerId> {
        let rank = |it: &EndReport| (!self.damaged.contains(&it.broker), it.last_epoch, it.durable_end);
        let in_order = self.members().filter_map(|member| reports.iter().find(|it| it.broker == member));
        in_order.reduce(|best, it| if rank(it) > rank(best) { it } else { best }).map(|it| it.broker)
    }

    /// What the present registrations of members have told while all are unproven.
    pub(super) fn reports(&self, brokers: &Brokers) -> Vec<EndReport> {
        let Some(OfflineReason::RestartedUncleanly { reports, .. }) = &self.offline else {
            return Vec::new();
        };
        let counts = |report: &EndReport| {
            let present = brokers.get(&report.broker).is_some_and(|it| it.epoch == report.broker_epoch);
            present && self.is_member(report.broker)
        };
        reports.iter().copied().filter(counts).collect()
    }

    /// `report` came from a present registration; the last one of a broker counts.
    pub(super) fn end_reported(&mut self, report: EndReport) -> Step {
        if let Some(OfflineReason::RestartedUncleanly { reports, .. }) = &mut self.offline {
            reports.retain(|it| it.broker != report.broker);
            reports.push(report);
        }
        Step::Changed
    }

    /// With a leader and the minimum in the isr, records are acknowledged without the others. Before there is a
    /// leader nothing is, and whoever holds all that was acknowledged still does (N9).
    fn settle_eligible(&mut self, min: u16) {
        if self.leader.is_some() && self.isr.len() >= usize::from(min) {
            self.eligible.clear();
        }
    }

    fn reason_without_leader(&mut self, brokers: &Brokers) -> Option<OfflineReason> {
        if self.leader.is_some() {
            return None;
        }
        if self.members().next().is_none() {
            return self.offline.take();
        }
        if !self.all_unproven() {
            return Some(OfflineReason::NoLiveMember {});
        }
        let registered = self.members().filter_map(|it| Some(brokers.get(&it)?.registered_at_ms));
        let since_ms = registered.max().unwrap_or(0);
        Some(OfflineReason::RestartedUncleanly { since_ms, reports: self.reports(brokers) })
    }

    /// Whether there are members, and all of them restarted uncleanly (N10).
    pub(super) fn all_unproven(&self) -> bool {
        let mut members = self.members().peekable();
        members.peek().is_some() && members.all(|it| !self.is_proven(it))
    }

    fn is_proven(&self, broker: BrokerId) -> bool {
        !self.unproven.contains(&broker)
    }

    /// Whether `broker` can lead or follow here at present.
    pub(super) fn is_usable(&self, broker: BrokerId, brokers: &Brokers) -> bool {
        let made = self.replica(broker).is_some_and(|replica| replica.made);
        made && !self.unusable.contains(&broker) && is_live(broker, brokers)
    }
}

fn is_live(broker: BrokerId, brokers: &Brokers) -> bool {
    brokers.get(&broker).is_some_and(|it| !it.fenced)
}
