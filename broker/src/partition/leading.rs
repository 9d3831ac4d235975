//! A leader's steps: opening its epoch, hearing its followers, moving `committed_end` (N4, N6).

use std::collections::VecDeque;
use std::sync::Arc;

use fidelog_log::env::Moment;
use fidelog_record::PlacedBatch;
use fidelog_record::types::{BrokerId, LeaderEpoch, Offset};

mod confirming;
mod opening;
mod outdated;
mod refusals;

pub(super) use confirming::Round;
pub(super) use opening::Opening;
pub(super) use outdated::Outdated;

use super::assignment::Assignment;
use super::effect::Effect;
use super::machine::{Machine, Role};
use super::membership::LastProposed;
use super::outcome::{ProduceAnswer, Stages, Stored};
use super::pending::{Joined, Waiting};
use super::produce::Parked;
use crate::replica::message::{FollowerMessage, LeaderMessage};
use crate::replica::{FollowerState, Followers, InSync, Incarnate, StreamId, Told, committed_end};

/// What a leader knows.
#[derive(Debug)]
pub struct Leading<W> {
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// The log's end when this epoch began.
    pub epoch_start: Offset,
    /// Its followers.
    pub followers: Followers,
    /// Whom an acknowledgement waits for.
    pub in_sync: InSync,
    pub(super) min_insync: usize,
    /// The committed in-sync set for receipts, the leader first.
    pub(super) synced_by: Arc<[BrokerId]>,
    pub(super) opening: Option<Opening>,
    /// What an opening leader copied from a follower and has no room for yet.
    pub(super) copied: Vec<PlacedBatch>,
    pub(super) waiting: Waiting<W>,
    pub(super) parked: VecDeque<Parked<W>>,
    pub(super) parked_bytes: u64,
    /// Placed batches from `tail_base` to the end, kept until they are committed and synced here.
    pub(super) tail: VecDeque<PlacedBatch>,
    /// What was proposed last, until the watch shows a later entry.
    pub(super) proposed: Option<LastProposed>,
}

impl<W> Leading<W> {
    /// Whether the epoch is open: produces are taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.opening.is_none()
    }

    /// The base of the oldest batch still in memory; the log's end when there is none.
    pub(super) fn tail_base(&self, end: Offset) -> Offset {
        self.tail.front().map_or(end, PlacedBatch::base_offset)
    }
}

impl<W> Machine<W> {
    pub(super) fn lead(&mut self, assignment: &Assignment, now: Moment) {
        let followers = assignment.replicas.iter().copied().filter(|&id| id != self.me);
        let alone = assignment.isr.iter().all(|&id| id == self.me);
        let unclean = self.unclean && !alone;
        let waits = unclean || self.cutting.is_some();
        let opening = waits.then_some(Opening { since: now, unclean, copying: false });
        self.role = Role::Leader(Leading {
            epoch: assignment.leader_epoch,
            epoch_start: self.log.end,
            followers: Followers::new(followers, now),
            in_sync: InSync::new(assignment.partition_epoch, assignment.isr.clone()),
            min_insync: assignment.min_insync,
            synced_by: self.synced_by(assignment),
            opening,
            copied: Vec::new(),
            waiting: Waiting::default(),
            parked: VecDeque::new(),
            parked_bytes: 0,
            tail: VecDeque::new(),
            proposed: None,
        });
        if opening.is_none() {
            self.unclean = false;
        }
        self.in_touch = self.lease.is_in_touch(now);
        self.advance_committed(now);
    }

    pub(super) fn synced_by(&self, assignment: &Assignment) -> Arc<[BrokerId]> {
        let others = assignment.isr.iter().copied().filter(|&id| id != self.me);
        std::iter::once(self.me).chain(others).collect()
    }

    /// A stream to a follower is up: begin on it.
    pub fn stream_up(&mut self, stream: StreamId, incarnate: Incarnate) {
        let Role::Leader(leading) = &mut self.role else { return };
        // A copy that is not made yet may be an earlier one that is still being removed.
        let is_made = self.assignment.as_ref().is_some_and(|it| it.copies.contains_key(&incarnate.broker));
        if leading.followers.get(incarnate.broker).is_none() || !is_made {
            return;
        }
        leading.followers.begin(stream, incarnate);
        self.say_begin(incarnate.broker, stream);
    }

    /// Whether this replica leads and has no stream to `follower`.
    #[must_use]
    pub fn is_down(&self, follower: BrokerId) -> bool {
        let Role::Leader(leading) = &self.role else { return false };
        leading.followers.get(follower).is_some_and(|follower| follower.stream().is_none())
    }

    /// Forgets the position of a follower whose stream is well, and begins on it once more.
    pub(super) fn begin_again(&mut self, to: BrokerId, stream: StreamId) {
        let Role::Leader(leading) = &mut self.role else { return };
        if let Some(incarnate) = leading.followers.get(to).and_then(|follower| follower.incarnate) {
            leading.followers.begin(stream, incarnate);
            self.say_begin(to, stream);
        }
    }

    pub(super) fn say_begin(&mut self, to: BrokerId, stream: StreamId) {
        let Role::Leader(leading) = &self.role else { return };
        let message = LeaderMessage::Begin {
            number: leading.followers.get(to).map_or(0, |follower| follower.begun),
            start: self.log.start,
            committed_end: self.log.committed_end,
            last_epoch: self.log.epochs.last_epoch(),
        };
        self.effects.push(Effect::Tell { to, stream, epoch: leading.epoch, message });
    }

    /// A stream to a follower ended.
    pub fn stream_down(&mut self, stream: StreamId, follower: BrokerId, now: Moment) {
        if let Role::Leader(leading) = &mut self.role {
            leading.followers.down(follower, stream, now);
        }
    }

    /// A follower speaks. Anything of another stream or epoch is ignored (N4).
    pub fn heard(
        &mut self,
        from: BrokerId,
        stream: StreamId,
        epoch: LeaderEpoch,
        message: FollowerMessage,
        now: Moment,
    ) {
        let Role::Leader(leading) = &mut self.role else { return };
        let follower = leading.followers.get(from);
        let current = follower.and_then(|f| f.stream()) == Some(stream);
        let is_answer = |begun| follower.is_some_and(|f| f.begun == begun);
        if let FollowerMessage::Report { durable_end } = message {
            self.outdated.note(from, durable_end);
        }
        if epoch != leading.epoch || !current {
            return;
        }
        match message {
            FollowerMessage::Ask { begun, .. } | FollowerMessage::Matched { begun, .. }
                if !is_answer(begun) => {}
            FollowerMessage::Ask { epoch, end, shared_epoch, shared_end, .. } => {
                let told = Told { last_epoch: epoch, end, shared_epoch, shared_end };
                self.asked(from, stream, told, now);
            }
            FollowerMessage::Matched { end, durable_end, last_epoch, .. } => {
                self.matched(from, stream, end, durable_end, last_epoch, now);
            }
            FollowerMessage::Report { durable_end } => match leading.followers.reported(from, durable_end) {
                Ok(()) => {
                    self.advance_committed(now);
                    self.grow_if_ready(from, now);
                    self.push_ready(from);
                }
                Err(why) => self.distrust(from, stream, &why, now),
            },
            FollowerMessage::Confirmed { number } => self.confirmed(from, number),
            FollowerMessage::Refused { cause, message, epoch } => {
                self.refused(from, stream, cause, &message, epoch, now);
            }
        }
    }

    fn asked(&mut self, from: BrokerId, stream: StreamId, told: Told, now: Moment) {
        let Role::Leader(leading) = &mut self.role else { return };
        let Some(follower) = leading.followers.get_mut(from) else { return };
        follower.silent_since = None;
        if leading.opening.is_some() {
            follower.told = Some(told);
            self.open_if_told(now);
            return;
        }
        self.answer_ask(from, stream, told.last_epoch);
    }

    fn answer_ask(&mut self, to: BrokerId, stream: StreamId, asked: LeaderEpoch) {
        let Role::Leader(leading) = &self.role else { return };
        let (epoch, end) =
            self.log.epochs.end_of(asked, self.log.end).unwrap_or((LeaderEpoch(0), self.log.start));
        let message = LeaderMessage::EpochEnd { asked, epoch, end };
        self.effects.push(Effect::Tell { to, stream, epoch: leading.epoch, message });
    }

    fn matched(
        &mut self,
        from: BrokerId,
        stream: StreamId,
        end: Offset,
        durable_end: Offset,
        last_epoch: LeaderEpoch,
        now: Moment,
    ) {
        let own_epoch = end
            .0
            .checked_sub(1)
            .and_then(|last| self.log.epochs.epoch_at(Offset(last)))
            .unwrap_or(LeaderEpoch(0));
        let Role::Leader(leading) = &mut self.role else { return };
        // Epoch 0: it holds nothing, having begun anew where its leader's log began; any log that reaches there fits.
        if end > self.log.start && own_epoch != last_epoch && last_epoch != LeaderEpoch(0) {
            let why = format!(
                "broker {from} says it matches up to {end} with a last batch of epoch {last_epoch}; ours there is of \
                 epoch {own_epoch}"
            );
            self.distrust(from, stream, &why, now);
            return;
        }
        if leading.opening.is_some() {
            // An empty follower matches without asking.
            if let Some(follower) = leading.followers.get_mut(from) {
                follower.told = Some(Told { last_epoch, end, shared_epoch: last_epoch, shared_end: end });
            }
        }
        match leading.followers.matched(from, end, durable_end, own_epoch, self.log.end) {
            Ok(()) => {
                self.advance_committed(now);
                self.open_if_told(now);
                self.grow_if_ready(from, now);
                self.push_ready(from);
                // What was committed since it was asked to begin, nobody has told it.
                self.effects.push(Effect::CommittedReady { to: from, stream });
            }
            Err(why) => self.distrust(from, stream, &why, now),
        }
    }

    /// Moves `committed_end` as far as the reports allow (N6) and answers what it passes. Outside the lease nothing
    /// moves, and nobody is answered (N12): reports and ticks try again.
    pub(super) fn advance_committed(&mut self, now: Moment) {
        let lease_holds = self.lease.holds(now);
        let Role::Leader(leading) = &mut self.role else { return };
        if leading.opening.is_some() || !lease_holds {
            return;
        }
        let me = self.me;
        let durable_end = self.log.durable_end;
        let (followers, outdated) = (&leading.followers, &self.outdated);
        let others = leading.in_sync.waited_for().filter(|&id| id != me);
        let reported = std::iter::once(me).chain(others).map(|id| {
            if id == me {
                Some(durable_end)
            } else {
                outdated.counted(id, followers.get(id).and_then(|follower| follower.durable_end()))
            }
        });
        let isr_count = leading.in_sync.committed().len();
        let reached = committed_end(self.log.committed_end, reported, isr_count, leading.min_insync);
        if reached == self.log.committed_end {
            self.answer_committed(now); // Resends that came outside the lease.
            return;
        }
        assert!(
            reached <= durable_end && reached > self.log.committed_end,
            "{}: committed end {reached} outside ({}, {durable_end}]",
            self.id,
            self.log.committed_end
        );
        self.log.committed_end = reached;
        self.answer_committed(now);
        self.trim_tail();
        self.spread_committed();
        self.effects.push(Effect::NoteCommitted(reached));
        self.effects.push(Effect::Publish);
    }

    fn answer_committed(&mut self, now: Moment) {
        let committed_end = self.log.committed_end;
        let Role::Leader(leading) = &mut self.role else { return };
        while let Some(mut pending) = leading.waiting.pop_committed(committed_end) {
            let Some(waiter) = pending.waiter.take() else { continue };
            let stored = Stored {
                base: pending.base,
                end: pending.end,
                epoch: leading.epoch,
                synced_by: Arc::clone(&leading.synced_by),
                append_time_ms: pending.append_time_ms,
                stages: pending.stages(now),
                duplicate: false,
                already_stored: false,
            };
            self.effects.push(Effect::Answer(waiter, ProduceAnswer::Stored(stored)));
        }
        for joined in leading.waiting.take_joined(committed_end) {
            let answer = duplicate_answer(leading, &joined, now);
            self.effects.push(Effect::Answer(joined.waiter, answer));
        }
    }

    fn trim_tail(&mut self) {
        let keep_from = self.log.committed_end.min(self.log.durable_end);
        let Role::Leader(leading) = &mut self.role else { return };
        while leading.tail.front().is_some_and(|batch| batch.end_offset() <= keep_from) {
            leading.tail.pop_front();
        }
    }

    pub(super) fn spread_committed(&mut self) {
        let Role::Leader(leading) = &self.role else { return };
        for (to, follower) in leading.followers.iter() {
            if let FollowerState::Matched { stream, .. } = follower.state {
                self.effects.push(Effect::CommittedReady { to, stream });
            }
        }
    }

    /// Begins with it again: only ever planted.
    pub(super) fn forget_follower(&mut self, id: BrokerId) {
        let Role::Leader(leading) = &self.role else { return };
        if let Some(stream) = leading.followers.get(id).and_then(|follower| follower.stream()) {
            self.begin_again(id, stream);
        }
    }

    pub(super) fn follower_ids(&self) -> Vec<BrokerId> {
        let Role::Leader(leading) = &self.role else { return Vec::new() };
        leading.followers.iter().map(|(id, _)| id).collect()
    }

    /// What was synced here just now may be read and pushed to followers that are further behind than memory.
    pub(super) fn push_synced(&mut self) {
        for id in self.follower_ids() {
            self.push_ready(id);
        }
    }

    /// Takes a batch into epochs, producers and the log's end, and hands it to the flusher.
    pub(super) fn accept(&mut self, batch: PlacedBatch) {
        assert_eq!(batch.base_offset(), self.log.end, "{}: a batch leaves a hole", self.id);
        let length = batch.length() as u64;
        assert!(
            length <= self.log.room_bytes,
            "{}: {length} bytes appended with room for {}",
            self.id,
            self.log.room_bytes
        );
        self.log.room_bytes -= length;
        self.log
            .epochs
            .append(batch.leader_epoch(), batch.base_offset())
            .unwrap_or_else(|error| panic!("{}: {error}", self.id));
        self.log.producers.apply(batch.header());
        self.log.end = batch.end_offset();
        self.effects.push(Effect::Append(batch));
    }
}

/// The receipt of a resend: the original's offsets.
pub(super) fn duplicate_answer<W>(leading: &Leading<W>, joined: &Joined<W>, now: Moment) -> ProduceAnswer {
    let (base, end) =
        if joined.already_stored { (Offset::ZERO, Offset::ZERO) } else { (joined.base, joined.end) };
    ProduceAnswer::Stored(Stored {
        base,
        end,
        epoch: leading.epoch,
        synced_by: Arc::clone(&leading.synced_by),
        append_time_ms: 0,
        stages: Stages { queue_us: now.micros_since(joined.arrived), ..Stages::default() },
        duplicate: true,
        already_stored: joined.already_stored,
    })
}
