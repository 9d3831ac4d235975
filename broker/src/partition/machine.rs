//! What one replica knows of its partition, and the steps that change it.
//!
//! ```text
//!               watch: I lead, clean                     watch: I lead, unclean stop before
//!   Idle ----------------------------> Leader(open)   Idle --------> Leader(opening) --> Leader(open)
//!    |  watch: another leads                              told, tail copied
//!    +----------------------------> Follower
//!   any --- the log failed ---> Stopped --- opened again ---> any        any --- watch: I lost my data ---> Lost
//! ```
//!
//! Always true: `start <= committed_end <= durable_end <= end`; nothing is answered as stored above
//! `committed_end`; every placed batch was submitted to the log in offset order.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use fidelog_log::env::Moment;
use fidelog_log::{FlushTiming, ProducerLimits, Room};
use fidelog_record::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};

use super::assignment::Assignment;
use super::effect::Effect;
use super::following::{Cutting, Following};
use super::leading::{Leading, Outdated, Round};
use super::lease::Lease;
use super::log_state::LogState;
use super::membership::ShrinkBelow;
use super::outcome::{ProduceAnswer, ProduceRefusal, Unknown};

/// Bounds and timers of a machine.
#[derive(Clone, Copy, Debug)]
pub struct MachineLimits {
    /// Bytes placed and not committed, beyond which a produce is refused as overloaded.
    pub pending_bytes_max: u64,
    /// Bytes sent to a follower and not reported synced.
    pub follower_credit_bytes: u64,
    /// How long a follower with a stream may lag before it leaves the in-sync set.
    pub replica_lag_ms_max: u64,
    /// How long a follower may be without a stream before it counts as lagging.
    pub replica_down_ms_max: u64,
    /// When to say the same to the quorum, or to a follower that refused, again.
    pub retry_ms: u64,
    /// What bounds the memory of producers.
    pub producers: ProducerLimits,
}

/// What a machine begins with.
#[derive(Debug)]
pub struct Setup {
    /// The partition.
    pub id: TopicPartition,
    /// This broker.
    pub me: BrokerId,
    /// What recovery found.
    pub log: LogState,
    /// The process before this one did not stop cleanly.
    pub unclean: bool,
    /// Bounds and timers.
    pub limits: MachineLimits,
}

/// What this replica is.
#[derive(Debug)]
pub enum Role<W> {
    /// Not told yet.
    Idle,
    /// It leads.
    Leader(Leading<W>),
    /// It follows.
    Follower(Following),
    /// Its log failed: it answers nothing and reports nothing (N16, G6).
    Stopped(String),
    /// It should lead and has lost its data: it waits to be refilled (DATA_LOSS).
    Lost(String),
}

/// The four positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// First offset kept.
    pub start: Offset,
    /// First offset not known to be committed.
    pub committed_end: Offset,
    /// First offset not synced here.
    pub durable_end: Offset,
    /// First offset not placed.
    pub end: Offset,
}

/// What readers may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The positions.
    pub positions: Positions,
    /// Set while this replica leads an open epoch.
    pub leading: Option<LeaderEpoch>,
    /// Whether this leader's own epoch has confirmed `committed_end` (N6): before, "not yet" instead of "out of range".
    pub confirmed: bool,
    /// Whether this broker's session with the quorum lives: when not, another may lead by now, and nobody should wait
    /// here (DESIGN §4).
    pub in_touch: bool,
    /// Who leads, as the metadata says.
    pub leader: Option<BrokerId>,
    /// In which epoch.
    pub leader_epoch: LeaderEpoch,
    /// Why this replica serves nothing, if so.
    pub problem: Option<String>,
}

/// One replica of one partition. `W` stands for whoever waits for a produce.
#[derive(Debug)]
pub struct Machine<W> {
    pub(super) id: TopicPartition,
    pub(super) me: BrokerId,
    pub(super) limits: MachineLimits,
    pub(super) log: LogState,
    pub(super) assignment: Option<Assignment>,
    /// Brokers that no in-sync set takes in now, as the watch shows them.
    pub(super) barred: Arc<BTreeSet<BrokerId>>,
    pub(super) role: Role<W>,
    /// Nothing is acknowledged outside it (N12).
    pub(super) lease: Lease,
    /// What readers were told of it at the last tick.
    pub(super) in_touch: bool,
    /// Damaged ranges of the log, in order.
    pub(super) damage: Vec<Range<Offset>>,
    /// The last epoch led here in which the log failed: it never leads in that again, because an offset may have been
    /// given in it to a batch that is gone (N16).
    pub(super) stopped_in: LeaderEpoch,
    /// Until this replica's first leadership has opened: what it held may not be all that was acknowledged.
    pub(super) unclean: bool,
    /// A `Secure` is on its way.
    pub(super) securing: bool,
    /// A cut or a start-over is on its way to the disk, whoever leads by now: until it is done nothing is appended,
    /// matched, opened or believed synced.
    pub(super) cutting: Option<Cutting>,
    /// Before this append time nobody that is remembered is idle: looking for room would find none.
    pub(super) producers_full_until_ms: u64,
    /// The last round that asked whether this replica still leads.
    pub(super) round: Round,
    /// What must not count any more.
    pub(super) outdated: Outdated,
    pub(super) shrink_below: ShrinkBelow,
    pub(super) effects: Vec<Effect<W>>,
}

impl<W> Machine<W> {
    /// A machine that has not been told its role.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let Setup { id, me, log, unclean, limits } = setup;
        assert!(
            log.start <= log.committed_end
                && log.committed_end <= log.durable_end
                && log.durable_end <= log.end,
            "{id}: positions out of order: {log:?}"
        );
        Self {
            id,
            me,
            limits,
            log,
            assignment: None,
            barred: Arc::default(),
            role: Role::Idle,
            lease: Lease::default(),
            in_touch: true,
            damage: Vec::new(),
            stopped_in: LeaderEpoch(0),
            unclean,
            securing: false,
            cutting: None,
            producers_full_until_ms: 0,
            round: Round::default(),
            outdated: Outdated::default(),
            shrink_below: ShrinkBelow::default(),
            effects: Vec::new(),
        }
    }

    /// The partition.
    #[must_use]
    pub fn id(&self) -> TopicPartition {
        self.id
    }

    /// Takes what the steps since the last call want done.
    pub fn take_effects(&mut self, into: &mut Vec<Effect<W>>) {
        into.append(&mut self.effects);
    }

    /// The positions.
    #[must_use]
    pub fn positions(&self) -> Positions {
        let LogState { start, committed_end, durable_end, end, .. } = self.log;
        Positions { start, committed_end, durable_end, end }
    }

    /// What this replica is.
    #[must_use]
    pub fn role(&self) -> &Role<W> {
        &self.role
    }

    /// What the metadata says.
    #[must_use]
    pub fn assignment(&self) -> Option<&Assignment> {
        self.assignment.as_ref()
    }

    /// The quorum's answers allow this much; told before every step.
    pub fn set_lease(&mut self, lease: Lease) {
        self.lease = lease;
    }

    /// What readers may know.
    #[must_use]
    pub fn published(&self) -> Published {
        let (leading, confirmed) = match &self.role {
            Role::Leader(leading) if leading.is_open() => {
                (Some(leading.epoch), self.log.committed_end >= leading.epoch_start)
            }
            _ => (None, false),
        };
        let problem = match &self.role {
            Role::Stopped(why) | Role::Lost(why) => Some(why.clone()),
            _ => None,
        };
        let (leader, leader_epoch) =
            self.assignment.as_ref().map_or((None, LeaderEpoch(0)), |seen| (seen.leader, seen.leader_epoch));
        Published {
            positions: self.positions(),
            leading,
            confirmed,
            in_touch: self.in_touch,
            leader,
            leader_epoch,
            problem,
        }
    }

    /// The watch shows this entry. Entries come in order; an older one is ignored.
    pub fn assigned(&mut self, assignment: Assignment, now: Moment) {
        if self.assignment.as_ref().is_some_and(|seen| seen.partition_epoch >= assignment.partition_epoch) {
            return;
        }
        let new_epoch =
            self.assignment.as_ref().is_none_or(|seen| seen.leader_epoch < assignment.leader_epoch);
        let same_leader = self.assignment.as_ref().is_some_and(|seen| seen.leader == assignment.leader);
        // A growth within an epoch: this process reported, on a stream of that leader, all that is committed (N7).
        let was_out = self.assignment.as_ref().is_some_and(|seen| !seen.isr.contains(&self.me));
        if !new_epoch && same_leader && was_out && assignment.isr.contains(&self.me) {
            self.unclean = false;
        }
        let before = self.assignment.replace(assignment.clone());
        if matches!(self.role, Role::Stopped(_)) {
            self.effects.push(Effect::Publish);
            return;
        }
        if new_epoch || !same_leader {
            self.leave_role(Unknown::EpochEnded);
            self.enter_role(&assignment, now);
        } else if let Role::Leader(_) = self.role {
            let former = before.map(|before| before.copies).unwrap_or_default();
            self.members_seen(&assignment, &former, now);
        } else {
            self.report_sound(); // Whether it is in sync decides what damage means.
        }
        self.effects.push(Effect::Publish);
    }

    pub(super) fn enter_role(&mut self, assignment: &Assignment, now: Moment) {
        if assignment.leader == Some(self.me) && assignment.leader_epoch <= self.stopped_in {
            self.role = Role::Idle; // It goes on under a higher epoch.
        } else if assignment.leader == Some(self.me) {
            self.lead(assignment, now);
        } else if assignment.leader.is_none() && assignment.lost_leader == Some(self.me) {
            self.role =
                Role::Lost(format!("broker {} led this partition and came back without its data", self.me));
        } else {
            self.role = Role::Follower(Following::default());
        }
    }

    /// Everyone who waits is told; what was placed stays in the log.
    pub(super) fn leave_role(&mut self, why: Unknown) {
        let role = std::mem::replace(&mut self.role, Role::Idle);
        let Role::Leader(mut leading) = role else { return };
        for waiter in leading.waiting.take_all() {
            self.effects.push(Effect::Answer(waiter, ProduceAnswer::Unknown(why.clone())));
        }
        let refusal = self.not_leader();
        for parked in leading.parked.drain(..) {
            self.effects.push(Effect::Answer(parked.waiter, ProduceAnswer::Refused(refusal.clone())));
        }
    }

    pub(super) fn not_leader(&self) -> ProduceRefusal {
        let (leader, epoch) =
            self.assignment.as_ref().map_or((None, LeaderEpoch(0)), |seen| (seen.leader, seen.leader_epoch));
        ProduceRefusal::NotLeader { leader, epoch }
    }

    /// The broker stops: everyone who waits is told.
    pub fn stopping(&mut self) {
        if matches!(self.role, Role::Stopped(_)) {
            return; // everyone was told then, and it is not well again
        }
        self.leave_role(Unknown::Stopping);
        self.effects.push(Effect::Publish);
    }

    /// A sync covered everything below `durable_end`.
    pub fn durable(&mut self, durable_end: Offset, timing: FlushTiming, now: Moment) {
        if matches!(self.role, Role::Stopped(_)) || durable_end <= self.log.durable_end {
            return;
        }
        if self.cutting.is_some() {
            return; // A sync begun before the cut counts for nothing (DESIGN §5).
        }
        assert!(
            durable_end <= self.log.end,
            "{}: the log says {durable_end} is synced, but only {} was placed",
            self.id,
            self.log.end
        );
        self.log.durable_end = durable_end;
        match &mut self.role {
            Role::Leader(leading) => {
                leading.waiting.flushed(durable_end, timing);
                self.advance_committed(now);
                self.open_if_told(now);
                self.push_synced();
            }
            Role::Follower(_) => self.report_durable(),
            Role::Idle | Role::Stopped(_) | Role::Lost(_) => {}
        }
    }

    /// The log begins at `start` now.
    pub fn started(&mut self, start: Offset) {
        if start > self.log.start {
            self.log.start = start;
            self.log.epochs.advance_start(start);
            // An idle follower hears of it as well (N15).
            self.spread_committed();
            self.effects.push(Effect::Publish);
        }
    }

    /// The leader drops what lies below `to`, never beyond what is committed (N15).
    pub fn retain_from(&mut self, to: Offset) {
        let to = to.min(self.log.committed_end);
        if matches!(&self.role, Role::Leader(leading) if leading.is_open()) && to > self.log.start {
            self.effects.push(Effect::AdvanceStart(to));
        }
    }

    /// The flusher answers [`Effect::Secure`]: how much may be appended now, or why no more.
    pub fn secured(&mut self, answer: Result<Room, String>, now: Moment, wall_ms: u64) {
        self.securing = false;
        match answer {
            Ok(room) => {
                // While room is asked for nothing is placed; after a cut the answer is stale and asked for again.
                self.log.room_bytes = if room.after == self.log.end { room.bytes } else { 0 };
                match &self.role {
                    Role::Leader(leading) if !leading.copied.is_empty() => self.append_copied(now),
                    Role::Leader(_) => self.place_parked(now, wall_ms),
                    Role::Follower(_) => self.append_parked(),
                    Role::Idle | Role::Stopped(_) | Role::Lost(_) => {}
                }
            }
            Err(why) => match &mut self.role {
                Role::Leader(leading) => {
                    for parked in leading.parked.drain(..) {
                        let refusal = ProduceRefusal::DiskFull(why.clone());
                        self.effects.push(Effect::Answer(parked.waiter, ProduceAnswer::Refused(refusal)));
                    }
                    leading.parked_bytes = 0;
                    self.copy_again(now);
                }
                Role::Follower(_) => self.no_room(&why),
                Role::Idle | Role::Stopped(_) | Role::Lost(_) => {}
            },
        }
    }

    /// Time passes; called about every 100 ms while there is a role.
    pub fn tick(&mut self, now: Moment) {
        if let Role::Leader(leading) = &mut self.role {
            for waiter in leading.waiting.take_expired(now) {
                self.effects.push(Effect::Answer(waiter, ProduceAnswer::Unknown(Unknown::TimedOut)));
            }
            self.expire_parked(now);
            self.examine_members(now);
            self.open_if_told(now);
            // The lease may have come back since the last report.
            self.advance_committed(now);
        }
        let in_touch = self.lease.is_in_touch(now);
        if std::mem::replace(&mut self.in_touch, in_touch) != in_touch {
            self.effects.push(Effect::Publish);
        }
        self.ask_start_again();
    }

    /// Whether `tick` has anything to watch over.
    #[must_use]
    pub fn wants_ticks(&self) -> bool {
        matches!(self.role, Role::Leader(_)) || self.start_is_due()
    }

    /// Asks for room for `bytes`, once at a time.
    pub(super) fn ask_room(&mut self, bytes: u64) {
        if !self.securing {
            self.securing = true;
            self.effects.push(Effect::Secure(bytes));
        }
    }
}
