//! A follower's steps: reconcile on every stream, append what follows, report what is synced (N2, N3, N5).

use std::collections::VecDeque;

use fidelog_log::env::planted::{Planted, is_planted};
use fidelog_record::PlacedBatch;
use fidelog_record::types::{LeaderEpoch, Offset};

mod reconciling;
mod refilling;
mod soundness;

use super::effect::Effect;
use super::machine::{Machine, Role};
use crate::replica::message::{FollowerMessage, LeaderMessage, Push, RefusalCause};
use crate::replica::{Reconciliation, StreamId};

/// What a follower knows of its leader's stream.
#[derive(Debug, Default)]
pub struct Following {
    stream: Option<(StreamId, LeaderEpoch)>,
    /// The number of the beginning on it.
    begun: u64,
    phase: Phase,
    /// What was reported last on this stream, once it is matched.
    reported: Offset,
    /// The leader's committed end, as last heard on this stream.
    heard_committed_end: Offset,
    /// The leader's start.
    heard_start: Offset,
    /// Epoch of the leader's last batch when it began.
    leader_last_epoch: LeaderEpoch,
    /// People have heard that it would have to cut below what is committed.
    alarmed: bool,
    /// The start the log was asked to advance to.
    asked_start: Offset,
    /// Batches that fit and have no room in the log yet.
    parked: VecDeque<PlacedBatch>,
    parked_bytes: u64,
    /// What was handed to the log and is not synced: (end, bytes) in order.
    unsynced: VecDeque<(Offset, u64)>,
    unsynced_bytes: u64,
}

/// How far a follower is on its stream.
#[derive(Debug, Default)]
enum Phase {
    /// No stream, or refused on it.
    #[default]
    Apart,
    /// Asking where the logs part.
    Asking(Reconciliation),
    /// Waits for the leader's memory of producers below this offset: then it begins anew there.
    Fetching(Offset),
    /// Waits for [`Machine::cutting`] to be done; then it is matched.
    Cutting,
    /// A prefix of the leader's log.
    Matched,
}

/// A durable step on its way: it outlives the role and the epoch that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cutting {
    /// The end moves back.
    End,
    /// The log begins anew, empty.
    StartOver,
}

impl Following {
    fn unpark_all(&mut self) {
        self.parked.clear();
        self.parked_bytes = 0;
    }

    fn park(&mut self, batches: Vec<PlacedBatch>) {
        self.parked_bytes += batches.iter().map(|batch| batch.length() as u64).sum::<u64>();
        self.parked.extend(batches);
    }

    fn synced(&mut self, durable_end: Offset) {
        while let Some(&(end, bytes)) = self.unsynced.front()
            && end <= durable_end
        {
            self.unsynced.pop_front();
            self.unsynced_bytes -= bytes;
        }
    }

    pub(super) fn refuse_stopped<W>(&self, why: &str) -> Option<Effect<W>> {
        let (stream, epoch) = self.stream?;
        let message =
            FollowerMessage::Refused { cause: RefusalCause::Stopped, message: why.to_owned(), epoch };
        Some(Effect::Reply { stream, epoch, message })
    }
}

impl<W> Machine<W> {
    /// Bytes taken from a leader that are not synced here.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        let Role::Follower(following) = &self.role else { return 0 };
        following.parked_bytes + following.unsynced_bytes
    }

    /// The leader speaks, on `stream`, in `epoch`.
    pub fn led(&mut self, stream: StreamId, epoch: LeaderEpoch, message: LeaderMessage) {
        if let LeaderMessage::Confirm { number } = message {
            // Whoever cannot confirm is silent: a refusal would end the replication on that stream.
            if self.may_follow(epoch).is_ok() {
                let message = FollowerMessage::Confirmed { number };
                self.effects.push(Effect::Reply { stream, epoch, message });
            }
            return;
        }
        if let Err((cause, message)) = self.may_follow(epoch) {
            self.refuse(stream, epoch, cause, message);
            return;
        }
        if let LeaderMessage::Begin { number, start, committed_end, last_epoch } = message {
            self.begin((stream, epoch), number, (start, committed_end, last_epoch));
            return;
        }
        let Role::Follower(following) = &mut self.role else { return };
        if following.stream != Some((stream, epoch)) {
            // Whichever of the two streams the leader believes in, it hears of this and begins again; silence would
            // mute the partition when a late `Begin` of a stream that is over was the last to arrive.
            let message = format!("{}: the partition follows another stream, or none", self.id);
            self.refuse(stream, epoch, RefusalCause::Gap, message);
            return;
        }
        match message {
            LeaderMessage::Begin { .. } | LeaderMessage::Confirm { .. } => unreachable!("handled above"),
            LeaderMessage::EpochEnd { asked, epoch, end } => self.epoch_end((asked, epoch, end)),
            LeaderMessage::Push(push) => self.pushed(push),
            LeaderMessage::Committed { start, committed_end } => self.hear(start, committed_end),
        }
    }

    /// The stream on which a leader spoke ended: what follows comes on another one, after a new beginning.
    pub fn leader_stream_down(&mut self, stream: StreamId) {
        if let Role::Follower(following) = &mut self.role
            && following.stream.is_some_and(|(current, _)| current == stream)
        {
            following.stream = None;
            following.phase = Phase::Apart;
            following.unpark_all();
        }
    }

    fn may_follow(&self, epoch: LeaderEpoch) -> Result<(), (RefusalCause, String)> {
        if let Role::Stopped(why) = &self.role {
            return Err((RefusalCause::Stopped, why.clone()));
        }
        let Some(seen) = &self.assignment else {
            return Err((RefusalCause::NotAReplica, format!("{}: no entry known yet", self.id)));
        };
        if epoch < seen.leader_epoch {
            let message = format!("epoch {epoch} is over; epoch {} was seen", seen.leader_epoch);
            return Err((RefusalCause::Fenced, message));
        }
        if epoch > seen.leader_epoch {
            let message = format!("epoch {epoch} is not known yet; {} is", seen.leader_epoch);
            return Err((RefusalCause::UnknownEpoch, message));
        }
        if !matches!(self.role, Role::Follower(_)) {
            return Err((RefusalCause::NotAReplica, format!("{}: this broker does not follow", self.id)));
        }
        Ok(())
    }

    fn refuse(&mut self, stream: StreamId, epoch: LeaderEpoch, cause: RefusalCause, message: String) {
        if let Role::Follower(following) = &mut self.role
            && following.stream == Some((stream, epoch))
            && !matches!(following.phase, Phase::Cutting)
        {
            following.phase = Phase::Apart;
            following.unpark_all();
        }
        let seen = self.assignment.as_ref().map_or(LeaderEpoch(0), |seen| seen.leader_epoch);
        let message = FollowerMessage::Refused { cause, message, epoch: seen };
        self.effects.push(Effect::Reply { stream, epoch, message });
    }

    fn reply(&mut self, message: FollowerMessage) {
        let Role::Follower(Following { stream: Some((stream, epoch)), .. }) = self.role else { return };
        self.effects.push(Effect::Reply { stream, epoch, message });
    }

    fn pushed(&mut self, push: Push) {
        let Role::Follower(following) = &mut self.role else { return };
        if !matches!(following.phase, Phase::Matched) {
            return; // Sent before our refusal arrived.
        }
        let (own_end, own_epoch) =
            following.parked.back().map_or((self.log.end, self.log.epochs.last_epoch()), |last| {
                (last.end_offset(), last.leader_epoch())
            });
        if push.previous_end != own_end || (own_end > self.log.start && push.previous_epoch != own_epoch) {
            let message = format!(
                "{}: a push after {} of epoch {} does not follow our end {own_end} of epoch {own_epoch}",
                self.id, push.previous_end, push.previous_epoch
            );
            if let Some((stream, epoch)) = following.stream {
                self.refuse(stream, epoch, RefusalCause::Gap, message);
            }
            return;
        }
        following.park(push.batches);
        self.append_parked();
        if is_planted(Planted::AckBeforeFollowersSync) {
            self.report_durable();
        }
        self.hear(push.start, push.committed_end);
    }

    /// Appends what was pushed, as far as there is room.
    pub(super) fn append_parked(&mut self) {
        loop {
            let Role::Follower(following) = &mut self.role else { return };
            let Some(batch) = following.parked.front() else { return };
            let length = batch.length() as u64;
            if length > self.log.room_bytes {
                let wanted = following.parked_bytes;
                self.ask_room(wanted);
                return;
            }
            let Some(batch) = following.parked.pop_front() else { return };
            following.parked_bytes -= length;
            if batch.base_offset() != self.log.end || batch.leader_epoch() < self.log.epochs.last_epoch() {
                let message = format!(
                    "{}: a pushed batch at {} of epoch {} does not follow our end {} of epoch {}",
                    self.id,
                    batch.base_offset(),
                    batch.leader_epoch(),
                    self.log.end,
                    self.log.epochs.last_epoch()
                );
                if let Some((stream, epoch)) = following.stream {
                    self.refuse(stream, epoch, RefusalCause::Gap, message);
                }
                return;
            }
            following.unsynced.push_back((batch.end_offset(), length));
            following.unsynced_bytes += length;
            self.accept(batch);
        }
    }

    pub(super) fn no_room(&mut self, why: &str) {
        let Role::Follower(Following { stream: Some((stream, epoch)), .. }) = self.role else { return };
        self.refuse(stream, epoch, RefusalCause::DiskFull, why.to_owned());
    }

    pub(super) fn report_durable(&mut self) {
        let durable_end = match is_planted(Planted::AckBeforeFollowersSync) {
            true => self.log.end,
            false => self.log.durable_end,
        };
        if let Role::Follower(following) = &mut self.role {
            following.synced(durable_end);
        }
        self.report_sound();
        self.hear_committed();
    }

    fn hear(&mut self, start: Offset, committed_end: Offset) {
        if let Role::Follower(following) = &mut self.role {
            following.heard_committed_end = following.heard_committed_end.max(committed_end);
            following.heard_start = following.heard_start.max(start);
        }
        self.hear_committed();
    }

    /// Adopts the smaller of what was heard and what is matched and synced here (N5); drops what the leader dropped
    /// (N15).
    fn hear_committed(&mut self) {
        let Role::Follower(Following { phase: Phase::Matched, heard_committed_end, heard_start, .. }) =
            self.role
        else {
            return;
        };
        let reached = heard_committed_end.min(self.log.durable_end);
        if reached > self.log.committed_end {
            self.log.committed_end = reached;
            self.effects.push(Effect::NoteCommitted(reached));
            self.effects.push(Effect::Publish);
            if !self.damage.is_empty() {
                self.report_sound();
            }
        }
        let start = heard_start.min(self.log.committed_end);
        if let Role::Follower(following) = &mut self.role
            && start > self.log.start.max(following.asked_start)
        {
            following.asked_start = start;
            self.effects.push(Effect::AdvanceStart(start));
        }
    }

    /// Whether the log was asked to advance its start and has not: a full disk may have refused it.
    pub(super) fn start_is_due(&self) -> bool {
        matches!(&self.role, Role::Follower(following) if following.asked_start > self.log.start)
    }

    /// Asks once more for what [`Self::start_is_due`] says.
    pub(super) fn ask_start_again(&mut self) {
        if !self.start_is_due() {
            return;
        }
        if let Role::Follower(following) = &mut self.role {
            following.asked_start = Offset::ZERO;
        }
        self.hear_committed();
    }
}
