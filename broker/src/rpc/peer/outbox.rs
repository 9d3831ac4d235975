//! What a leader says to one follower on one stream.
//!
//! Partitions put themselves here when they have something to push; the stream, polled by the connection when it can
//! send, asks each for its next batches. `committed_end` travels with pushes; where none goes out within
//! [`COMMITTED_DELAY`] it gets a message of its own (N2: within 5 ms).
//!
//! What had to be read from the log comes from the stream's reader and waits apart. Always true: while a partition is
//! being read for, until what was read has gone out, nothing else is pushed for it, so that its batches go out in order.
//!
//! Lock order: a partition may lock an outbox, never the other way round: poll takes what waits, lets go, then asks.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use fidelog_proto::internal::v1 as wire;
use fidelog_record::types::{BrokerId, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::partition::Partition;
use crate::replica::StreamId;

/// How long the committed end may wait for a push to travel with.
pub(super) const COMMITTED_DELAY: Duration = Duration::from_millis(2);
/// Read and not sent yet: what the reader may be ahead of the stream.
const READ_AHEAD_MAX: usize = 2;

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
    /// Calls the reader: something is wanted, was sent, or was reported.
    reader: Notify,
}

#[derive(Debug, Default)]
struct State {
    hello: Option<wire::Hello>,
    /// Said in order, before anything else.
    control: VecDeque<wire::LeaderMessage>,
    /// Partitions with something to push, each once.
    ready: VecDeque<Arc<Partition>>,
    queued: HashSet<TopicPartition>,
    /// Partitions whose log is to be read.
    wanted: VecDeque<Arc<Partition>>,
    /// What was read for them.
    read: VecDeque<(Arc<Partition>, wire::LeaderMessage)>,
    /// Partitions that are wanted, being read for, or read for: not asked again until that has gone out.
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
    pub(super) read: VecDeque<(Arc<Partition>, wire::LeaderMessage)>,
    pub(super) committed: Vec<Arc<Partition>>,
    pub(super) closed: bool,
}

impl Outbox {
    pub(super) fn new(stream: StreamId, to: BrokerId, lane: wire::Lane, hello: wire::Hello) -> Arc<Self> {
        let state = Mutex::new(State { hello: Some(hello), ..State::default() });
        Arc::new(Self { stream, to, lane, state, reader: Notify::new() })
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

    /// The partition's log is to be read; ignored while that is so already.
    pub(super) fn want_read(&self, partition: Arc<Partition>) {
        let mut state = self.state.lock();
        if state.reading.insert(partition.id()) {
            state.wanted.push_back(partition);
            self.reader.notify_one();
        }
    }

    /// Partitions being read for.
    pub(super) fn reading_count(&self) -> usize {
        self.state.lock().reading.len()
    }

    /// The next partition to be read for, once the stream has sent enough of what was read.
    pub(super) async fn next_wanted(&self) -> Arc<Partition> {
        loop {
            {
                let mut state = self.state.lock();
                if state.read.len() < READ_AHEAD_MAX
                    && let Some(partition) = state.wanted.pop_front()
                {
                    return partition;
                }
            }
            // Stopping here is safe: nothing was taken.
            self.reader_called().await;
        }
    }

    /// Waits for [`Self::call_reader`], or what else may concern it. For the reader alone.
    pub(super) async fn reader_called(&self) {
        self.reader.notified().await;
    }

    /// The follower said something: there may be credit again.
    pub(super) fn call_reader(&self) {
        self.reader.notify_one();
    }

    /// The reading is over: what came of it goes out; when that is nothing, the partition is asked again.
    pub(super) fn end_reading(&self, partition: Arc<Partition>, message: Option<wire::LeaderMessage>) {
        let waker = self.change(|state| {
            match message {
                Some(message) => state.read.push_back((partition, message)),
                None => state.ask_again(partition),
            }
            true
        });
        waker.into_iter().for_each(Waker::wake);
    }

    /// What was read for the partition is in a frame.
    pub(super) fn read_sent(&self, partition: Arc<Partition>) {
        self.state.lock().ask_again(partition);
        self.reader.notify_one();
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
        // Whoever is being read for is asked again when that has gone out.
        let State { ready, reading, .. } = &mut *state;
        ready.retain(|partition| !reading.contains(&partition.id()));
        let nothing = state.hello.is_none()
            && state.control.is_empty()
            && state.ready.is_empty()
            && state.read.is_empty();
        if nothing && !due && !state.closed {
            state.waker = Some(waker.clone());
            return Err(state.committed_due);
        }
        state.queued.clear();
        let mut taken = Taken {
            hello: state.hello.take(),
            control: std::mem::take(&mut state.control),
            ready: std::mem::take(&mut state.ready),
            read: std::mem::take(&mut state.read),
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
    pub(super) fn put_back(&self, rest: Taken) {
        let mut state = self.state.lock();
        for message in rest.control.into_iter().rev() {
            state.control.push_front(message);
        }
        for partition in rest.ready.into_iter().rev() {
            if state.queued.insert(partition.id()) {
                state.ready.push_front(partition);
            }
        }
        for read in rest.read.into_iter().rev() {
            state.read.push_front(read);
        }
    }
}

impl State {
    fn ask_again(&mut self, partition: Arc<Partition>) {
        let id = partition.id();
        self.reading.remove(&id);
        if self.queued.insert(id) {
            self.ready.push_back(partition);
        }
    }
}
