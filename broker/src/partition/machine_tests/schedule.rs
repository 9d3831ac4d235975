//! What happens next: everything the seed may choose while faults last, and the orderly end when they are over.

use std::time::Duration;

use fidelog_record::types::LeaderEpoch;

use super::cluster::{BROKERS, Broker, Cluster, Request, Table, id_of, index_of};
use super::network::Lane;
use super::producers::IN_FLIGHT_MAX;
use crate::partition::{Machine, Produce, Role};

const STEPS: usize = 800;
const HEAL_ROUNDS: usize = 300;
const SERVES_A_ROUND: usize = 20;

impl Cluster {
    /// The whole run of a seed.
    pub(super) fn run(&mut self) {
        for _ in 0..STEPS {
            self.chaos();
            self.judge.members(&self.quorum.members(), &self.brokers);
        }
        self.heal();
        self.judge.refused_is_nowhere(&self.producers);
    }

    fn chaos(&mut self) {
        let index = self.random.below(BROKERS);
        match self.random.below(1000) {
            0..60 => self.heartbeat(index),
            60..180 => self.deliver_heartbeat(),
            180..195 => self.fence(index),
            195..230 => self.unfence(index),
            230..265 => self.read_end(index),
            265..285 => self.begin_round(index),
            285..293 => self.stall_something(),
            293..295 => self.brokers[index].deaf ^= true,
            295..300 => self.elect(),
            300..301 => self.crash_all(),
            301..303 => self.crash_lossily(),
            _ => self.replicate(index),
        }
    }

    fn replicate(&mut self, index: usize) {
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
                self.tick(index);
            }
            740..800 if !self.brokers[index].deaf => drop_answer(self.watch(index)),
            800..850 => self.consider(),
            850..885 => self.connect_something(),
            885..893 => self.move_something(),
            893..905 => self.break_something(),
            905..925 => drop_answer(self.notice_end()),
            925..945 => drop_answer(self.finish_read()),
            945..950 => drop_answer(self.finish_tail()),
            950..955 => drop_answer(self.finish_table()),
            955..962 => self.crash_something(index),
            962..965 => self.stop_something(index),
            965..978 if self.brokers[index].machine.is_none() => self.start(index),
            978..982 => self.elect(),
            982..984 => self.elect_unclean(),
            984..987 => self.brokers[index].log.disk_full = true,
            987..991 => self.brokers[index].log.disk_full = false,
            991..994 => self.retain(index),
            994..997 => self.brokers[index].log.keep_committed(),
            _ => self.wait(200),
        }
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

    /// What a leader remembers of producers reaches the follower that begins anew, or not.
    fn finish_table(&mut self) -> bool {
        if self.tables.is_empty() {
            return false;
        }
        let Table { to, life, epoch, at } = self.tables.remove(0);
        if self.brokers[to].life != life {
            return true;
        }
        let leads = |broker: &&Broker| {
            let machine = broker.machine.as_ref();
            machine.is_some_and(|machine| machine.published().leading == Some(epoch))
        };
        let told = self.brokers.iter().find(leads).and_then(|leader| leader.log.producers_below(at));
        let told = told.filter(|_| !self.random.chance(20));
        self.tell(|| format!("broker {} is told of producers below {at}: {}", to + 1, told.is_some()));
        self.step(to, |machine, _| match told {
            Some(producers) => machine.producers_read(at, epoch, producers),
            None => machine.producers_not_read(at, epoch, "so it is"),
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
        let before = self.quorum.now().isr.clone();
        let accepted = self.quorum.consider(&proposal, &lives);
        if accepted {
            // Whoever joins has been filled.
            let joined: Vec<_> = self.quorum.now().isr.difference(&before).copied().collect();
            joined.into_iter().for_each(|id| self.brokers[index_of(id)].lossy = false);
        }
        self.tell(|| format!("the quorum considers {:?}; accepted: {accepted}", proposal.proposed));
    }

    fn crash_something(&mut self, index: usize) {
        if self.brokers[index].machine.is_some() {
            self.crash(index);
        }
    }

    /// The power fails everywhere.
    fn crash_all(&mut self) {
        (0..BROKERS).for_each(|index| self.crash_something(index));
    }

    fn stop_something(&mut self, index: usize) {
        if self.brokers[index].machine.is_some() {
            self.stop(index);
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
        self.network.streams.values_mut().for_each(|stream| stream.stalled = false);
        self.brokers.iter_mut().for_each(|broker| broker.deaf = false);
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
        let starts: Vec<_> = self.brokers.iter().map(|broker| broker.log.start()).collect();
        let waiters = &self.producers.waiters;
        let entry = self.quorum.now();
        panic!("not healed: {entry:?}, starts {starts:?}, waiters {waiters:?}\n{}", roles.concat());
    }

    fn heal_round(&mut self) {
        for (from, to) in (0..BROKERS * BROKERS).map(|pair| (pair / BROKERS, pair % BROKERS)) {
            for lane in [Lane::Live, Lane::CatchUp] {
                if from != to && self.network.up(from, to, lane).is_none() {
                    self.connect(from, to, lane);
                }
            }
        }
        while self.notice_end() || self.finish_read() || self.finish_tail() || self.finish_table() {}
        self.beat_all();
        for index in 0..BROKERS {
            while self.watch(index) {}
            self.unfence(index);
            self.read_end(index);
            self.begin_round(index);
            while !self.brokers[index].log.is_idle() {
                self.flush(index, usize::MAX, true);
            }
            self.tick(index);
        }
        for id in self.stream_ids() {
            while self.reach_follower(id) || self.reach_leader(id) {}
            for _ in 0..SERVES_A_ROUND {
                if !self.serve_stream(id) && !self.finish_read() {
                    break;
                }
            }
        }
        if self.quorum.now().leader.is_none() {
            self.elect_unclean();
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
        let start = self.brokers[self.quorum.now().leader.map_or(0, index_of)].log.start();
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
                at.committed_end == end
                    && at.end == end
                    && at.start >= start
                    && broker.watch == self.quorum.entries.len()
            })
    }
}

/// In the midst of faults nobody asks whether there was anything to do.
fn drop_answer(_: bool) {}
