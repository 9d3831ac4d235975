//! What happens next: everything the seed may choose while faults last, and the orderly end when they are over.

use std::time::Duration;

use fidelog_record::types::LeaderEpoch;

use super::cluster::{BROKERS, Cluster, Read, Request, id_of, index_of};
use super::producers::IN_FLIGHT_MAX;
use crate::partition::{Machine, NextPush, Produce, Role};

const STEPS: usize = 500;
const HEAL_ROUNDS: usize = 300;
const SERVES_A_ROUND: usize = 20;
const PUSH_BYTES: u64 = 250;

impl Cluster {
    /// The whole run of a seed.
    pub(super) fn run(&mut self) {
        for _ in 0..STEPS {
            self.chaos();
        }
        self.heal();
        self.judge.refused_is_nowhere(&self.producers);
    }

    fn chaos(&mut self) {
        let index = self.random.below(BROKERS);
        match self.random.below(1000) {
            0..180 => self.deliver(),
            180..330 => {
                let (count, sync) = (1 + self.random.below(6), self.random.chance(60));
                self.flush(index, count, sync);
            }
            330..450 => self.serve(),
            450..560 => self.send_something(),
            560..660 => drop_answer(self.deliver_request()),
            660..740 => {
                let milliseconds = 1 + self.random.below(40);
                self.wait(milliseconds);
                self.step(index, Machine::tick);
            }
            740..800 => drop_answer(self.watch(index)),
            800..850 => self.consider(),
            850..890 => self.connect_something(),
            890..905 => self.drop_something(),
            905..925 => drop_answer(self.notice_end()),
            925..945 => drop_answer(self.finish_read()),
            945..955 => drop_answer(self.finish_tail()),
            955..962 => self.crash_something(index),
            962..966 => self.stop_something(index),
            966..978 if self.brokers[index].machine.is_none() => self.start(index),
            978..984 => self.elect(),
            984..987 => self.brokers[index].log.disk_full = true,
            987..991 => self.brokers[index].log.disk_full = false,
            991..994 => self.retain(index),
            994..997 => self.brokers[index].log.keep_committed(),
            _ => self.wait(200),
        }
    }

    fn stream_at(&mut self) -> Option<(usize, usize)> {
        let all: Vec<_> = self.network.streams.keys().copied().collect();
        self.random.pick(&all).copied()
    }

    /// A message arrives, one way or the other.
    fn deliver(&mut self) {
        let Some((from, to)) = self.stream_at() else { return };
        if self.random.chance(50) {
            self.reach_follower(from, to)
        } else {
            self.reach_leader(from, to)
        };
    }

    fn reach_follower(&mut self, from: usize, to: usize) -> bool {
        let Some(stream) = self.network.streams.get_mut(&(from, to)) else { return false };
        let (id, Some((epoch, message))) = (stream.id, stream.to_follower.pop_front()) else { return false };
        self.tell(|| {
            format!("broker {} hears from {} in epoch {epoch}: {}", to + 1, from + 1, brief(&message))
        });
        self.step(to, |machine, _| machine.led(id, epoch, message));
        true
    }

    fn reach_leader(&mut self, from: usize, to: usize) -> bool {
        let Some(stream) = self.network.streams.get_mut(&(from, to)) else { return false };
        let (id, Some((epoch, message))) = (stream.id, stream.to_leader.pop_front()) else { return false };
        self.tell(|| format!("broker {} hears back from {} in epoch {epoch}: {message:?}", from + 1, to + 1));
        let speaker = id_of(to);
        self.step(from, |machine, now| machine.heard(speaker, id, epoch, message, now));
        true
    }

    /// The sender of a stream looks for something to say.
    fn serve(&mut self) {
        if let Some((from, to)) = self.stream_at() {
            self.serve_stream(from, to);
        }
    }

    fn serve_stream(&mut self, from: usize, to: usize) -> bool {
        let Some(stream) = self.network.streams.get_mut(&(from, to)) else { return false };
        let id = stream.id;
        let (push_ready, committed_ready) = (stream.push_ready, std::mem::take(&mut stream.committed_ready));
        let follower = id_of(to);
        if committed_ready {
            let mut said = None;
            self.step(from, |machine, _| said = machine.next_committed(follower, id));
            self.say(from, to, said);
        }
        let reading = self.reads.iter().any(|read| read.leader == from && read.to == to && read.stream == id);
        if !push_ready || reading {
            return committed_ready;
        }
        let mut next = NextPush::Nothing;
        self.step(from, |machine, _| next = machine.next_push(follower, id, PUSH_BYTES));
        match next {
            NextPush::Nothing => {
                if let Some(stream) = self.network.current(from, to, id) {
                    stream.push_ready = false;
                }
            }
            NextPush::Send(epoch, message) => self.say(from, to, Some((epoch, message))),
            NextPush::Read { from: first, below, epoch } => {
                let count = 1 + self.random.below(3);
                let batches = self.brokers[from].log.read(first, below, count);
                self.reads.push(Read { leader: from, to, stream: id, epoch, batches });
            }
        }
        true
    }

    fn say(
        &mut self,
        from: usize,
        to: usize,
        said: Option<(LeaderEpoch, crate::replica::message::LeaderMessage)>,
    ) {
        if let (Some(said), Some(stream)) = (said, self.network.streams.get_mut(&(from, to))) {
            stream.to_follower.push_back(said);
        }
    }

    fn finish_read(&mut self) -> bool {
        if self.reads.is_empty() {
            return false;
        }
        let read = self.reads.remove(self.random.below(self.reads.len()));
        let Read { leader, to, stream, epoch, batches } = read;
        let follower = id_of(to);
        let mut next = NextPush::Nothing;
        self.step(leader, |machine, _| next = machine.read_for_push(follower, stream, epoch, batches));
        if let (NextPush::Send(epoch, message), Some(current)) =
            (next, self.network.current(leader, to, stream))
        {
            current.to_follower.push_back((epoch, message));
        }
        true
    }

    /// What an opening leader wanted to copy arrives, or not, or in part.
    fn finish_tail(&mut self) -> bool {
        if self.tails.is_empty() {
            return false;
        }
        let tail = self.tails.remove(0);
        if self.brokers[tail.leader].life != tail.life {
            return true;
        }
        let count = 1 + self.random.below(4);
        let alive = self.brokers[tail.from].machine.is_some();
        let batches = self.brokers[tail.from].log.read(tail.start, tail.end, count);
        let from = id_of(tail.from);
        let fails = !alive || self.random.chance(20);
        self.tell(|| {
            format!("broker {} copies {} batches of {from}; fails: {fails}", tail.leader + 1, batches.len())
        });
        self.step(tail.leader, |machine, now| {
            if fails || machine.tail_copied(batches, now).is_err() {
                machine.tail_not_copied(from, now);
            }
        });
        true
    }

    /// A producer sends: something new, something once more, or something that was long answered.
    fn send_something(&mut self) {
        let producer = self.random.below(self.producers.count());
        let open = self.producers.unsettled(producer);
        let is_idempotent = self.producers.is_idempotent(producer);
        let sent = if is_idempotent && self.random.chance(5) {
            let settled: Vec<_> = (0..self.producers.sent.len())
                .filter(|&sent| {
                    self.producers.sent[sent].producer == producer && self.producers.sent[sent].settled
                })
                .collect();
            let Some(sent) = self.random.pick(&settled).copied() else { return };
            sent
        } else if is_idempotent && (open.len() >= IN_FLIGHT_MAX || self.random.chance(30)) {
            let Some(sent) = self.random.pick(&open).copied() else { return };
            sent
        } else if open.len() < IN_FLIGHT_MAX {
            let record_count = 1 + self.random.below(3);
            self.producers.new_batch(producer, record_count)
        } else {
            return;
        };
        let leader = self.quorum.now().leader.map_or(0, index_of);
        let to = if self.random.chance(85) { leader } else { self.random.below(BROKERS) };
        self.request(sent, to);
    }

    fn request(&mut self, sent: usize, to: usize) {
        let epoch = if self.random.chance(30) { self.quorum.now().leader_epoch } else { LeaderEpoch(0) };
        let waiter = self.producers.attempt(sent);
        self.requests.push(Request { waiter, sent, to, epoch });
    }

    fn deliver_request(&mut self) -> bool {
        if self.requests.is_empty() {
            return false;
        }
        let late = if self.random.chance(80) { 0 } else { self.random.below(self.requests.len().min(4)) };
        let Request { waiter, sent, to, epoch } = self.requests.remove(late);
        if self.brokers[to].machine.is_none() || self.random.chance(5) {
            self.producers.forget(waiter);
            return true;
        }
        self.tell(|| format!("broker {} takes produce {waiter}, of batch {sent}", to + 1));
        self.brokers[to].held.insert(waiter);
        let wait = Duration::from_millis(20 + self.random.below(400) as u64);
        let batch = self.producers.sent[sent].batch.clone();
        let wall_ms = self.now.micros / 1000;
        self.step(to, |machine, now| {
            machine.produce(Produce { batch, arrived: now, wait, epoch, waiter }, now, wall_ms);
        });
        true
    }

    /// The watch moves on; it may skip entries.
    fn watch(&mut self, index: usize) -> bool {
        let (next, count) = (self.brokers[index].watch, self.quorum.entries.len());
        if next >= count || self.brokers[index].machine.is_none() {
            return false;
        }
        let skipped = if self.random.chance(30) { self.random.below(count - next) } else { 0 };
        self.show(index, next + skipped);
        true
    }

    /// A proposal arrives at the quorum: late, twice, or never. Its answer is nobody's business.
    fn consider(&mut self) {
        if self.quorum.proposals.is_empty() {
            return;
        }
        let at = self.random.below(self.quorum.proposals.len());
        let again = self.random.chance(15);
        let proposal =
            if again { self.quorum.proposals[at].clone() } else { self.quorum.proposals.remove(at) };
        if self.random.chance(10) {
            return;
        }
        let lives: Vec<_> = self.brokers.iter().map(|broker| broker.life).collect();
        let accepted = self.quorum.consider(&proposal, &lives);
        self.tell(|| format!("the quorum considers {:?}; accepted: {accepted}", proposal.proposed));
    }

    fn connect_something(&mut self) {
        let (from, to) = (self.random.below(BROKERS), self.random.below(BROKERS));
        let alive = self.brokers[from].machine.is_some() && self.brokers[to].machine.is_some();
        if from != to && alive && !self.network.streams.contains_key(&(from, to)) {
            self.connect(from, to);
        }
    }

    fn drop_something(&mut self) {
        if let Some((from, to)) = self.stream_at() {
            self.tell(|| format!("the stream from broker {} to {} drops", from + 1, to + 1));
            self.network.drop_stream(from, to);
        }
    }

    fn notice_end(&mut self) -> bool {
        let Some(&(from, to, id)) = self.network.ended.first() else { return false };
        self.network.ended.remove(0);
        self.step(from, |machine, now| machine.stream_down(id, id_of(to), now));
        true
    }

    fn crash_something(&mut self, index: usize) {
        if self.brokers[index].machine.is_some() {
            self.crash(index);
        }
    }

    fn stop_something(&mut self, index: usize) {
        if self.brokers[index].machine.is_some() {
            self.stop(index);
        }
    }

    fn elect(&mut self) {
        let members: Vec<_> = self.quorum.now().isr.iter().copied().collect();
        let Some(id) = self.random.pick(&members).copied() else { return };
        if self.brokers[index_of(id)].machine.is_some() {
            self.quorum.elect(id);
            self.tell(|| format!("the quorum lets broker {id} lead"));
        }
    }

    fn retain(&mut self, index: usize) {
        // Whole batches, as retention gives up whole segments.
        let batch = self.random.pick(&self.judge.committed);
        let Some(to) = batch.map(fidelog_record::PlacedBatch::base_offset) else { return };
        self.tell(|| format!("broker {} is to retain from {to}", index + 1));
        self.step(index, |machine, _| machine.retain_from(to));
    }

    /// Faults are over: all is writable again, the set is full, all logs are equal.
    fn heal(&mut self) {
        self.tell(|| "faults are over".to_owned());
        for index in 0..BROKERS {
            self.brokers[index].log.disk_full = false;
            if self.brokers[index].machine.is_none() {
                self.start(index);
            }
        }
        for producer in 0..self.producers.count() {
            self.producers.new_batch(producer, 1);
        }
        for _ in 0..HEAL_ROUNDS {
            if self.is_healed() {
                return;
            }
            self.heal_round();
        }
        let roles: Vec<_> = self.brokers.iter().map(|broker| format!("{:?}\n", broker.machine)).collect();
        panic!("not healed: {:?}\n{}", self.quorum.now(), roles.concat());
    }

    fn heal_round(&mut self) {
        for pair in (0..BROKERS * BROKERS).map(|pair| (pair / BROKERS, pair % BROKERS)) {
            if pair.0 != pair.1 && !self.network.streams.contains_key(&pair) {
                self.connect(pair.0, pair.1);
            }
        }
        while self.notice_end() || self.finish_read() || self.finish_tail() {}
        for index in 0..BROKERS {
            while self.watch(index) {}
            while !self.brokers[index].log.is_idle() {
                self.flush(index, usize::MAX, true);
            }
            for to in (0..BROKERS).filter(|&to| to != index) {
                while self.reach_follower(index, to) || self.reach_leader(index, to) {}
                for _ in 0..SERVES_A_ROUND {
                    if !self.serve_stream(index, to) && !self.finish_read() {
                        break;
                    }
                }
            }
            self.step(index, Machine::tick);
        }
        while !self.quorum.proposals.is_empty() {
            self.consider();
        }
        if !self.deliver_request() {
            let leader = self.quorum.now().leader.map_or(0, index_of);
            for producer in 0..self.producers.count() {
                let open = self.producers.unsettled(producer).into_iter().next();
                if let Some(sent) = open.filter(|&sent| self.producers.sent[sent].open_count == 0) {
                    self.request(sent, leader);
                }
            }
        }
        self.wait(20);
    }

    fn is_healed(&self) -> bool {
        let entry = self.quorum.now();
        let settled =
            (0..self.producers.count()).all(|producer| self.producers.unsettled(producer).is_empty());
        let end = self.judge.committed_end();
        let leads =
            |machine: &Machine<u64>| matches!(machine.role(), Role::Leader(leading) if leading.is_open());
        settled
            && entry.isr.len() == BROKERS
            && self.producers.waiters.is_empty()
            && self
                .brokers
                .iter()
                .filter_map(|broker| broker.machine.as_ref())
                .filter(|machine| leads(machine))
                .count()
                == 1
            && self.brokers.iter().all(|broker| {
                let at = broker.machine.as_ref().map(Machine::positions).unwrap_or_default();
                at.committed_end == end && at.end == end && broker.watch == self.quorum.entries.len()
            })
    }
}

/// In the midst of faults nobody asks whether there was anything to do.
fn drop_answer(_: bool) {}

fn brief(message: &crate::replica::message::LeaderMessage) -> String {
    use crate::replica::message::LeaderMessage;
    match message {
        LeaderMessage::Push(push) => {
            let ends: Vec<_> = push.batches.iter().map(|batch| batch.end_offset().0).collect();
            format!("push after {} of epoch {}, ends {ends:?}", push.previous_end, push.previous_epoch)
        }
        other => format!("{other:?}"),
    }
}
