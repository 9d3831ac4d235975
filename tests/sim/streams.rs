//! What streams do: come up, carry messages, ask leaders for something to push, and end.

use fidelog_broker::partition::NextPush;
use fidelog_broker::replica::StreamId;
use fidelog_broker::replica::message::{FollowerMessage, LeaderMessage, RefusalCause};
use fidelog_record::types::{LeaderEpoch, TopicPartition};

use crate::cluster::Sim;
use crate::event::{Event, Own};
use crate::network::{Lane, Parcel, Way, later};

/// Bytes of one push.
pub(crate) const PUSH_BYTES: u64 = 1_000;
/// How long a link may be cut before a stream on it breaks, microseconds.
const KEEP_ALIVE: u64 = 3_000_000;
/// How long a committed end may wait for a push, microseconds.
const SPREAD: u64 = 2_000;

impl Sim {
    /// Both machines must hear each other, and both processes must have come that far.
    pub(crate) fn connect(&mut self, from: usize, to: usize, lane: Lane) {
        if self.network.up(from, to, lane).is_some() {
            return;
        }
        let cut = self.network.is_cut(from, to) || self.network.is_cut(to, from);
        let answers = self.brokers[to].is_up() && self.life(to).is_some_and(|life| life.hosting);
        let incarnate = self.life(to).and_then(|life| life.incarnate());
        let (Some(from_life), Some(to_life), Some(incarnate), true) = (
            self.life(from).map(|life| life.number),
            self.life(to).map(|life| life.number),
            incarnate,
            answers && !cut,
        ) else {
            let micros = 20_000 + self.below(180_000);
            self.own_later(from, micros, Own::Connect(to, lane));
            return;
        };
        let stream = self.network.open((from, from_life), (to, to_life), lane, incarnate);
        let micros = 2 * self.hop();
        self.own_later(from, micros, Own::StreamUp(stream));
    }

    pub(crate) fn stream_up(&mut self, id: StreamId) {
        let Some(stream) = self.network.streams.get_mut(&id).filter(|stream| !stream.broken) else { return };
        stream.up = true;
        let (from, to, lane, incarnate) = (stream.from, stream.to, stream.lane, stream.incarnate);
        self.tell("stream up", &[id.0], || {
            format!("{lane:?} stream {} from broker {} to {} is up", id.0, from + 1, to + 1)
        });
        if lane == Lane::Live {
            self.all_partitions(from, |partition| partition.stream_up(id, incarnate));
        }
    }

    fn all_partitions(&mut self, broker: usize, act: impl Fn(&fidelog_broker::partition::Partition)) {
        let Some(life) = self.life(broker) else { return };
        self.brokers[broker].advance_to(self.agenda.now());
        life.partitions.values().for_each(|partition| act(partition));
        self.settle(broker);
    }

    pub(crate) fn send_to_follower(
        &mut self,
        broker: usize,
        id: StreamId,
        at: TopicPartition,
        epoch: LeaderEpoch,
        message: LeaderMessage,
    ) {
        let micros = self.hop();
        let now = self.agenda.now();
        let Some(stream) = self.network.streams.get_mut(&id).filter(|it| !it.broken && it.from == broker)
        else {
            return;
        };
        let micros = micros + stream.to_follower.slow_micros;
        let arrives = stream.to_follower.send(Parcel::Message(at, epoch, message), later(now, micros));
        self.agenda.at(arrives, Event::Arrive(id, Way::ToFollower));
    }

    pub(crate) fn send_to_leader(
        &mut self,
        broker: usize,
        id: StreamId,
        at: TopicPartition,
        epoch: LeaderEpoch,
        message: FollowerMessage,
    ) {
        // What a disk lost that lied may be all that told epochs apart: such a replica is mended, or filled again.
        if let FollowerMessage::Refused { cause: RefusalCause::WouldCutCommitted, message, .. } = &message
            && !self.brokers[broker].tainted
            && let Some(leader) = self.network.streams.get(&id).map(|stream| stream.from)
        {
            self.blame(leader, &format!("replicas have parted: {message}"));
        }
        let micros = self.hop();
        let now = self.agenda.now();
        let Some(stream) = self.network.streams.get_mut(&id).filter(|it| !it.broken && it.to == broker)
        else {
            return;
        };
        let micros = micros + stream.to_leader.slow_micros;
        let arrives = stream.to_leader.send(Parcel::Message(at, epoch, message), later(now, micros));
        self.agenda.at(arrives, Event::Arrive(id, Way::ToLeader));
    }

    pub(crate) fn arrive(&mut self, id: StreamId, way: Way) {
        let now = self.agenda.now();
        let Some(stream) = self.network.streams.get(&id) else { return };
        let (from, to) = (stream.from, stream.to);
        let (sender, listener, life) = match way {
            Way::ToFollower => (from, to, stream.to_life),
            Way::ToLeader => (to, from, stream.from_life),
        };
        let broken = stream.broken;
        let alive = self.life(listener).is_some_and(|it| it.number == life);
        let paused = self.brokers[listener].paused.is_some();
        let cut = self.network.is_cut(sender, listener) && !broken;
        if alive && (paused || cut) {
            let Some(stream) = self.network.streams.get_mut(&id) else { return };
            let held = match way {
                Way::ToFollower => std::mem::replace(&mut stream.to_follower.held, true),
                Way::ToLeader => std::mem::replace(&mut stream.to_leader.held, true),
            };
            if !held && cut {
                self.agenda.after(KEEP_ALIVE, Event::KeepAlive(id));
            }
            return;
        }
        let Some(stream) = self.network.streams.get_mut(&id) else { return };
        match way {
            Way::ToFollower => {
                let parcel = stream.to_follower.take(now);
                match parcel {
                    Some(Parcel::Message(at, epoch, message)) if alive => {
                        self.reach_follower(id, from, to, at, epoch, message);
                    }
                    Some(Parcel::End) if alive => self.follower_notices(id, to),
                    _ => {}
                }
            }
            Way::ToLeader => match stream.to_leader.take(now) {
                Some(Parcel::Message(at, epoch, message)) if alive => {
                    self.tell("heard", &[id.0, at.partition.0.into()], || {
                        format!(
                            "broker {} hears back from {} on {} in epoch {epoch}: {message:?}",
                            from + 1,
                            to + 1,
                            id.0
                        )
                    });
                    let follower = self.brokers[to].id;
                    self.step(from, at, |partition| partition.heard(follower, id, epoch, message));
                }
                Some(Parcel::End) if alive => self.leader_notices(id),
                Some(Parcel::End) => drop(self.network.streams.remove(&id)),
                _ => {}
            },
        }
    }

    fn reach_follower(
        &mut self,
        id: StreamId,
        from: usize,
        to: usize,
        at: TopicPartition,
        epoch: LeaderEpoch,
        message: LeaderMessage,
    ) {
        self.tell("led", &[id.0, at.partition.0.into()], || {
            let said = brief(&message);
            format!("broker {} hears from {} on {} in epoch {epoch}: {said}", to + 1, from + 1, id.0)
        });
        let hosted = self.step(to, at, |partition| partition.led(id, epoch, message));
        if hosted.is_none() {
            let refused = FollowerMessage::Refused {
                cause: RefusalCause::NotAReplica,
                message: format!("{at} is not hosted here (yet)"),
                epoch: LeaderEpoch(0),
            };
            self.send_to_leader(to, id, at, epoch, refused);
        }
    }

    fn follower_notices(&mut self, id: StreamId, follower: usize) {
        self.all_partitions(follower, |partition| partition.leader_stream_down(id));
    }

    /// The leading side: its partitions hear of it, and go on with the live stream if that is another one.
    fn leader_notices(&mut self, id: StreamId) {
        let Some(stream) = self.network.streams.remove(&id) else { return };
        let (from, to, lane) = (stream.from, stream.to, stream.lane);
        self.tell("stream down", &[id.0], || {
            format!("broker {} notices the end of stream {}", from + 1, id.0)
        });
        let follower = self.brokers[to].id;
        let live = self.network.up(from, to, Lane::Live);
        self.all_partitions(from, |partition| {
            partition.stream_down(id, follower);
            if let Some((live, incarnate)) = live {
                partition.stream_up_if_down(live, incarnate);
            }
        });
        let micros = 20_000 + self.below(100_000);
        self.own_later(from, micros, Own::Connect(to, lane));
    }

    /// A stream breaks: some of what is on its way still arrives, then both sides notice, each for itself.
    pub(crate) fn break_stream(&mut self, id: StreamId) {
        let now = self.agenda.now();
        let Some(stream) = self.network.streams.get(&id).filter(|stream| !stream.broken) else { return };
        let (down, up) = (stream.to_follower.len() as u64, stream.to_leader.len() as u64);
        let (kept_down, kept_up) = (self.below(down + 1), self.below(up + 1));
        let (late_down, late_up) = (self.below(50_000), self.below(50_000));
        self.tell("breaks", &[id.0], || format!("stream {} breaks", id.0));
        let Some(stream) = self.network.streams.get_mut(&id) else { return };
        stream.broken = true;
        stream.to_follower.keep(usize::try_from(kept_down).expect("few"));
        stream.to_leader.keep(usize::try_from(kept_up).expect("few"));
        let down = stream.to_follower.send(Parcel::End, later(now, late_down));
        let up = stream.to_leader.send(Parcel::End, later(now, late_up));
        // Once for what was held, too.
        for _ in 0..=kept_down {
            self.agenda.at(down, Event::Arrive(id, Way::ToFollower));
        }
        for _ in 0..=kept_up {
            self.agenda.at(up, Event::Arrive(id, Way::ToLeader));
        }
    }

    /// A link has been cut for long: whoever listens gives the stream up.
    pub(crate) fn keep_alive(&mut self, id: StreamId) {
        let Some(stream) = self.network.streams.get_mut(&id) else { return };
        if !stream.broken && (stream.to_follower.held || stream.to_leader.held) {
            stream.to_follower.keep(0);
            stream.to_leader.keep(0);
            self.break_stream(id);
        }
    }

    /// A process ended: its streams break; what it had sent may still arrive.
    pub(crate) fn process_gone(&mut self, broker: usize) {
        for id in self.network.of(broker) {
            let Some(stream) = self.network.streams.get_mut(&id) else { continue };
            match stream.from == broker {
                true => stream.to_leader.keep(0),
                false => stream.to_follower.keep(0),
            }
            self.break_stream(id);
        }
    }

    /// What links or processes held up goes on.
    pub(crate) fn free_held(&mut self) {
        let freed = self.network.freed();
        for (id, way) in freed {
            let count = match (self.network.streams.get(&id), way) {
                (Some(stream), Way::ToFollower) => stream.to_follower.len(),
                (Some(stream), Way::ToLeader) => stream.to_leader.len(),
                (None, _) => 0,
            };
            for _ in 0..count {
                self.agenda.after(0, Event::Arrive(id, way));
            }
        }
    }

    pub(crate) fn push_ready(&mut self, id: StreamId, at: TopicPartition) {
        let Some(stream) = self.network.streams.get_mut(&id) else { return };
        stream.ready.insert(at);
        let (from, due) = (stream.from, std::mem::replace(&mut stream.serve_due, true));
        if !due {
            let micros = self.below(200);
            self.own_later(from, micros, Own::Serve(id));
        }
    }

    pub(crate) fn committed_ready(&mut self, id: StreamId, at: TopicPartition) {
        let Some(stream) = self.network.streams.get_mut(&id) else { return };
        stream.committed.insert(at);
        let (from, due) = (stream.from, std::mem::replace(&mut stream.spread_due, true));
        if !due {
            self.own_later(from, SPREAD, Own::Spread(id));
        }
    }

    pub(crate) fn spread(&mut self, id: StreamId) {
        let Some(stream) = self.network.streams.get_mut(&id) else { return };
        stream.spread_due = false;
        let (from, follower, all) =
            (stream.from, stream.incarnate.broker, std::mem::take(&mut stream.committed));
        for at in all {
            let said = self.step(from, at, |partition| partition.next_committed(follower, id)).flatten();
            if let Some((epoch, message)) = said {
                self.send_to_follower(from, id, at, epoch, message);
            }
        }
    }

    /// The sender of a stream asks each partition that is ready for its next push.
    pub(crate) fn serve(&mut self, id: StreamId) {
        let Some(stream) = self.network.streams.get_mut(&id) else { return };
        stream.serve_due = false;
        let ready = std::mem::take(&mut stream.ready);
        let (from, to, lane, follower) = (stream.from, stream.to, stream.lane, stream.incarnate.broker);
        for at in ready {
            let busy = self.network.streams.get(&id).is_none_or(|stream| stream.reading.contains(&at));
            if busy {
                continue;
            }
            match self.step(from, at, |partition| partition.next_push(follower, id, PUSH_BYTES)) {
                Some(NextPush::Send(epoch, message)) => {
                    self.send_to_follower(from, id, at, epoch, message);
                    self.push_ready(id, at);
                }
                Some(NextPush::Read { .. }) => {
                    if lane == Lane::Live && self.percent(30) && self.move_to(from, to, at, Lane::CatchUp) {
                        continue;
                    }
                    if let Some(stream) = self.network.streams.get_mut(&id) {
                        stream.reading.insert(at);
                    }
                    let micros = 100 + self.below(3_000);
                    self.own_later(from, micros, Own::ReadDone(id, at));
                }
                Some(NextPush::Nothing) => {
                    let done = self.partition(from, at).is_some_and(|partition| {
                        partition.inspect(|machine| machine.in_flight_bytes(follower, id) == 0)
                    });
                    if lane == Lane::CatchUp && done {
                        self.move_to(from, to, at, Lane::Live);
                    }
                }
                None => {}
            }
        }
    }

    fn move_to(&mut self, from: usize, to: usize, at: TopicPartition, lane: Lane) -> bool {
        let Some((target, incarnate)) = self.network.up(from, to, lane) else { return false };
        self.tell("moves", &[target.0], || {
            format!("broker {} goes on with {} on {lane:?} stream {}", from + 1, to + 1, target.0)
        });
        self.step(from, at, |partition| partition.stream_up(target, incarnate));
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
