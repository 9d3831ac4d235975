//! What a leader says to one follower on one stream.
//!
//! Partitions put themselves here when they have something to push; the stream, polled by the connection when it can
//! send, asks each for its next batches. `committed_end` travels with pushes; where none goes out within
//! [`COMMITTED_DELAY`] it gets a message of its own (N2: within 5 ms).
//!
//! Lock order: a partition may lock an outbox, never the other way round: poll takes what waits, lets go, then asks.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use fidelog_proto::internal::v1 as wire;
use fidelog_record::types::{BrokerId, TopicPartition};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::partition::Partition;
use crate::replica::StreamId;

/// How long the committed end may wait for a push to travel with.
pub(super) const COMMITTED_DELAY: Duration = Duration::from_millis(2);

/// One outgoing stream's queue.
#[derive(Debug)]
pub(super) struct Outbox {
    /// The stream.
    pub(super) stream: StreamId,
    /// The follower.
    pub(super) to: BrokerId,
    /// Which of the two streams to it.
    pub(super) lane: wire::Lane,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    hello: Option<wire::Hello>,
    /// Said in order, before anything else.
    control: VecDeque<wire::LeaderMessage>,
    /// Partitions with something to push, each once.
    ready: VecDeque<Arc<Partition>>,
    queued: HashSet<TopicPartition>,
    /// Partitions whose log is being read for this stream: not asked again until that is done.
    reading: HashSet<TopicPartition>,
    /// Partitions whose committed end moved.
    committed: BTreeMap<TopicPartition, Arc<Partition>>,
    committed_due: Option<Instant>,
    waker: Option<Waker>,
    closed: bool,
}

/// What a poll takes.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) hello: Option<wire::Hello>,
    pub(super) control: VecDeque<wire::LeaderMessage>,
    pub(super) ready: VecDeque<Arc<Partition>>,
    pub(super) committed: Vec<Arc<Partition>>,
    pub(super) closed: bool,
}

impl Outbox {
    pub(super) fn new(stream: StreamId, to: BrokerId, lane: wire::Lane, hello: wire::Hello) -> Arc<Self> {
        let state = Mutex::new(State { hello: Some(hello), ..State::default() });
        Arc::new(Self { stream, to, lane, state })
    }

    /// Whom to wake for the change, when the stream waits and the change says so.
    fn change(&self, change: impl FnOnce(&mut State) -> bool) -> Option<Waker> {
        let mut state = self.state.lock();
        if change(&mut state) { state.waker.take() } else { None }
    }

    /// Says `message`, in order with other messages of this kind. Whoever is returned must be woken.
    #[must_use]
    pub(super) fn say(&self, message: wire::LeaderMessage) -> Option<Waker> {
        self.change(|state| {
            state.control.push_back(message);
            true
        })
    }

    /// The partition has something to push. Whoever is returned must be woken.
    #[must_use]
    pub(super) fn ready(&self, partition: &Arc<Partition>) -> Option<Waker> {
        self.change(|state| {
            let id = partition.id();
            if state.reading.contains(&id) || !state.queued.insert(id) {
                return false;
            }
            state.ready.push_back(Arc::clone(partition));
            true
        })
    }

    /// The partition's committed end moved. Whoever is returned must be woken.
    #[must_use]
    pub(super) fn committed(&self, partition: &Arc<Partition>) -> Option<Waker> {
        self.change(|state| {
            state.committed.entry(partition.id()).or_insert_with(|| Arc::clone(partition));
            // Only the first one has to set the stream's alarm.
            let first = state.committed_due.is_none();
            state.committed_due.get_or_insert_with(|| Instant::now() + COMMITTED_DELAY);
            first
        })
    }

    /// The partition's log is about to be read for this stream; `false` when it is already.
    pub(super) fn begin_reading(&self, id: TopicPartition) -> bool {
        self.state.lock().reading.insert(id)
    }

    /// The reading is over: what came of it is said, and the partition asked again.
    pub(super) fn end_reading(&self, partition: &Arc<Partition>, message: Option<wire::LeaderMessage>) {
        let waker = self.change(|state| {
            let id = partition.id();
            state.reading.remove(&id);
            state.control.extend(message);
            if state.queued.insert(id) {
                state.ready.push_back(Arc::clone(partition));
            }
            true
        });
        waker.into_iter().for_each(Waker::wake);
    }

    /// Ends the stream.
    pub(super) fn close(&self) {
        let waker = self.change(|state| {
            state.closed = true;
            true
        });
        waker.into_iter().for_each(Waker::wake);
    }

    /// Everything that may be said now; when that is nothing, `waker` is kept and the moment told when the committed
    /// end is due.
    pub(super) fn take(&self, waker: &Waker) -> Result<Taken, Option<Instant>> {
        let mut state = self.state.lock();
        let due = state.committed_due.is_some_and(|due| due <= Instant::now());
        let nothing = state.hello.is_none() && state.control.is_empty() && state.ready.is_empty();
        if nothing && !due && !state.closed {
            state.waker = Some(waker.clone());
            return Err(state.committed_due);
        }
        state.queued.clear();
        let mut taken = Taken {
            hello: state.hello.take(),
            control: std::mem::take(&mut state.control),
            ready: std::mem::take(&mut state.ready),
            committed: Vec::new(),
            closed: state.closed,
        };
        if due {
            state.committed_due = None;
            taken.committed = std::mem::take(&mut state.committed).into_values().collect();
        }
        Ok(taken)
    }

    /// Puts back what did not fit into the frame.
    pub(super) fn put_back(&self, control: VecDeque<wire::LeaderMessage>, ready: VecDeque<Arc<Partition>>) {
        let mut state = self.state.lock();
        for message in control.into_iter().rev() {
            state.control.push_front(message);
        }
        for partition in ready.into_iter().rev() {
            if state.queued.insert(partition.id()) {
                state.ready.push_front(partition);
            }
        }
    }
}
