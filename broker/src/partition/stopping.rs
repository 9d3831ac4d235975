//! A log that stops, and how it goes on: opened again through the recovery that every start goes through.
//!
//! ```text
//!   any --- the log failed ---> Stopped --- closed, recovered ---> what the metadata says, but never Leader in the epoch
//!                                                                  in which it failed as one
//! ```
//!
//! Always true: what was reported synced is still there afterwards, whole or told as damaged; what was placed and not
//! synced may be gone, and its offsets are given again under a higher epoch only (N16). A data directory whose sync
//! failed is never gone on with: its logs stay stopped, and the process ends (R1).

use fidelog_log::env::Moment;
use fidelog_log::env::planted::{Planted, is_planted};

use super::effect::Effect;
use super::following::Cutting;
use super::log_state::LogState;
use super::machine::{Machine, Role};
use super::outcome::{ProduceAnswer, Unknown};

impl<W> Machine<W> {
    /// The log failed after an offset was assigned, or its directory is latched: nothing more is placed,
    /// acknowledged or reported here (N16, G6) until it is opened again.
    pub fn failed(&mut self, why: &str) {
        if matches!(self.role, Role::Stopped(_)) {
            return;
        }
        if is_planted(Planted::OffsetGivenTwice) && self.goes_on_after_failure(why) {
            return;
        }
        match &self.role {
            Role::Follower(following) => self.effects.extend(following.refuse_stopped(why)),
            Role::Leader(leading) => self.stopped_in = leading.epoch,
            Role::Idle | Role::Stopped(_) | Role::Lost(_) => {}
        }
        self.leave_role(Unknown::LogFailed(why.to_owned()));
        self.role = Role::Stopped(why.to_owned());
        self.effects.push(Effect::ReplicaFailed);
        self.effects.push(Effect::Alarm(format!("{}: stopped: {why}", self.id)));
        self.effects.push(Effect::Publish);
    }

    /// A leader cuts what it could not sync, and goes on in its epoch: only ever planted.
    fn goes_on_after_failure(&mut self, why: &str) -> bool {
        let Role::Leader(leading) = &mut self.role else { return false };
        for waiter in leading.waiting.take_all() {
            let answer = ProduceAnswer::Unknown(Unknown::LogFailed(why.to_owned()));
            self.effects.push(Effect::Answer(waiter, answer));
        }
        leading.tail.clear();
        self.log.room_bytes = 0;
        (self.securing, self.cutting) = (true, Some(Cutting::End));
        let (to, committed_end) = (self.log.durable_end, self.log.committed_end);
        self.effects.push(Effect::Cut { to, committed_end, permitted: None });
        let followers: Vec<_> = self.follower_ids();
        for id in followers {
            self.forget_follower(id);
        }
        true
    }

    /// Its log was opened again, and holds this.
    pub fn reopened(&mut self, log: LogState, now: Moment) {
        if !matches!(self.role, Role::Stopped(_)) {
            return;
        }
        let committed_end = self.log.committed_end;
        if log.durable_end < committed_end {
            let why =
                format!("opened again it ends at {}, and {committed_end} is committed", log.durable_end);
            self.effects.push(Effect::Alarm(format!("{}: stopped: {why}", self.id)));
            self.role = Role::Stopped(why);
            self.effects.push(Effect::Publish);
            return;
        }
        self.log = LogState { committed_end: committed_end.max(log.committed_end), ..log };
        (self.securing, self.cutting) = (false, None);
        self.producers_full_until_ms = 0;
        self.role = Role::Idle;
        if let Some(assignment) = self.assignment.clone() {
            self.enter_role(&assignment, now);
        }
        self.effects.push(Effect::Publish);
    }

    /// Whether its log has stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.role, Role::Stopped(_))
    }

    /// Whether the metadata wants it to lead in an epoch in which its log failed: only a higher one helps.
    #[must_use]
    pub fn wants_epoch(&self) -> bool {
        let leads =
            |seen: &super::Assignment| seen.leader == Some(self.me) && seen.leader_epoch <= self.stopped_in;
        self.assignment.as_ref().is_some_and(leads)
    }
}
