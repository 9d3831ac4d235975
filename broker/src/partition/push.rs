//! What a leader pushes next to a follower (N2). The sender of a stream asks; the machine hands out batches from
//! memory, or says which part of the log must be read for a follower that is further behind.

use fidelog_record::PlacedBatch;
use fidelog_record::types::{BrokerId, LeaderEpoch, Offset};

use super::effect::Effect;
use super::machine::{Machine, Role};
use crate::replica::message::{LeaderMessage, Push};
use crate::replica::{Follower, FollowerState, StreamId};

/// The next thing for a follower's stream.
#[derive(Debug)]
pub enum NextPush {
    /// Nothing now: it has everything, its credit is used up, or its stream is another one.
    Nothing,
    /// Batches from memory; they count as sent.
    Send(LeaderEpoch, LeaderMessage),
    /// It is behind what memory holds: read from `from`, never at or past `below`, then call `read_for_push`.
    Read {
        /// First offset wanted.
        from: Offset,
        /// Synced on the leader up to here.
        below: Offset,
        /// The epoch this belongs to.
        epoch: LeaderEpoch,
    },
}

impl<W> Machine<W> {
    /// From where to where a follower wants batches; `None` when it is not matched.
    #[must_use]
    pub fn push_range(&self, to: BrokerId) -> Option<(Offset, Offset)> {
        let Role::Leader(leading) = &self.role else { return None };
        match leading.followers.get(to)?.state {
            FollowerState::Matched { next, .. } => Some((next, self.log.end)),
            FollowerState::Down | FollowerState::Beginning { .. } => None,
        }
    }

    /// Bytes sent to `to` on `stream` and not reported synced; nothing once that position is forgotten.
    #[must_use]
    pub fn in_flight_bytes(&self, to: BrokerId, stream: StreamId) -> u64 {
        let Role::Leader(leading) = &self.role else { return 0 };
        let on_stream = leading.followers.get(to).filter(|follower| follower.stream() == Some(stream));
        on_stream.map_or(0, Follower::in_flight_bytes)
    }

    /// The next batches for `to` on `stream`, about `bytes_max` of them and at least one.
    pub fn next_push(&mut self, to: BrokerId, stream: StreamId, bytes_max: u64) -> NextPush {
        let end = self.log.end;
        let credit = self.limits.follower_credit_bytes;
        let Role::Leader(leading) = &mut self.role else { return NextPush::Nothing };
        if leading.opening.is_some() {
            return NextPush::Nothing;
        }
        let Some(follower) = leading.followers.get(to) else { return NextPush::Nothing };
        let FollowerState::Matched { stream: current, next, previous_epoch, .. } = follower.state else {
            return NextPush::Nothing;
        };
        if current != stream || next == end || follower.in_flight_bytes() >= credit {
            return NextPush::Nothing;
        }
        if next < self.log.start {
            // Retention passed it: it must begin anew, and learns where.
            self.begin_again(to, stream);
            return NextPush::Nothing;
        }
        if next < leading.tail_base(end) {
            let (below, epoch) = (self.log.durable_end, leading.epoch);
            return if next < below {
                NextPush::Read { from: next, below, epoch }
            } else {
                NextPush::Nothing
            };
        }
        let index = leading.tail.partition_point(|batch| batch.base_offset() < next);
        let mut bytes = 0;
        let mut batches = Vec::new();
        for batch in leading.tail.range(index..) {
            let length = batch.length() as u64;
            if !batches.is_empty() && bytes + length > bytes_max {
                break;
            }
            bytes += length;
            batches.push(batch.clone());
        }
        self.send(to, batches, next, previous_epoch, bytes)
    }

    /// What was read for [`NextPush::Read`]: whole batches from `from` on. Ignored when the follower moved meanwhile.
    pub fn read_for_push(
        &mut self,
        to: BrokerId,
        stream: StreamId,
        epoch: LeaderEpoch,
        batches: Vec<PlacedBatch>,
    ) -> NextPush {
        let Role::Leader(leading) = &self.role else { return NextPush::Nothing };
        let Some(FollowerState::Matched { stream: current, next, previous_epoch, .. }) =
            leading.followers.get(to).map(|follower| follower.state)
        else {
            return NextPush::Nothing;
        };
        let fits = batches.first().is_some_and(|batch| batch.base_offset() == next);
        if leading.epoch != epoch || current != stream || !fits {
            return NextPush::Nothing;
        }
        let bytes = batches.iter().map(|batch| batch.length() as u64).sum();
        self.send(to, batches, next, previous_epoch, bytes)
    }

    fn send(
        &mut self,
        to: BrokerId,
        batches: Vec<PlacedBatch>,
        previous_end: Offset,
        previous_epoch: LeaderEpoch,
        bytes: u64,
    ) -> NextPush {
        let (start, committed_end) = (self.log.start, self.log.committed_end);
        let Role::Leader(leading) = &mut self.role else { return NextPush::Nothing };
        let Some(last) = batches.last() else { return NextPush::Nothing };
        leading.followers.sent(to, previous_end, last.end_offset(), last.leader_epoch(), bytes);
        if let Some(follower) = leading.followers.get_mut(to) {
            (follower.told_committed_end, follower.told_start) = (committed_end, start);
        }
        let push = Push { previous_epoch, previous_end, start, committed_end, batches };
        NextPush::Send(leading.epoch, LeaderMessage::Push(push))
    }

    /// The committed end and the start, for a follower that has not heard of them in a push.
    pub fn next_committed(&mut self, to: BrokerId, stream: StreamId) -> Option<(LeaderEpoch, LeaderMessage)> {
        let (start, committed_end) = (self.log.start, self.log.committed_end);
        let Role::Leader(leading) = &mut self.role else { return None };
        let epoch = leading.epoch;
        let follower = leading.followers.get_mut(to)?;
        let matched =
            matches!(follower.state, FollowerState::Matched { stream: current, .. } if current == stream);
        if !matched || follower.told_committed_end >= committed_end && follower.told_start >= start {
            return None;
        }
        (follower.told_committed_end, follower.told_start) = (committed_end, start);
        Some((epoch, LeaderMessage::Committed { start, committed_end }))
    }

    /// Says that a follower wants batches, when it does.
    pub(super) fn push_ready(&mut self, to: BrokerId) {
        let end = self.log.end;
        let Role::Leader(leading) = &self.role else { return };
        if let Some(FollowerState::Matched { stream, next, .. }) =
            leading.followers.get(to).map(|follower| follower.state)
            && next < end
        {
            self.effects.push(Effect::PushReady { to, stream });
        }
    }
}
