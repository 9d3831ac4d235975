//! How a leader learns, at a moment, that nobody has followed it: it asks everyone who could have been elected (N18).
//!
//! ```text
//!   round begins ----> every member waited for, on its stream      answered by whoever has seen no newer epoch
//!                <----                                             by nobody who has
//! ```
//!
//! Always true: whoever leads a newer epoch when a round begins was in the in-sync set, or was proposed into it, or was
//! eligible, which needs a set below the minimum; so it is among those asked, and does not answer. A round says nothing
//! of the time after it began.

use std::collections::BTreeSet;

use fidelog_log::env::Moment;
use fidelog_record::types::{BrokerId, LeaderEpoch};

use crate::partition::effect::Effect;
use crate::partition::machine::{Machine, Role};
use crate::replica::message::LeaderMessage;

/// The last round. A new one takes the place of an older one: it says all that one would. What was begun in an epoch
/// is answered in that epoch or not at all.
#[derive(Debug, Default)]
pub(in crate::partition) struct Round {
    /// Never given twice within a process.
    pub(in crate::partition) number: u64,
    unheard: BTreeSet<BrokerId>,
}

impl<W> Machine<W> {
    /// Begins a round; its number comes back in [`Effect::Confirmed`] when all have answered. `None`: this replica
    /// does not lead in `epoch`, or the quorum must be asked, because too few are in sync, one of them has no stream,
    /// or the lease has run out, after which an operator may let another lead (N9).
    pub fn begin_round(&mut self, epoch: LeaderEpoch, now: Moment) -> Option<u64> {
        let (me, lease_holds) = (self.me, self.lease.holds(now));
        let Role::Leader(leading) = &self.role else { return None };
        let enough = leading.in_sync.committed().len() >= leading.min_insync;
        if leading.epoch != epoch || !leading.is_open() || !enough || !lease_holds {
            return None;
        }
        let others: BTreeSet<_> = leading.in_sync.waited_for().filter(|&id| id != me).collect();
        let stream = |&to: &BrokerId| Some((to, leading.followers.get(to)?.stream()?));
        let streams = others.iter().map(stream).collect::<Option<Vec<_>>>()?;
        let number = self.round.number + 1;
        if others.is_empty() {
            self.effects.push(Effect::Confirmed(number));
        }
        self.round = Round { number, unheard: others };
        for (to, stream) in streams {
            self.effects.push(Effect::Tell { to, stream, epoch, message: LeaderMessage::Confirm { number } });
        }
        Some(number)
    }

    /// A follower has seen no newer epoch.
    pub(super) fn confirmed(&mut self, from: BrokerId, number: u64) {
        let Round { number: current, unheard } = &mut self.round;
        if *current == number && unheard.remove(&from) && unheard.is_empty() {
            self.effects.push(Effect::Confirmed(number));
        }
    }
}
