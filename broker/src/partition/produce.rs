//! A leader takes a batch (N16, N17): refuse it definitely, recognise it, park it until there is room, or place it.

use std::time::Duration;

use fidelog_log::Verdict;
use fidelog_log::env::Moment;
use fidelog_log::env::planted::{Planted, is_planted};
use fidelog_record::types::{LeaderEpoch, Offset};
use fidelog_record::{BatchHeader, EncodedBatch, Placement};

use super::effect::Effect;
use super::leading::duplicate_answer;
use super::machine::{Machine, Role};
use super::outcome::{ProduceAnswer, ProduceRefusal};
use super::pending::{Joined, Pending};
use crate::replica::FollowerState;

/// A produce that has no offset yet because there is no room in the log yet.
#[derive(Debug)]
pub(super) struct Parked<W> {
    pub(super) batch: EncodedBatch,
    pub(super) arrived: Moment,
    pub(super) deadline: Moment,
    pub(super) waiter: W,
}

/// One produce, checked at the door.
#[derive(Debug)]
pub struct Produce<W> {
    /// The batch.
    pub batch: EncodedBatch,
    /// When the request arrived.
    pub arrived: Moment,
    /// How long its sender waits.
    pub wait: Duration,
    /// The epoch its sender believes in; 0: any.
    pub epoch: LeaderEpoch,
    /// Who waits.
    pub waiter: W,
}

impl<W> Machine<W> {
    /// Takes a produce. It is answered by an effect, now or later, exactly once.
    pub fn produce(&mut self, produce: Produce<W>, now: Moment, wall_ms: u64) {
        if let Err(refusal) = self.may_produce(produce.epoch, now) {
            self.effects.push(Effect::Answer(produce.waiter, ProduceAnswer::Refused(refusal)));
            return;
        }
        let parked = Parked {
            deadline: produce.arrived.plus(produce.wait),
            batch: produce.batch,
            arrived: produce.arrived,
            waiter: produce.waiter,
        };
        let Role::Leader(leading) = &mut self.role else { return };
        let bytes = parked.batch.bytes().len() as u64;
        let pending_bytes = leading.waiting.bytes() + leading.parked_bytes;
        if pending_bytes > 0 && pending_bytes + bytes > self.limits.pending_bytes_max {
            let refusal = ProduceRefusal::Overloaded {
                pending_bytes,
                pending_bytes_max: self.limits.pending_bytes_max,
            };
            self.effects.push(Effect::Answer(parked.waiter, ProduceAnswer::Refused(refusal)));
            return;
        }
        if leading.parked.is_empty() && bytes <= self.log.room_bytes {
            self.place(parked, now, wall_ms);
        } else {
            leading.parked_bytes += bytes;
            leading.parked.push_back(parked);
            let wanted = leading.parked_bytes;
            self.ask_room(wanted);
        }
    }

    fn may_produce(&self, believed: LeaderEpoch, now: Moment) -> Result<(), ProduceRefusal> {
        let leading = match &self.role {
            Role::Leader(leading) => leading,
            Role::Stopped(why) => return Err(ProduceRefusal::Stopped(why.clone())),
            Role::Lost(why) => return Err(ProduceRefusal::DataLoss(why.clone())),
            Role::Idle | Role::Follower(_) => return Err(self.not_leader()),
        };
        if believed != LeaderEpoch(0) && believed < leading.epoch {
            return Err(ProduceRefusal::FencedEpoch { epoch: leading.epoch });
        }
        if believed > leading.epoch {
            return Err(ProduceRefusal::UnknownEpoch { epoch: leading.epoch });
        }
        if !leading.is_open() {
            return Err(ProduceRefusal::Opening);
        }
        if !self.lease.holds(now) {
            // It could not acknowledge; and by now another may lead, whom nobody here knows (N12).
            return Err(ProduceRefusal::NotLeader { leader: None, epoch: leading.epoch });
        }
        self.enough_in_sync()
    }

    fn enough_in_sync(&self) -> Result<(), ProduceRefusal> {
        let Role::Leader(leading) = &self.role else { return Err(self.not_leader()) };
        let isr = leading.in_sync.committed();
        if isr.len() < leading.min_insync {
            let isr = isr.iter().copied().collect();
            return Err(ProduceRefusal::NotEnoughReplicas { isr, min_insync: leading.min_insync });
        }
        Ok(())
    }

    /// Gives the batch its offset, or recognises it.
    fn place(&mut self, parked: Parked<W>, now: Moment, wall_ms: u64) {
        let header = *parked.batch.header();
        match self.judge(&header, wall_ms) {
            Verdict::New => {}
            Verdict::Duplicate { base_offset, end_offset } => {
                self.join(parked, base_offset, end_offset, false, now);
                return;
            }
            // Where it was stored is forgotten; everything placed so far covers it.
            Verdict::AlreadyStored => {
                self.join(parked, self.log.end, self.log.end, true, now);
                return;
            }
            other => {
                self.effects.push(Effect::Answer(parked.waiter, ProduceAnswer::Refused(refusal_of(&other))));
                return;
            }
        }
        let Role::Leader(leading) = &mut self.role else { return };
        let placed = parked.batch.place(Placement {
            topic_partition: self.id,
            base_offset: self.log.end,
            leader_epoch: leading.epoch,
            append_time_ms: wall_ms,
            committed_below: self.log.committed_end,
        });
        leading.waiting.push(Pending {
            base: placed.base_offset(),
            end: placed.end_offset(),
            bytes: placed.length() as u64,
            arrived: parked.arrived,
            placed: now,
            deadline: parked.deadline,
            append_time_ms: wall_ms,
            timing: None,
            waiter: Some(parked.waiter),
        });
        leading.tail.push_back(placed.clone());
        for (to, follower) in leading.followers.iter() {
            if let FollowerState::Matched { stream, .. } = follower.state {
                self.effects.push(Effect::PushReady { to, stream });
            }
        }
        self.accept(placed);
    }

    /// Whoever is idle at the append time that the batch would get makes room before somebody new is refused: by the
    /// log's own times nobody would ever become idle while all are refused.
    fn judge(&mut self, header: &BatchHeader, wall_ms: u64) -> Verdict {
        let (stamp, count, limits) = (header.producer, header.record_count, self.limits.producers);
        let verdict = self.log.producers.check(stamp, count, limits);
        if !matches!(verdict, Verdict::TooMany { .. }) || wall_ms < self.producers_full_until_ms {
            return verdict;
        }
        match self.log.producers.make_room(limits, wall_ms) {
            Ok(()) => self.log.producers.check(stamp, count, limits),
            Err(until_ms) => {
                self.producers_full_until_ms = until_ms;
                verdict
            }
        }
    }

    /// A resend waits for its original (N17).
    fn join(&mut self, parked: Parked<W>, base: Offset, end: Offset, already_stored: bool, now: Moment) {
        let committed = end <= self.log.committed_end || is_planted(Planted::ResendAnsweredBeforeCommit);
        let answered_now = committed && self.lease.holds(now);
        let Role::Leader(leading) = &mut self.role else { return };
        let Parked { arrived, deadline, waiter, .. } = parked;
        let joined = Joined { base, end, arrived, deadline, already_stored, waiter };
        if answered_now {
            let answer = duplicate_answer(leading, &joined, now);
            self.effects.push(Effect::Answer(joined.waiter, answer));
        } else {
            leading.waiting.join(joined);
        }
    }

    /// There is room: places what was parked, in order.
    pub(super) fn place_parked(&mut self, now: Moment, wall_ms: u64) {
        loop {
            let enough = self.enough_in_sync();
            let Role::Leader(leading) = &mut self.role else { return };
            let Some(parked) = leading.parked.pop_front() else { return };
            let bytes = parked.batch.bytes().len() as u64;
            if parked.deadline <= now {
                leading.parked_bytes -= bytes;
                let answer = ProduceAnswer::Refused(ProduceRefusal::DeadlineExceeded);
                self.effects.push(Effect::Answer(parked.waiter, answer));
            } else if let Err(refusal) = enough {
                leading.parked_bytes -= bytes;
                self.effects.push(Effect::Answer(parked.waiter, ProduceAnswer::Refused(refusal)));
            } else if bytes > self.log.room_bytes {
                leading.parked.push_front(parked);
                let wanted = leading.parked_bytes;
                self.ask_room(wanted);
                return;
            } else {
                leading.parked_bytes -= bytes;
                self.place(parked, now, wall_ms);
            }
        }
    }

    /// Parked produces whose time is up have no offset: their refusal is definite.
    pub(super) fn expire_parked(&mut self, now: Moment) {
        let Role::Leader(leading) = &mut self.role else { return };
        let mut kept = std::collections::VecDeque::with_capacity(leading.parked.len());
        for parked in leading.parked.drain(..) {
            if parked.deadline <= now {
                leading.parked_bytes -= parked.batch.bytes().len() as u64;
                let answer = ProduceAnswer::Refused(ProduceRefusal::DeadlineExceeded);
                self.effects.push(Effect::Answer(parked.waiter, answer));
            } else {
                kept.push_back(parked);
            }
        }
        leading.parked = kept;
    }
}

fn refusal_of(verdict: &Verdict) -> ProduceRefusal {
    match *verdict {
        Verdict::OutOfOrder { expected } => ProduceRefusal::OutOfOrder { expected },
        Verdict::Fenced { current } => ProduceRefusal::ProducerFenced { epoch: current },
        Verdict::Unknown => ProduceRefusal::UnknownProducer,
        Verdict::TooMany { count_max } => ProduceRefusal::TooManyProducers { producers_max: count_max },
        Verdict::New | Verdict::Duplicate { .. } | Verdict::AlreadyStored => {
            unreachable!("{verdict:?} is not a refusal")
        }
    }
}
