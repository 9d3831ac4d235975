//! How a follower finds out where it stands on a stream: it asks, cuts what its leader does not have, and is matched
//! (N3, N5).
//!
//! Always true: nothing is said to be matched before the cut is durable; no cut goes below what is known to be committed,
//! but for what an operator's recovery gave up; every answer names the beginning it answers (N4).

use fidelog_log::CutDone;
use fidelog_log::env::Moment;
use fidelog_log::env::planted::{Planted, is_planted};
use fidelog_record::types::{LeaderEpoch, Offset};

use super::{Cutting, Following, Phase};
use crate::meta::state::Recovery;
use crate::partition::effect::Effect;
use crate::partition::machine::{Machine, Role};
use crate::replica::message::{FollowerMessage, RefusalCause};
use crate::replica::{Reconciliation, Step, StreamId};

impl<W> Machine<W> {
    pub(super) fn begin(
        &mut self,
        (stream, epoch): (StreamId, LeaderEpoch),
        number: u64,
        (start, committed_end, last_epoch): (Offset, Offset, LeaderEpoch),
    ) {
        let (own_start, own_end) = (self.log.start, self.log.end);
        let Role::Follower(following) = &mut self.role else { return };
        if self.cutting.is_some() {
            // One durable step at a time; the leader begins again after this refusal.
            let message = format!("{}: a cut is under way", self.id);
            self.refuse(stream, epoch, RefusalCause::Gap, message);
            return;
        }
        following.stream = Some((stream, epoch));
        following.begun = number;
        following.heard_committed_end = committed_end;
        following.heard_start = start;
        following.leader_last_epoch = last_epoch;
        following.unpark_all();
        if start > own_end || (own_end == own_start && start > own_start) {
            // All we have was passed by retention: beginning anew there is not a cut (N5).
            self.start_over(start);
            return;
        }
        let (talk, step) = Reconciliation::begin(&self.log.epochs, own_start, own_end);
        following.phase = Phase::Asking(talk);
        self.take_step(step);
    }

    pub(super) fn epoch_end(&mut self, answer: (LeaderEpoch, LeaderEpoch, Offset)) {
        let (start, end) = (self.log.start, self.log.end);
        let Role::Follower(Following { phase: Phase::Asking(talk), .. }) = &mut self.role else { return };
        if let Some(step) = talk.answered(&self.log.epochs, start, end, answer) {
            self.take_step(step);
        }
    }

    pub(super) fn take_step(&mut self, step: Step) {
        let step = match step {
            Step::AgreeUpTo(to) if is_planted(Planted::CutBelowCommitted) => {
                let below = Offset(self.log.committed_end.0.saturating_sub(2)).max(self.log.start);
                self.log.committed_end = self.log.committed_end.min(below);
                Step::AgreeUpTo(to.min(below))
            }
            step => step,
        };
        match step {
            Step::Ask { epoch, end } => self.ask(epoch, end),
            Step::AgreeUpTo(to) | Step::StartOver(to) if to < self.never_cut_below() => {
                let message = format!(
                    "{}: the leader's log parts from ours at {to}, below our committed end {}; nothing was cut",
                    self.id, self.log.committed_end
                );
                if let Role::Follower(following) = &mut self.role
                    && !std::mem::replace(&mut following.alarmed, true)
                {
                    self.effects.push(Effect::Alarm(message.clone()));
                }
                if let Role::Follower(Following { stream: Some((stream, epoch)), .. }) = self.role {
                    self.refuse(stream, epoch, RefusalCause::WouldCutCommitted, message);
                }
            }
            Step::StartOver(at) => self.start_over(at),
            Step::AgreeUpTo(to) if to < self.log.end => {
                if let Role::Follower(following) = &mut self.role {
                    following.phase = Phase::Cutting;
                }
                self.cutting = Some(Cutting::End);
                let (committed_end, permitted) = (self.log.committed_end, self.permitted_cut());
                self.effects.push(Effect::Cut { to, committed_end, permitted });
            }
            Step::AgreeUpTo(_) => self.match_here(),
        }
    }

    /// What is committed stays, except for what an operator's recovery gave up, after our last batch (N5).
    pub(super) fn never_cut_below(&self) -> Offset {
        let committed_end = self.log.committed_end;
        self.permitted_cut().map_or(committed_end, |permitted| committed_end.min(permitted))
    }

    fn permitted_cut(&self) -> Option<Offset> {
        let recoveries = &self.assignment.as_ref()?.recoveries;
        Recovery::permitted_cut(recoveries, self.log.epochs.last_epoch())
    }

    fn ask(&mut self, epoch: LeaderEpoch, end: Offset) {
        let Role::Follower(following) = &self.role else { return };
        let shared = self.log.epochs.end_of(following.leader_last_epoch, self.log.end);
        let (shared_epoch, shared_end) = shared.unwrap_or_default();
        // Beyond damage there is nothing to be copied by a leader that lacks it; of what is committed it lacks nothing.
        let whole_end = self.whole_end();
        let (end, shared_end) = (end.min(whole_end), shared_end.min(whole_end));
        let begun = following.begun;
        self.reply(FollowerMessage::Ask { begun, epoch, end, shared_epoch, shared_end });
    }

    /// The cut, or the new beginning, is durable: this is what the log holds now.
    pub fn cut_done(&mut self, done: CutDone, now: Moment) {
        let over = self.cutting.take() == Some(Cutting::StartOver);
        let start = if over { done.end } else { self.log.start };
        self.log.start = start;
        self.log.end = done.end;
        self.log.durable_end = done.end;
        self.log.committed_end = self.log.committed_end.clamp(start, done.end);
        self.log.epochs = done.epochs;
        if !is_planted(Planted::ProducersNotRewound) {
            self.log.producers = done.producers;
        }
        self.producers_full_until_ms = 0;
        self.log.room_bytes = done.room_bytes;
        self.securing = false;
        if let Role::Follower(following) = &mut self.role {
            following.unsynced.clear();
            following.unsynced_bytes = 0;
        }
        match &self.role {
            Role::Follower(Following { phase: Phase::Cutting, .. }) => self.match_here(),
            // It was asked to lead in the midst of the cut.
            Role::Leader(_) => self.open_if_told(now),
            Role::Follower(_) | Role::Idle | Role::Stopped(_) | Role::Lost(_) => {}
        }
        self.effects.push(Effect::Publish);
    }

    pub(super) fn match_here(&mut self) {
        let (end, durable_end, last_epoch) = (self.log.end, self.sound_end(), self.log.epochs.last_epoch());
        let Role::Follower(following) = &mut self.role else { return };
        following.phase = Phase::Matched;
        following.reported = durable_end;
        let begun = following.begun;
        self.reply(FollowerMessage::Matched { begun, end, durable_end, last_epoch });
        self.hear_committed();
    }
}
