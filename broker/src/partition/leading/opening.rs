//! How a leader whose former process stopped uncleanly opens its epoch: it hears what its followers hold, copies what it
//! lacks, and shrinks nothing until then.

use fidelog_log::env::Moment;
use fidelog_record::PlacedBatch;
use fidelog_record::types::BrokerId;

use crate::partition::effect::Effect;
use crate::partition::machine::{Machine, Role};
use crate::replica::FollowerState;

/// A leader that may not take anything yet: its former process did not stop cleanly, and it must first learn what
/// its followers hold; or a cut it began as a follower is not done.
#[derive(Clone, Copy, Debug)]
pub(in crate::partition) struct Opening {
    pub(super) since: Moment,
    /// Whether it waits to be told; otherwise only for the cut.
    pub(super) unclean: bool,
    pub(super) copying: bool,
}

impl<W> Machine<W> {
    /// Opens the epoch once every living in-sync member has adopted it and told its end, at least one of them; what
    /// one holds beyond us in the last common epoch is copied first.
    pub(in crate::partition) fn open_if_told(&mut self, now: Moment) {
        let down_ms_max = self.limits.replica_down_ms_max;
        let me = self.me;
        let Role::Leader(leading) = &mut self.role else { return };
        let Some(opening) = leading.opening else { return };
        if opening.copying || self.cutting.is_some() {
            return;
        }
        let alone = leading.in_sync.committed().iter().all(|&id| id == me);
        if !opening.unclean || alone {
            self.open(now);
            return;
        }
        let waited = now.micros_since(opening.since) >= down_ms_max * 1000;
        let members = leading.in_sync.committed().iter().copied().filter(|&id| id != me);
        let mut told = Vec::new();
        for id in members {
            let Some(follower) = leading.followers.get(id) else { return };
            match (follower.told, follower.stream()) {
                (Some(tail), Some(_)) => told.push((id, tail)),
                (None, None) if waited => {} // It does not live.
                (None, Some(_)) if waited && follower.says_stopped() => {} // Nor does its log.
                _ => return,
            }
        }
        if told.is_empty() {
            return;
        }
        let (own_epoch, own_end) = (self.log.epochs.last_epoch(), self.log.end);
        let beyond = told.iter().filter(|(_, tail)| tail.extends(own_epoch, own_end));
        if let Some((from, tail)) = beyond.max_by_key(|(_, tail)| (tail.last_epoch, tail.end)) {
            leading.opening = Some(Opening { copying: true, ..opening });
            let (from, start, end, epoch) = (*from, own_end, tail.end, leading.epoch);
            self.effects.push(Effect::ReadTail { from, start, end, epoch });
            return;
        }
        if self.log.durable_end < self.log.end {
            return; // What was copied is not synced yet.
        }
        self.open(now);
    }

    fn open(&mut self, now: Moment) {
        let Role::Leader(leading) = &mut self.role else { return };
        leading.opening = None;
        leading.epoch_start = self.log.end;
        self.unclean = false;
        let asks: Vec<_> = leading
            .followers
            .iter()
            .filter(|(_, follower)| matches!(follower.state, FollowerState::Beginning { .. }))
            .filter_map(|(id, follower)| Some((id, follower.stream()?, follower.told?.last_epoch)))
            .collect();
        for (id, stream, asked) in asks {
            self.answer_ask(id, stream, asked);
        }
        // Whoever was matched meanwhile, with an empty log, was sent nothing.
        let matched: Vec<_> = self.follower_ids();
        for id in matched {
            self.push_ready(id);
        }
        self.advance_committed(now);
        self.effects.push(Effect::Publish);
    }

    /// Batches a follower held beyond us: appended as they are, under the epoch they carry, once there is room.
    ///
    /// # Errors
    /// A sentence, when they do not continue our log; nothing is appended then.
    pub fn tail_copied(&mut self, batches: Vec<PlacedBatch>, now: Moment) -> Result<(), String> {
        let (own_end, mut epoch) = (self.log.end, self.log.epochs.last_epoch());
        let Role::Leader(leading) = &mut self.role else { return Ok(()) };
        if leading.opening.is_none_or(|opening| !opening.copying) {
            return Ok(());
        }
        if batches.is_empty() {
            return Err(format!("{}: nothing was copied beyond our end {own_end}", self.id));
        }
        let mut end = own_end;
        for batch in &batches {
            let follows = epoch <= batch.leader_epoch() && batch.leader_epoch() < leading.epoch;
            if batch.base_offset() != end || !follows {
                return Err(format!(
                    "{}: a copied batch at {} of epoch {} does not continue our end {end} of epoch {epoch}",
                    self.id,
                    batch.base_offset(),
                    batch.leader_epoch(),
                ));
            }
            (end, epoch) = (batch.end_offset(), batch.leader_epoch());
        }
        leading.copied = batches;
        self.append_copied(now);
        Ok(())
    }

    pub(in crate::partition) fn append_copied(&mut self, now: Moment) {
        let Role::Leader(leading) = &mut self.role else { return };
        let bytes: u64 = leading.copied.iter().map(|batch| batch.length() as u64).sum();
        if bytes > self.log.room_bytes {
            self.ask_room(bytes);
            return;
        }
        let copied = std::mem::take(&mut leading.copied);
        if let Some(opening) = &mut leading.opening {
            opening.copying = false;
        }
        for batch in copied {
            self.accept(batch);
        }
        self.open_if_told(now);
    }

    /// The copy could not be had; it is tried again when the follower tells its end anew.
    pub fn tail_not_copied(&mut self, from: BrokerId, now: Moment) {
        let Role::Leader(leading) = &mut self.role else { return };
        if let Some(opening) = &mut leading.opening {
            opening.copying = false;
        }
        if let Some(stream) = leading.followers.get(from).and_then(|follower| follower.stream()) {
            self.begin_later(from, stream, now);
        }
    }

    /// There is no room for what was copied: every follower is asked anew, later.
    pub(in crate::partition) fn copy_again(&mut self, now: Moment) {
        let Role::Leader(leading) = &mut self.role else { return };
        if std::mem::take(&mut leading.copied).is_empty() {
            return;
        }
        for id in self.follower_ids() {
            self.tail_not_copied(id, now);
        }
    }
}
