//! What a follower with damage may report: a damaged range counts for nothing.
//!
//! ```text
//!   start      damaged      committed_end      damaged      durable_end
//!     |         [====]            |             [====]           |
//!     |         ^ out of the in-sync set         ^ in it: reported up to here
//! ```
//!
//! Always true: a replica outside of the in-sync set reports nothing beyond its first damaged offset, so that it joins
//! only when it is mended (N7); a member reports nothing beyond damage that reaches above what it knows to be committed,
//! so that no such record is acknowledged on its word. What is committed below was held when it was; the quorum knows
//! of the damage, and prefers others (N10). A report that was true when it was made is not taken back from the count of
//! what was committed with it, but a replica outside the set begins anew, so that it cannot be proposed on it.

use std::ops::Range;

use fidelog_log::env::planted::{Planted, is_planted};
use fidelog_record::types::Offset;

use super::{Following, Phase};
use crate::partition::machine::{Machine, Role};
use crate::replica::message::{FollowerMessage, RefusalCause};

impl<W> Machine<W> {
    /// Whether any of it is damaged, as far as it was told.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        !self.damage.is_empty()
    }

    /// These ranges of the log are damaged, in order; told whenever that may have changed.
    pub fn damaged(&mut self, damage: Vec<Range<Offset>>) {
        if damage != self.damage {
            self.damage = damage;
            self.report_sound();
        }
    }

    /// Whether it is in the in-sync set, as far as it knows.
    fn is_in_sync(&self) -> bool {
        self.assignment.as_ref().is_some_and(|seen| seen.isr.contains(&self.me))
    }

    /// How far this replica may report as a follower.
    pub(super) fn sound_end(&self) -> Offset {
        let synced = match is_planted(Planted::AckBeforeFollowersSync) {
            true => self.log.end,
            false => self.log.durable_end,
        };
        let damaged = self.damage.first().map_or(synced, |range| range.start);
        synced.min(if self.is_in_sync() { self.whole_end() } else { damaged })
    }

    /// Where damage of what is not known to be committed begins; the log's end without any.
    pub(super) fn whole_end(&self) -> Offset {
        let uncommitted = |range: &&Range<Offset>| range.end > self.log.committed_end;
        self.damage.iter().find(uncommitted).map_or(self.log.end, |range| range.start)
    }

    /// Reports what may be, if that is more than was; less is said by beginning anew.
    pub(in crate::partition) fn report_sound(&mut self) {
        let (durable_end, is_in_sync) = (self.sound_end(), self.is_in_sync());
        let Role::Follower(Following { phase: Phase::Matched, reported, stream, .. }) = &mut self.role else {
            return;
        };
        if durable_end > *reported {
            *reported = durable_end;
            self.reply(FollowerMessage::Report { durable_end });
        } else if durable_end < *reported
            && !is_in_sync
            && let Some((stream, epoch)) = *stream
        {
            let message = format!("{}: damaged from {durable_end} on, and being mended", self.id);
            self.refuse(stream, epoch, RefusalCause::Gap, message);
        }
    }
}
