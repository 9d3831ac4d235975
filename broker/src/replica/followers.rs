//! What a leader knows of its followers (N4).
//!
//! ```text
//!               stream up                    asked, answered            matched report
//!   Down ------------------> Beginning ------------------> (Ask...) ----------------------> Matched
//!    ^                          ^                                                              |
//!    |  stream down             |  gap, unknown epoch, a new stream                            |
//!    +--------------------------+--------------------------------------------------------------+
//! ```
//!
//! A position belongs to (stream, broker epoch, directory id). It starts unknown, is set by reconciliation, and never
//! exceeds what was sent or matched on this stream.

use std::collections::{BTreeMap, VecDeque};

use fidelog_log::env::Moment;
use fidelog_record::types::{BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, Offset};

use super::message::RefusalCause;

/// One stream between two brokers, numbered by the side that opened it; never reused within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// Which life of a broker: its process and its disk (N8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnate {
    /// The broker.
    pub broker: BrokerId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// Its data directory.
    pub directory: DirectoryId,
}

/// Where a follower stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowerState {
    /// No stream.
    Down,
    /// `Begin` was said on this stream; its position is unknown.
    Beginning {
        /// The stream.
        stream: StreamId,
    },
    /// Reconciled on this stream.
    Matched {
        /// The stream.
        stream: StreamId,
        /// Next offset to be pushed.
        next: Offset,
        /// Epoch of the batch before `next`; 0 when there is none.
        previous_epoch: LeaderEpoch,
        /// What it reported synced.
        durable_end: Offset,
    },
}

/// What a follower refused with, until it reports again or comes back as another life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// Why, the last time.
    pub cause: RefusalCause,
    /// How often in a row for that cause.
    pub count: u32,
}

/// What an opening leader was told of a follower's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its last epoch; 0 when it holds nothing.
    pub last_epoch: LeaderEpoch,
    /// Its end.
    pub end: Offset,
    /// Its largest epoch at or below the leader's last one; 0 when there is none.
    pub shared_epoch: LeaderEpoch,
    /// Where that ends in its log.
    pub shared_end: Offset,
}

impl Told {
    /// Whether all of a log that ends at `end`, in epoch `last_epoch`, is in the follower's, and the follower's goes on
    /// beyond it.
    #[must_use]
    pub fn extends(&self, last_epoch: LeaderEpoch, end: Offset) -> bool {
        let shares_all = self.last_epoch == last_epoch
            || self.last_epoch > last_epoch && self.shared_epoch == last_epoch && self.shared_end >= end;
        shares_all && self.end > end
    }
}

/// A follower as its leader sees it.
#[derive(Clone, Debug)]
pub struct Follower {
    /// The life this knowledge belongs to, once its stream has said hello.
    pub incarnate: Option<Incarnate>,
    /// Its state.
    pub state: FollowerState,
    /// Since when it has no stream; set while it is [`FollowerState::Down`].
    pub down_since: Moment,
    /// When it last had everything the leader had a moment before.
    pub caught_up_at: Moment,
    /// The leader's end when that was last examined.
    examined_end: Offset,
    /// What an opening leader was told.
    pub told: Option<Told>,
    /// Set while it cannot follow.
    pub refusals: Option<Refusals>,
    /// The `committed_end` it was told last.
    pub told_committed_end: Offset,
    /// The `start` it was told last.
    pub told_start: Offset,
    /// The beginning that is to be answered; 0 before the first.
    pub begun: u64,
    /// When to begin again after a refusal.
    pub retry_at: Option<Moment>,
    /// Since when, as ticks saw it, it has said nothing to a `Begin`.
    pub silent_since: Option<Moment>,
    /// What was sent and not reported synced yet: (end, bytes) in order.
    in_flight: VecDeque<(Offset, u64)>,
    in_flight_bytes: u64,
}

impl Follower {
    fn new(now: Moment) -> Self {
        Self {
            incarnate: None,
            state: FollowerState::Down,
            down_since: now,
            caught_up_at: now,
            examined_end: Offset::ZERO,
            told: None,
            refusals: None,
            told_committed_end: Offset::ZERO,
            told_start: Offset::ZERO,
            begun: 0,
            retry_at: None,
            silent_since: None,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
        }
    }

    /// Bytes sent and not reported synced yet.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes
    }

    fn forget_position(&mut self, state: FollowerState) {
        self.state = state;
        self.told = None;
        self.told_committed_end = Offset::ZERO;
        self.told_start = Offset::ZERO;
        self.retry_at = None;
        self.silent_since = None;
        self.in_flight.clear();
        self.in_flight_bytes = 0;
    }

    /// What it reported synced, on its current stream in this epoch.
    #[must_use]
    pub fn durable_end(&self) -> Option<Offset> {
        match self.state {
            FollowerState::Matched { durable_end, .. } => Some(durable_end),
            FollowerState::Down | FollowerState::Beginning { .. } => None,
        }
    }

    /// Whether its log takes nothing any more, by its own words.
    #[must_use]
    pub fn says_stopped(&self) -> bool {
        let stopped = self.refusals.is_some_and(|refusals| refusals.cause == RefusalCause::Stopped);
        stopped && matches!(self.state, FollowerState::Beginning { .. })
    }

    /// Notes a refusal; how often in a row it has refused for this cause.
    pub fn note_refusal(&mut self, cause: RefusalCause) -> u32 {
        let before = self.refusals.filter(|refusals| refusals.cause == cause);
        let count = before.map_or(0, |refusals| refusals.count).saturating_add(1);
        self.refusals = Some(Refusals { cause, count });
        count
    }

    /// Its stream, if it has one.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        match self.state {
            FollowerState::Down => None,
            FollowerState::Beginning { stream } | FollowerState::Matched { stream, .. } => Some(stream),
        }
    }
}

/// All followers of one partition.
#[derive(Clone, Debug, Default)]
pub struct Followers {
    by_id: BTreeMap<BrokerId, Follower>,
    /// Beginnings so far, with all of them: no two have the same number, whoever came and went.
    begins: u64,
}

impl Followers {
    /// Knowledge of these followers, all unknown and down since `now`.
    #[must_use]
    pub fn new(ids: impl IntoIterator<Item = BrokerId>, now: Moment) -> Self {
        Self { by_id: ids.into_iter().map(|id| (id, Follower::new(now))).collect(), begins: 0 }
    }

    /// The follower, when it is one.
    #[must_use]
    pub fn get(&self, id: BrokerId) -> Option<&Follower> {
        self.by_id.get(&id)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, id: BrokerId) -> Option<&mut Follower> {
        self.by_id.get_mut(&id)
    }

    /// All, by id.
    pub fn iter(&self) -> impl Iterator<Item = (BrokerId, &Follower)> {
        self.by_id.iter().map(|(&id, follower)| (id, follower))
    }

    /// All, by id, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (BrokerId, &mut Follower)> {
        self.by_id.iter_mut().map(|(&id, follower)| (id, follower))
    }

    /// Keeps only these followers and adds the missing ones.
    pub fn retain(&mut self, ids: &[BrokerId], now: Moment) {
        self.by_id.retain(|id, _| ids.contains(id));
        for &id in ids {
            self.by_id.entry(id).or_insert_with(|| Follower::new(now));
        }
    }

    /// A stream to the follower is there: forget its position, begin anew on it.
    pub fn begin(&mut self, stream: StreamId, incarnate: Incarnate) {
        if let Some(follower) = self.by_id.get_mut(&incarnate.broker) {
            if follower.incarnate.replace(incarnate) != Some(incarnate) {
                follower.refusals = None;
            }
            follower.forget_position(FollowerState::Beginning { stream });
            self.begins += 1;
            follower.begun = self.begins;
        }
    }

    /// Its copy is another one by now, and empty.
    pub fn forget(&mut self, id: BrokerId, now: Moment) {
        if let Some(follower) = self.by_id.get_mut(&id) {
            follower.forget_position(FollowerState::Down);
            follower.down_since = now;
        }
    }

    /// The stream ended. Ignored when the follower is on another one by now.
    pub fn down(&mut self, id: BrokerId, stream: StreamId, now: Moment) {
        if let Some(follower) = self.by_id.get_mut(&id)
            && follower.stream() == Some(stream)
        {
            follower.forget_position(FollowerState::Down);
            follower.down_since = now;
        }
    }

    /// The follower is reconciled up to `end`.
    ///
    /// # Errors
    /// A sentence, when it claims more than the leader has: its report is not believed.
    pub fn matched(
        &mut self,
        id: BrokerId,
        end: Offset,
        durable_end: Offset,
        last_epoch: LeaderEpoch,
        leader_end: Offset,
    ) -> Result<(), String> {
        let Some(follower) = self.by_id.get_mut(&id) else { return Ok(()) };
        let FollowerState::Beginning { stream } = follower.state else {
            return Err(format!("broker {id} says it is matched, which nobody asked it"));
        };
        if durable_end > end || end > leader_end {
            return Err(format!(
                "broker {id} claims to match up to {end}, synced up to {durable_end}; the leader ends at {leader_end}"
            ));
        }
        follower.state =
            FollowerState::Matched { stream, next: end, previous_epoch: last_epoch, durable_end };
        Ok(())
    }

    /// Batches up to `end` were sent on the follower's stream.
    ///
    /// # Panics
    /// When they do not follow what was sent before: a hole would be a bug here.
    pub fn sent(&mut self, id: BrokerId, base: Offset, end: Offset, last_epoch: LeaderEpoch, bytes: u64) {
        let Some(follower) = self.by_id.get_mut(&id) else { return };
        let FollowerState::Matched { next, previous_epoch, .. } = &mut follower.state else { return };
        assert_eq!(*next, base, "batches sent to broker {id} leave a hole");
        *next = end;
        *previous_epoch = last_epoch;
        follower.in_flight.push_back((end, bytes));
        follower.in_flight_bytes += bytes;
    }

    /// The follower reports `durable_end`.
    ///
    /// # Errors
    /// A sentence, when that is beyond what was sent or matched on this stream (N4), or goes back.
    pub fn reported(&mut self, id: BrokerId, reported: Offset) -> Result<(), String> {
        let Some(follower) = self.by_id.get_mut(&id) else { return Ok(()) };
        let FollowerState::Matched { next, durable_end, .. } = &mut follower.state else {
            return Err(format!("broker {id} reports {reported} before it was matched"));
        };
        if reported > *next || reported < *durable_end {
            return Err(format!(
                "broker {id} reports {reported} synced; it had reported {durable_end} and was sent up to {next}"
            ));
        }
        *durable_end = reported;
        follower.refusals = None;
        while let Some(&(end, bytes)) = follower.in_flight.front()
            && end <= reported
        {
            follower.in_flight.pop_front();
            follower.in_flight_bytes -= bytes;
        }
        Ok(())
    }

    /// Examines who has caught up; called at every tick with the leader's end.
    pub fn examine(&mut self, leader_end: Offset, now: Moment) {
        for follower in self.by_id.values_mut() {
            if follower.durable_end().is_some_and(|end| end >= follower.examined_end) {
                follower.caught_up_at = now;
            }
            follower.examined_end = leader_end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: BrokerId = BrokerId(2);

    fn matched_at(end: u64) -> Followers {
        let mut followers = Followers::new([TWO], Moment::default());
        let incarnate = Incarnate { broker: TWO, epoch: BrokerEpoch(1), directory: DirectoryId::NIL };
        followers.begin(StreamId(1), incarnate);
        followers.matched(TWO, Offset(end), Offset(end), LeaderEpoch(1), Offset(100)).unwrap();
        followers
    }

    #[test]
    fn a_report_beyond_what_was_sent_is_not_believed() {
        let mut followers = matched_at(10);
        assert!(followers.reported(TWO, Offset(11)).is_err());
        followers.sent(TWO, Offset(10), Offset(20), LeaderEpoch(1), 100);
        followers.reported(TWO, Offset(20)).unwrap();
        assert_eq!(followers.get(TWO).unwrap().durable_end(), Some(Offset(20)));
    }

    #[test]
    fn a_position_ends_with_its_stream() {
        let mut followers = matched_at(10);
        followers.down(TWO, StreamId(2), Moment::default());
        assert_eq!(followers.get(TWO).unwrap().durable_end(), Some(Offset(10)), "another stream's end");
        followers.down(TWO, StreamId(1), Moment::default());
        assert_eq!(followers.get(TWO).unwrap().durable_end(), None);
    }

    #[test]
    fn a_match_beyond_the_leaders_end_is_not_believed() {
        let mut followers = Followers::new([TWO], Moment::default());
        let incarnate = Incarnate { broker: TWO, epoch: BrokerEpoch(1), directory: DirectoryId::NIL };
        followers.begin(StreamId(1), incarnate);
        assert!(followers.matched(TWO, Offset(9), Offset(9), LeaderEpoch(1), Offset(8)).is_err());
    }
}
