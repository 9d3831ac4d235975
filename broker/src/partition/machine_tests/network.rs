//! The streams between brokers: each keeps order, delays as it likes, and takes what it holds with it when it drops.

use std::collections::{BTreeMap, VecDeque};

use fidelog_record::types::LeaderEpoch;

use crate::replica::StreamId;
use crate::replica::message::{FollowerMessage, LeaderMessage};

/// A stream that one broker opened to speak as a leader to another.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) to_follower: VecDeque<(LeaderEpoch, LeaderMessage)>,
    pub(super) to_leader: VecDeque<(LeaderEpoch, FollowerMessage)>,
    /// The sender is to look for something to push.
    pub(super) push_ready: bool,
    /// The sender is to look for a committed end to tell.
    pub(super) committed_ready: bool,
}

/// Streams by (leading side, following side), as indexes of brokers.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) streams: BTreeMap<(usize, usize), Stream>,
    next_id: u64,
    /// Ends that the leading side has not noticed yet.
    pub(super) ended: Vec<(usize, usize, StreamId)>,
}

impl Network {
    pub(super) fn open(&mut self, from: usize, to: usize) -> StreamId {
        self.next_id += 1;
        let id = StreamId(self.next_id);
        let stream = Stream {
            id,
            to_follower: VecDeque::new(),
            to_leader: VecDeque::new(),
            push_ready: false,
            committed_ready: false,
        };
        self.streams.insert((from, to), stream);
        id
    }

    pub(super) fn drop_stream(&mut self, from: usize, to: usize) {
        if let Some(stream) = self.streams.remove(&(from, to)) {
            self.ended.push((from, to, stream.id));
        }
    }

    /// A broker's process ended: its streams end, and it notices nothing any more.
    pub(super) fn drop_broker(&mut self, broker: usize) {
        let gone: Vec<_> =
            self.streams.keys().copied().filter(|&(a, b)| a == broker || b == broker).collect();
        for (from, to) in gone {
            self.drop_stream(from, to);
        }
        self.ended.retain(|&(from, _, _)| from != broker);
    }

    /// The stream, when it is still that one.
    pub(super) fn current(&mut self, from: usize, to: usize, id: StreamId) -> Option<&mut Stream> {
        self.streams.get_mut(&(from, to)).filter(|stream| stream.id == id)
    }

    /// The stream with this id that ends at `to`.
    pub(super) fn towards(&mut self, to: usize, id: StreamId) -> Option<&mut Stream> {
        self.streams
            .iter_mut()
            .find(|((_, at), stream)| *at == to && stream.id == id)
            .map(|(_, stream)| stream)
    }
}
