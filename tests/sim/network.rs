//! The network: links between machines, which may be cut either way, and streams on them, which keep order, delay as they
//! like, break, and may still deliver a part of what is on its way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fidelog_broker::replica::message::{FollowerMessage, LeaderMessage};
use fidelog_broker::replica::{Incarnate, StreamId};
use fidelog_log::env::Moment;
use fidelog_record::types::{LeaderEpoch, TopicPartition};

/// Which of the two streams between a leading and a following broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    Live,
    CatchUp,
}

/// Which way a parcel goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToFollower,
    ToLeader,
}

/// A message of one partition, or the end of the stream.
#[derive(Debug)]
pub(crate) enum Parcel<M> {
    Message(TopicPartition, LeaderEpoch, M),
    End,
}

/// One direction of a stream.
#[derive(Debug)]
pub(crate) struct Pipe<M> {
    queue: VecDeque<(Moment, Parcel<M>)>,
    last: Moment,
    /// Its first parcel could not pass the link.
    pub(crate) held: bool,
    /// What is said on it takes so much longer, microseconds.
    pub(crate) slow_micros: u64,
}

impl<M> Default for Pipe<M> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), last: Moment::default(), held: false, slow_micros: 0 }
    }
}

impl<M> Pipe<M> {
    /// Puts a parcel on its way; when it arrives.
    pub(crate) fn send(&mut self, parcel: Parcel<M>, earliest: Moment) -> Moment {
        self.last = self.last.max(earliest);
        self.queue.push_back((self.last, parcel));
        self.last
    }

    /// The first parcel, if it has arrived by `now`.
    pub(crate) fn take(&mut self, now: Moment) -> Option<Parcel<M>> {
        if self.queue.front()?.0 > now {
            return None;
        }
        self.queue.pop_front().map(|(_, parcel)| parcel)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Keeps only the first `count` parcels.
    pub(crate) fn keep(&mut self, count: usize) {
        self.queue.truncate(count);
    }
}

/// A stream that one broker opened to speak as a leader to another.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) from: usize,
    pub(crate) from_life: u64,
    pub(crate) to: usize,
    pub(crate) to_life: u64,
    pub(crate) lane: Lane,
    /// Who answered when it was opened.
    pub(crate) incarnate: Incarnate,
    /// The leading side has heard the answer.
    pub(crate) up: bool,
    /// It takes nothing more.
    pub(crate) broken: bool,
    pub(crate) to_follower: Pipe<LeaderMessage>,
    pub(crate) to_leader: Pipe<FollowerMessage>,
    /// Partitions to be asked for pushes.
    pub(crate) ready: BTreeSet<TopicPartition>,
    pub(crate) serve_due: bool,
    /// Partitions whose committed end is to be spread.
    pub(crate) committed: BTreeSet<TopicPartition>,
    pub(crate) spread_due: bool,
    /// Partitions that are being read for.
    pub(crate) reading: BTreeSet<TopicPartition>,
}

/// All streams, and which links are cut.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) streams: BTreeMap<StreamId, Stream>,
    next_id: u64,
    /// Links by (from, to), with how many troubles cut each.
    cut: BTreeMap<(usize, usize), usize>,
}

impl Network {
    pub(crate) fn open(
        &mut self,
        from: (usize, u64),
        to: (usize, u64),
        lane: Lane,
        incarnate: Incarnate,
    ) -> StreamId {
        self.next_id += 1;
        let id = StreamId(self.next_id);
        let stream = Stream {
            from: from.0,
            from_life: from.1,
            to: to.0,
            to_life: to.1,
            lane,
            incarnate,
            up: false,
            broken: false,
            to_follower: Pipe::default(),
            to_leader: Pipe::default(),
            ready: BTreeSet::new(),
            serve_due: false,
            committed: BTreeSet::new(),
            spread_due: false,
            reading: BTreeSet::new(),
        };
        self.streams.insert(id, stream);
        id
    }

    /// The stream of this lane that `from` may use now.
    pub(crate) fn up(&self, from: usize, to: usize, lane: Lane) -> Option<(StreamId, Incarnate)> {
        let is_it = |it: &Stream| (it.from, it.to) == (from, to) && it.lane == lane && it.up && !it.broken;
        self.streams.iter().find(|(_, stream)| is_it(stream)).map(|(&id, stream)| (id, stream.incarnate))
    }

    /// The live streams that `from` may use now.
    pub(crate) fn live(&self, from: usize) -> Vec<(StreamId, Incarnate)> {
        let is_it = |it: &&Stream| it.from == from && it.lane == Lane::Live && it.up && !it.broken;
        self.streams.iter().filter(|(_, it)| is_it(it)).map(|(&id, stream)| (id, stream.incarnate)).collect()
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains_key(&(from, to))
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        *self.cut.entry((from, to)).or_default() += 1;
    }

    pub(crate) fn mend(&mut self, from: usize, to: usize) {
        if let Some(count) = self.cut.get_mut(&(from, to)) {
            *count -= 1;
            if *count == 0 {
                self.cut.remove(&(from, to));
            }
        }
    }

    pub(crate) fn mend_all(&mut self) {
        self.cut.clear();
    }

    /// Pipes with something held whose link is whole again.
    pub(crate) fn freed(&mut self) -> Vec<(StreamId, Way)> {
        let cut = &self.cut;
        let mut freed = Vec::new();
        for (&id, stream) in &mut self.streams {
            if stream.to_follower.held && !cut.contains_key(&(stream.from, stream.to)) {
                stream.to_follower.held = false;
                freed.push((id, Way::ToFollower));
            }
            if stream.to_leader.held && !cut.contains_key(&(stream.to, stream.from)) {
                stream.to_leader.held = false;
                freed.push((id, Way::ToLeader));
            }
        }
        freed
    }

    /// The streams with an end at this machine.
    pub(crate) fn of(&self, broker: usize) -> Vec<StreamId> {
        let touched = |it: &&Stream| it.from == broker || it.to == broker;
        self.streams.iter().filter(|(_, it)| touched(it)).map(|(&id, _)| id).collect()
    }
}

/// `micros` after `now`.
pub(crate) fn later(now: Moment, micros: u64) -> Moment {
    now.plus(Duration::from_micros(micros))
}
