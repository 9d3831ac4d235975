//! What streams do: come and go, carry messages, and ask leaders for something to push.

use fidelog_record::types::LeaderEpoch;

use super::cluster::{BROKERS, Cluster, Read, id_of};
use super::network::Lane;
use crate::partition::NextPush;
use crate::replica::StreamId;
use crate::replica::message::LeaderMessage;

const PUSH_BYTES: u64 = 250;

impl Cluster {
    pub(super) fn stream_ids(&self) -> Vec<StreamId> {
        self.network.streams.keys().copied().collect()
    }

    fn some_stream(&mut self) -> Option<StreamId> {
        let all = self.stream_ids();
        self.random.pick(&all).copied()
    }

    /// A live stream brings every partition with it; one for catching up is only there.
    pub(super) fn connect(&mut self, from: usize, to: usize, lane: Lane) {
        let id = self.network.open(from, to, lane);
        let incarnate = self.brokers[to].incarnate();
        self.tell(|| format!("{lane:?} stream {} from broker {} to {} is up", id.0, from + 1, to + 1));
        if lane == Lane::Live {
            self.step(from, |machine, _| machine.stream_up(id, incarnate));
        }
    }

    pub(super) fn connect_something(&mut self) {
        let (from, to) = (self.random.below(BROKERS), self.random.below(BROKERS));
        let lane = if self.random.chance(60) { Lane::Live } else { Lane::CatchUp };
        let alive = self.brokers[from].machine.is_some() && self.brokers[to].machine.is_some();
        if from != to && alive && self.network.up(from, to, lane).is_none() {
            self.connect(from, to, lane);
        }
    }

    /// The sender moves the partition to a stream of the other lane, or to the same one once more.
    pub(super) fn move_something(&mut self) {
        let Some(id) = self.some_stream() else { return };
        let stream = &self.network.streams[&id];
        let (from, to, broken) = (stream.from, stream.to, stream.broken);
        if !broken {
            let incarnate = self.brokers[to].incarnate();
            self.tell(|| format!("broker {} moves to stream {} towards {}", from + 1, id.0, to + 1));
            self.step(from, |machine, _| machine.stream_up(id, incarnate));
        }
    }

    pub(super) fn break_something(&mut self) {
        let Some(id) = self.some_stream() else { return };
        let kept_count = self.random.below(1 + self.network.streams[&id].to_follower.len());
        self.tell(|| format!("stream {} breaks", id.0));
        self.network.break_stream(id, kept_count);
    }

    /// One direction of a stream is cut off, or comes back: what was said long ago arrives after all.
    pub(super) fn stall_something(&mut self) {
        let Some(id) = self.some_stream() else { return };
        if let Some(stream) = self.network.streams.get_mut(&id) {
            stream.stalled = !stream.stalled;
        }
    }

    /// A leading side notices that a stream ended; whom it left alone goes on with the live one, if that is up.
    pub(super) fn notice_end(&mut self) -> bool {
        let Some(&(from, to, id)) = self.network.ended.first() else { return false };
        self.network.ended.remove(0);
        if let Some(stream) = self.network.streams.get_mut(&id) {
            stream.to_leader.clear();
        }
        self.tell(|| format!("broker {} notices the end of stream {}", from + 1, id.0));
        let live = self.network.up(from, to, Lane::Live);
        let incarnate = self.brokers[to].incarnate();
        self.step(from, |machine, now| {
            machine.stream_down(id, id_of(to), now);
            if let Some(live) = live.filter(|_| machine.is_down(id_of(to))) {
                machine.stream_up(live, incarnate);
            }
        });
        true
    }

    /// A message arrives, one way or the other.
    pub(super) fn deliver(&mut self) {
        let Some(id) = self.some_stream() else { return };
        if self.random.chance(50) {
            self.reach_follower(id)
        } else {
            self.reach_leader(id)
        };
    }

    /// The next message of a stream reaches its follower; behind the last one of a broken stream comes its end.
    pub(super) fn reach_follower(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.network.streams.get_mut(&id) else { return false };
        let (from, to, broken) = (stream.from, stream.to, stream.broken);
        let Some((epoch, message)) = stream.to_follower.pop_front() else {
            if broken {
                self.network.streams.remove(&id);
                self.tell(|| format!("broker {} notices the end of stream {}", to + 1, id.0));
                self.step(to, |machine, _| machine.leader_stream_down(id));
            }
            return broken;
        };
        self.tell(|| {
            let (listener, said) = (to + 1, brief(&message));
            format!("broker {listener} hears from {} on {} in epoch {epoch}: {said}", from + 1, id.0)
        });
        self.step(to, |machine, _| machine.led(id, epoch, message));
        true
    }

    pub(super) fn reach_leader(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.network.streams.get_mut(&id).filter(|it| !it.stalled) else { return false };
        let (from, to) = (stream.from, stream.to);
        let Some((epoch, message)) = stream.to_leader.pop_front() else { return false };
        self.tell(|| {
            format!(
                "broker {} hears back from {} on {} in epoch {epoch}: {message:?}",
                from + 1,
                to + 1,
                id.0
            )
        });
        self.step(from, |machine, now| machine.heard(id_of(to), id, epoch, message, now));
        true
    }

    /// The sender of a stream looks for something to say.
    pub(super) fn serve(&mut self) {
        if let Some(id) = self.some_stream() {
            self.serve_stream(id);
        }
    }

    pub(super) fn serve_stream(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.network.current(id) else { return false };
        let (from, to) = (stream.from, stream.to);
        let (push_ready, committed_ready) = (stream.push_ready, std::mem::take(&mut stream.committed_ready));
        let follower = id_of(to);
        if committed_ready {
            let mut said = None;
            self.step(from, |machine, _| said = machine.next_committed(follower, id));
            self.say(id, said);
        }
        let reading = self.reads.iter().any(|read| read.leader == from && read.stream == id);
        if !push_ready || reading {
            return committed_ready;
        }
        let mut next = NextPush::Nothing;
        self.step(from, |machine, _| next = machine.next_push(follower, id, PUSH_BYTES));
        match next {
            NextPush::Nothing => {
                if let Some(stream) = self.network.current(id) {
                    stream.push_ready = false;
                }
            }
            NextPush::Send(epoch, message) => self.say(id, Some((epoch, message))),
            NextPush::Read { from: first, below, epoch } => {
                let count = 1 + self.random.below(3);
                let batches = self.brokers[from].log.read(first, below, count);
                self.reads.push(Read { leader: from, to, stream: id, epoch, batches });
            }
        }
        true
    }

    fn say(&mut self, id: StreamId, said: Option<(LeaderEpoch, LeaderMessage)>) {
        if let (Some(said), Some(stream)) = (said, self.network.current(id)) {
            stream.to_follower.push_back(said);
        }
    }

    pub(super) fn finish_read(&mut self) -> bool {
        if self.reads.is_empty() {
            return false;
        }
        let read = self.reads.remove(self.random.below(self.reads.len()));
        let Read { leader, to, stream, epoch, batches } = read;
        let mut next = NextPush::Nothing;
        self.step(leader, |machine, _| next = machine.read_for_push(id_of(to), stream, epoch, batches));
        if let NextPush::Send(epoch, message) = next {
            self.say(stream, Some((epoch, message)));
        }
        true
    }
}

fn brief(message: &LeaderMessage) -> String {
    match message {
        LeaderMessage::Push(push) => {
            let ends: Vec<_> = push.batches.iter().map(|batch| batch.end_offset().0).collect();
            format!("push after {} of epoch {}, ends {ends:?}", push.previous_end, push.previous_epoch)
        }
        other => format!("{other:?}"),
    }
}
