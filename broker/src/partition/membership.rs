//! How the in-sync set changes (N7): the leader examines its followers and proposes; only the watch decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::Moment;
use fidelog_log::env::planted::{Planted, is_planted};
use fidelog_record::types::{BrokerId, PartitionEpoch};

use super::assignment::Assignment;
use super::effect::Effect;
use super::machine::{Machine, Role};
use crate::replica::{Follower, FollowerState};

/// The pause before the set is proposed below the minimum once more doubles this often: with 200 ms, up to 13 s.
const PAUSE_DOUBLINGS_MAX: u32 = 6;

/// The same of a set with one more member: with 200 ms, up to 6 s.
const GROWTH_DOUBLINGS_MAX: u32 = 5;

/// When a set below the minimum may be proposed again. Nothing is acknowledged meanwhile, with that set or without; the
/// quorum may have moved leadership to one of the members instead (N11), and back.
#[derive(Debug, Default)]
pub(super) struct ShrinkBelow {
    not_before: Moment,
    count: u32,
}

impl ShrinkBelow {
    fn asked(&mut self, retry: Duration, now: Moment) {
        self.count = (self.count + 1).min(PAUSE_DOUBLINGS_MAX);
        self.not_before = now.plus(retry * 2_u32.pow(self.count));
    }
}

/// A set that was proposed, again and again perhaps.
#[derive(Debug)]
pub(super) struct LastProposed {
    isr: BTreeSet<BrokerId>,
    at: Moment,
    /// How often before.
    count: u32,
}

impl LastProposed {
    /// Whether `isr` is not to be proposed at this time. What acknowledgements wait for, a shrink or the minimum, is asked
    /// for at every retry. A growth beyond that, refused because one is draining, say, is tried less and less often.
    fn forbids(&self, isr: &BTreeSet<BrokerId>, grows: bool, retry: Duration, now: Moment) -> bool {
        let doublings = if grows && *isr == self.isr { self.count.min(GROWTH_DOUBLINGS_MAX) } else { 0 };
        now.since(self.at) < retry * 2_u32.pow(doublings)
    }
}

impl<W> Machine<W> {
    /// The watch shows a later entry of the same epoch; `former` are the copies as the one before showed them.
    pub(super) fn members_seen(
        &mut self,
        assignment: &Assignment,
        former: &BTreeMap<BrokerId, PartitionEpoch>,
        now: Moment,
    ) {
        let synced_by = self.synced_by(assignment);
        let followers: Vec<_> = assignment.replicas.iter().copied().filter(|&id| id != self.me).collect();
        let Role::Leader(leading) = &mut self.role else { return };
        if assignment.isr.len() > leading.in_sync.committed().len() {
            self.shrink_below = ShrinkBelow::default(); // somebody has caught up
        }
        leading.in_sync.seen(assignment.partition_epoch, assignment.isr.clone());
        leading.min_insync = assignment.min_insync;
        leading.synced_by = synced_by;
        leading.proposed = None;
        leading.followers.retain(&followers, now);
        let anew = followers.iter().filter(|id| former.get(id) != assignment.copies.get(id));
        anew.for_each(|&id| leading.followers.forget(id, now));
        self.advance_committed(now);
        self.open_if_told(now);
    }

    /// The quorum takes none of these into any in-sync set, since they are fenced or draining (N8). Proposed all the same,
    /// they would be waited for until it has said so (N7): for as long as it is away, if they die meanwhile. Whoever is not
    /// among them any more may join at once.
    pub fn barred(&mut self, barred: Arc<BTreeSet<BrokerId>>, now: Moment) {
        let former = std::mem::replace(&mut self.barred, barred);
        let freed: Vec<BrokerId> = former.difference(&self.barred).copied().collect();
        for id in freed {
            self.grow_if_ready(id, now);
        }
    }

    /// Whether a member no longer deserves to be waited for.
    fn lags(&self, follower: &Follower, now: Moment) -> bool {
        let down = Duration::from_millis(self.limits.replica_down_ms_max);
        let lag = Duration::from_millis(self.limits.replica_lag_ms_max);
        if follower.says_stopped() {
            return true;
        }
        match follower.state {
            FollowerState::Down => now.since(follower.down_since) >= down,
            FollowerState::Beginning { .. } | FollowerState::Matched { .. } => {
                now.since(follower.caught_up_at) >= lag
            }
        }
    }

    /// At every tick: who lags is proposed out, a growth whose target failed is withdrawn, what was not answered is
    /// proposed again.
    pub(super) fn examine_members(&mut self, now: Moment) {
        self.retry_begins(now);
        let end = self.log.end;
        let Role::Leader(leading) = &mut self.role else { return };
        leading.followers.examine(end, now);
        if leading.opening.is_some() {
            return; // Until the epoch is open it shrinks nothing.
        }
        let retry = Duration::from_millis(self.limits.retry_ms);
        if leading.proposed.as_ref().is_some_and(|last| now.since(last.at) < retry) {
            return;
        }
        let Role::Leader(leading) = &self.role else { return };
        let committed = leading.in_sync.committed();
        let stays = |id: &BrokerId| {
            *id == self.me || leading.followers.get(*id).is_some_and(|follower| !self.lags(follower, now))
        };
        let kept: BTreeSet<BrokerId> = committed.iter().copied().filter(stays).collect();
        // A member that lags holds what is committed all the same, because that waits for it: it must not stay by this.
        let joins = |id: &BrokerId| !committed.contains(id) && self.ready(*id, now);
        let mut wanted: BTreeSet<BrokerId> =
            kept.iter().copied().chain(leading.followers.iter().map(|(id, _)| id).filter(joins)).collect();
        if kept.len() < committed.len() && wanted.len() < leading.min_insync {
            if now < self.shrink_below.not_before {
                wanted.extend(committed);
            } else {
                self.shrink_below.asked(retry, now);
            }
        }
        if is_planted(Planted::ShrunkWithoutQuorum) && kept != *committed {
            let Role::Leader(leading) = &mut self.role else { return };
            leading.in_sync.settle_alone(kept);
            return;
        }
        if is_planted(Planted::GrowthNeverWithdrawn) && wanted == *committed {
            let Role::Leader(leading) = &mut self.role else { return };
            leading.in_sync.settle_alone(wanted);
            return;
        }
        let grows = wanted.len() > committed.len() && wanted.is_superset(committed);
        let grows = grows && committed.len() >= leading.min_insync; // a withdrawal is none: acknowledgements wait for it
        if leading.proposed.as_ref().is_some_and(|last| last.forbids(&wanted, grows, retry, now)) {
            return;
        }
        // With a change on its way the set is proposed again even when it is the committed one: that withdraws it.
        if wanted != *committed || leading.in_sync.is_changing() {
            self.propose(wanted, now);
        }
    }

    /// Forgets what is on its way: only ever planted.
    #[cfg(feature = "sim")]
    pub fn believe_refusal(&mut self) {
        let Role::Leader(leading) = &mut self.role else { return };
        let committed = leading.in_sync.committed().clone();
        leading.in_sync.settle_alone(committed);
    }

    /// Whether a follower may join: it holds what is committed, undamaged, and where this epoch began
    /// (N7), and keeps up.
    fn ready(&self, id: BrokerId, now: Moment) -> bool {
        let Role::Leader(leading) = &self.role else { return false };
        if self.barred.contains(&id) {
            return false;
        }
        if self.assignment.as_ref().is_some_and(|seen| seen.damaged.contains(&id)) {
            return false; // It joins when it is mended, and has said so.
        }
        let bar = match is_planted(Planted::GrowthOnCommittedEndAlone) {
            true => self.log.committed_end,
            false => self.log.committed_end.max(leading.epoch_start),
        };
        let Some(follower) = leading.followers.get(id) else { return false };
        follower.durable_end().is_some_and(|end| end >= bar) && !self.lags(follower, now)
    }

    /// At a report: a follower outside the set that holds enough is proposed at once.
    pub(super) fn grow_if_ready(&mut self, id: BrokerId, now: Moment) {
        let Role::Leader(leading) = &self.role else { return };
        if leading.opening.is_some()
            || leading.in_sync.is_changing()
            || leading.in_sync.committed().contains(&id)
            || !self.ready(id, now)
        {
            return;
        }
        let mut wanted = leading.in_sync.committed().clone();
        wanted.insert(id);
        self.propose(wanted, now);
    }

    fn propose(&mut self, wanted: BTreeSet<BrokerId>, now: Moment) {
        let Role::Leader(leading) = &mut self.role else { return };
        let again = leading.proposed.take().filter(|last| last.isr == wanted);
        let count = again.map_or(0, |last| last.count.saturating_add(1));
        leading.proposed = Some(LastProposed { isr: wanted.clone(), at: now, count });
        let epoch = leading.epoch;
        let added = wanted.iter().filter(|id| !leading.in_sync.committed().contains(id));
        // The life of the stream that the report which makes it ready came on (N8).
        let added = added.filter_map(|&id| leading.followers.get(id)?.incarnate).collect();
        let proposed = leading.in_sync.propose(wanted, added);
        self.effects.push(Effect::Propose { epoch, proposed });
    }
}
