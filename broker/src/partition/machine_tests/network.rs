//! The streams between brokers: each keeps order and delays as it likes. Between two brokers there are two lanes, and a
//! stream that broke may still hand its follower what is on its way, long after its successor is up.

use std::collections::{BTreeMap, VecDeque};

use fidelog_record::types::LeaderEpoch;

use crate::replica::StreamId;
use crate::replica::message::{FollowerMessage, LeaderMessage};

/// Which of the two streams between a leading and a following broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Live,
    CatchUp,
}

/// A stream that one broker opened to speak as a leader to another.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) lane: Lane,
    /// What its follower says does not arrive for now.
    pub(super) stalled: bool,
    /// It takes nothing more; what it holds may still arrive.
    pub(super) broken: bool,
    pub(super) to_follower: VecDeque<(LeaderEpoch, LeaderMessage)>,
    pub(super) to_leader: VecDeque<(LeaderEpoch, FollowerMessage)>,
    /// The sender is to look for something to push.
    pub(super) push_ready: bool,
    /// The sender is to look for a committed end to tell.
    pub(super) committed_ready: bool,
}

/// All streams, as brokers by index.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) streams: BTreeMap<StreamId, Stream>,
    next_id: u64,
    /// Ends that the leading side has not noticed yet.
    pub(super) ended: Vec<(usize, usize, StreamId)>,
}

impl Network {
    pub(super) fn open(&mut self, from: usize, to: usize, lane: Lane) -> StreamId {
        self.next_id += 1;
        let id = StreamId(self.next_id);
        let stream = Stream {
            from,
            to,
            lane,
            stalled: false,
            broken: false,
            to_follower: VecDeque::new(),
            to_leader: VecDeque::new(),
            push_ready: false,
            committed_ready: false,
        };
        self.streams.insert(id, stream);
        id
    }

    /// The stream of this lane, when it is up.
    pub(super) fn up(&self, from: usize, to: usize, lane: Lane) -> Option<StreamId> {
        let is_it = |it: &Stream| (it.from, it.to) == (from, to) && it.lane == lane && !it.broken;
        self.streams.iter().find(|(_, stream)| is_it(stream)).map(|(&id, _)| id)
    }

    /// The stream, when it still takes something.
    pub(super) fn current(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.streams.get_mut(&id).filter(|stream| !stream.broken)
    }

    /// The stream breaks; the first `kept_count` messages to the follower have left and may still arrive.
    pub(super) fn break_stream(&mut self, id: StreamId, kept_count: usize) {
        let Some(stream) = self.current(id) else { return };
        stream.broken = true;
        stream.to_follower.truncate(kept_count);
        let end = (stream.from, stream.to, id);
        self.ended.push(end);
    }

    /// A broker's process ended: its streams break, and it hears and notices nothing any more.
    pub(super) fn drop_broker(&mut self, broker: usize) {
        let touched = |it: &Stream| it.from == broker || it.to == broker;
        let ids: Vec<_> = self.streams.iter().filter(|(_, it)| touched(it)).map(|(&id, _)| id).collect();
        for id in ids {
            self.break_stream(id, usize::MAX);
        }
        self.streams.retain(|_, stream| stream.to != broker);
        for stream in self.streams.values_mut().filter(|stream| stream.from == broker) {
            stream.to_leader.clear();
        }
        self.ended.retain(|&(from, _, _)| from != broker);
    }
}
