//! Three brokers and what they are made of; carries out what their machines want done.

use std::collections::BTreeSet;
use std::time::Duration;

use fidelog_log::env::Moment;
use fidelog_log::{FlushTiming, ProducerLimits};
use fidelog_record::PlacedBatch;
use fidelog_record::types::{
    BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition,
};

use super::invariants::Judge;
use super::liveness::{Heartbeat, Reader, Rounds};
use super::model_log::{ModelLog, Told, Work};
use super::network::{Lane, Network};
use super::producers::Producers;
use super::quorum::{Proposal, Quorum};
use super::random::Random;
use crate::partition::{Effect, Lease, Machine, MachineLimits, ProduceAnswer, Role, Setup};
use crate::replica::message::{FollowerMessage, RefusalCause};
use crate::replica::{Incarnate, StreamId};

pub(super) const BROKERS: usize = 3;

pub(super) const LIMITS: MachineLimits = MachineLimits {
    pending_bytes_max: 3_000,
    follower_credit_bytes: 500,
    replica_lag_ms_max: 400,
    replica_down_ms_max: 150,
    retry_ms: 50,
    producers: ProducerLimits { count_max: 100, idle_ms: u64::MAX },
};

pub(super) fn partition() -> TopicPartition {
    TopicPartition { topic: TopicId::from_bytes([7; 16]), partition: PartitionIndex(0) }
}

/// A broker: its disk stays, its process comes and goes.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) id: BrokerId,
    pub(super) life: BrokerEpoch,
    pub(super) log: ModelLog,
    pub(super) machine: Option<Machine<u64>>,
    pub(super) lease: Lease,
    pub(super) unclean: bool,
    /// Its disk lost what it had synced, and it has not opened an epoch since.
    pub(super) lossy: bool,
    /// Its watch shows nothing for now.
    pub(super) deaf: bool,
    /// The next entry its watch will show.
    pub(super) watch: usize,
    /// Produces its machine has not answered yet.
    pub(super) held: BTreeSet<u64>,
}

impl Broker {
    pub(super) fn incarnate(&self) -> Incarnate {
        let directory = DirectoryId::from_bytes([u8::try_from(self.id.0).expect("few brokers"); 16]);
        Incarnate { broker: self.id, epoch: self.life, directory }
    }
}

/// A produce on its way.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) waiter: u64,
    pub(super) sent: usize,
    pub(super) to: usize,
    pub(super) epoch: LeaderEpoch,
}

/// A read of the leader's own log, for a follower that is far behind.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) leader: usize,
    pub(super) to: usize,
    pub(super) stream: StreamId,
    pub(super) epoch: LeaderEpoch,
    pub(super) batches: Vec<PlacedBatch>,
}

/// What a leader remembers of producers below `at`, wanted by a follower.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) to: usize,
    pub(super) life: BrokerEpoch,
    pub(super) epoch: LeaderEpoch,
    pub(super) at: Offset,
}

/// A follower's tail, wanted by an opening leader.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) leader: usize,
    pub(super) life: BrokerEpoch,
    pub(super) from: usize,
    pub(super) start: Offset,
    pub(super) end: Offset,
}

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) random: Random,
    pub(super) now: Moment,
    pub(super) brokers: Vec<Broker>,
    pub(super) network: Network,
    pub(super) quorum: Quorum,
    pub(super) producers: Producers,
    pub(super) requests: Vec<Request>,
    pub(super) reads: Vec<Read>,
    pub(super) tails: Vec<Tail>,
    pub(super) tables: Vec<Table>,
    pub(super) heartbeats: Vec<Heartbeat>,
    pub(super) reader: Reader,
    pub(super) rounds: Rounds,
    pub(super) judge: Judge,
    /// Kept only when somebody will read it.
    pub(super) story: Option<Vec<String>>,
}

pub(super) fn index_of(id: BrokerId) -> usize {
    id.0 as usize - 1
}

pub(super) fn id_of(index: usize) -> BrokerId {
    BrokerId(u32::try_from(index).expect("few brokers") + 1)
}

impl Cluster {
    pub(super) fn new(seed: u64, with_story: bool) -> Self {
        let mut random = Random::new(seed);
        let ids: Vec<_> = (1..=3).map(BrokerId).collect();
        let min_insync = 1 + random.below(2);
        let quorum = Quorum::new(&ids, min_insync);
        let broker = |id: BrokerId| Broker {
            id,
            life: BrokerEpoch(1),
            log: ModelLog::default(),
            machine: None,
            lease: Lease::default(),
            unclean: false,
            lossy: false,
            deaf: false,
            watch: 0,
            held: BTreeSet::new(),
        };
        let mut cluster = Self {
            random,
            now: Moment::default(),
            brokers: ids.iter().copied().map(broker).collect(),
            network: Network::default(),
            quorum,
            producers: Producers::new(2),
            requests: Vec::new(),
            reads: Vec::new(),
            tails: Vec::new(),
            tables: Vec::new(),
            heartbeats: Vec::new(),
            reader: Reader::default(),
            rounds: Rounds::default(),
            judge: Judge::default(),
            story: with_story.then(Vec::new),
        };
        for index in 0..BROKERS {
            cluster.start(index);
        }
        // All have been there for a while: nobody is fenced.
        cluster.quorum = Quorum::new(&ids, min_insync);
        cluster.brokers.iter_mut().for_each(|broker| broker.watch = 0);
        cluster.beat_all();
        cluster
    }

    pub(super) fn tell(&mut self, sentence: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{:>7} ms  {}", self.now.micros / 1000, sentence()));
        }
    }

    pub(super) fn start(&mut self, index: usize) {
        let broker = &mut self.brokers[index];
        let (log, unclean) = (broker.log.recovered(), broker.unclean);
        let setup = Setup { id: partition(), me: broker.id, log, unclean, limits: LIMITS };
        broker.machine = Some(Machine::new(setup));
        broker.life = broker.life.next();
        let id = broker.id;
        broker.lease = Lease::default();
        self.quorum.register(id, unclean);
        // It acts only on what its watch shows from its own registration on (N1).
        self.brokers[index].watch = self.quorum.entries.len() - 1;
        self.judge.process_started(index);
        self.tell(|| format!("broker {id} starts{}", if unclean { ", unclean" } else { "" }));
    }

    /// The process ends: all it held in memory is gone.
    pub(super) fn crash(&mut self, index: usize) {
        let broker = &mut self.brokers[index];
        broker.log.crash(&mut self.random);
        broker.unclean = true;
        self.end_process(index);
        self.tell(|| format!("broker {} crashes", index + 1));
    }

    /// The leader's process ends, and its disk had lied about syncs. The rest of the in-sync set makes up for one such
    /// loss at a time.
    pub(super) fn crash_lossily(&mut self) {
        let entry = self.quorum.now();
        let Some(index) = entry.leader.map(index_of).filter(|_| entry.isr.len() > 1) else { return };
        if self.brokers.iter().any(|broker| broker.lossy) || self.brokers[index].machine.is_none() {
            return;
        }
        let broker = &mut self.brokers[index];
        broker.log.crash_lossily(&mut self.random);
        (broker.unclean, broker.lossy) = (true, true);
        self.end_process(index);
        // What it had proposed might leave it alone in the set: nobody could make up for the loss then.
        self.quorum.proposals.retain(|proposal| proposal.from != id_of(index));
        let end = self.brokers[index].log.end();
        self.tell(|| format!("broker {} crashes, and its disk keeps only what is below {end}", index + 1));
    }

    /// A clean stop: everyone is told, and everything is synced.
    pub(super) fn stop(&mut self, index: usize) {
        self.step(index, |machine, _| machine.stopping());
        self.flush(index, usize::MAX, true);
        let broker = &mut self.brokers[index];
        broker.log.keep_committed();
        broker.log.crash(&mut self.random);
        broker.unclean = broker.lossy;
        self.end_process(index);
        self.tell(|| format!("broker {} stops", index + 1));
    }

    fn end_process(&mut self, index: usize) {
        let broker = &mut self.brokers[index];
        broker.machine = None;
        for waiter in std::mem::take(&mut broker.held) {
            self.producers.lost(waiter);
        }
        self.network.drop_broker(index);
        self.reads.retain(|read| read.leader != index);
        self.rounds.begun.retain(|&(of, _), _| of != index);
    }

    /// One step of a machine, and everything it wants done.
    pub(super) fn step(&mut self, index: usize, event: impl FnOnce(&mut Machine<u64>, Moment)) {
        let now = self.now;
        let Broker { machine, lease, .. } = &mut self.brokers[index];
        let Some(machine) = machine else { return };
        machine.set_lease(*lease);
        event(machine, now);
        let mut effects = Vec::new();
        machine.take_effects(&mut effects);
        self.judge.committed(index, &self.brokers, self.quorum.now());
        for effect in effects {
            self.carry_out(index, effect);
        }
        self.judge.positions(index, &self.brokers, self.quorum.now());
        let broker = &mut self.brokers[index];
        if let Some(Role::Leader(leading)) = broker.machine.as_ref().map(Machine::role) {
            broker.lossy &= !leading.is_open();
            if leading.is_open() {
                self.rounds.served = self.rounds.served.max(leading.epoch);
            }
        }
    }

    /// Time passes. Whoever is at rest finds nothing to do then, which is why ticks may be rare.
    pub(super) fn tick(&mut self, index: usize) {
        self.step(index, |machine, now| {
            let was_at_rest = machine.is_at_rest();
            machine.tick(now);
            let did_nothing = machine.effects.iter().all(|effect| matches!(effect, Effect::Publish));
            assert!(did_nothing || !was_at_rest, "at rest, a tick did {:?}", machine.effects);
        });
    }

    fn carry_out(&mut self, index: usize, effect: Effect<u64>) {
        match effect {
            Effect::Append(batch) => {
                self.judge.placed(&batch);
                self.brokers[index].log.append(batch);
            }
            Effect::Secure(bytes) => self.brokers[index].log.submit(Work::Secure(bytes)),
            Effect::Cut { to, committed_end, .. } => {
                self.tell(|| format!("broker {} cuts its log to {to}", index + 1));
                self.brokers[index].log.submit(Work::Cut { to, committed_end });
            }
            Effect::ReadProducers { at, epoch } => {
                let life = self.brokers[index].life;
                self.tables.push(Table { to: index, life, epoch, at });
            }
            Effect::StartOver { at, producers } => {
                self.tell(|| format!("broker {} starts over at {at}", index + 1));
                self.brokers[index].log.submit(Work::StartOver { at, producers });
            }
            Effect::AdvanceStart(to) => self.brokers[index].log.submit(Work::AdvanceStart(to)),
            Effect::NoteCommitted(end) => self.brokers[index].log.submit(Work::Committed(end)),
            Effect::Answer(waiter, answer) => {
                self.tell(|| format!("broker {} answers produce {waiter}: {answer:?}", index + 1));
                let broker = &mut self.brokers[index];
                assert!(broker.held.remove(&waiter), "produce {waiter} is answered twice");
                let stored = matches!(answer, ProduceAnswer::Stored(_));
                assert!(!stored || broker.lease.holds(self.now), "acknowledged outside the lease (N12)");
                self.judge.answered(&self.producers, waiter, &answer);
                self.producers.answered(waiter, &answer);
            }
            Effect::Tell { stream, epoch, message, .. } => {
                if let Some(current) = self.network.current(stream) {
                    current.to_follower.push_back((epoch, message));
                }
            }
            Effect::Reply { stream, epoch, message } => {
                if let FollowerMessage::Refused { cause: RefusalCause::WouldCutCommitted, message, .. } =
                    &message
                {
                    panic!("replicas have parted: {message}");
                }
                if let Some(current) = self.network.current(stream) {
                    current.to_leader.push_back((epoch, message));
                }
            }
            Effect::PushReady { stream, .. } => {
                if let Some(current) = self.network.current(stream) {
                    current.push_ready = true;
                }
            }
            Effect::CommittedReady { stream, .. } => {
                if let Some(current) = self.network.current(stream) {
                    current.committed_ready = true;
                }
            }
            Effect::Propose { epoch, proposed } => self.propose(index, epoch, proposed),
            Effect::ReadTail { from, start, end, .. } => {
                let life = self.brokers[index].life;
                self.tails.push(Tail { leader: index, life, from: index_of(from), start, end });
            }
            Effect::Confirmed(round) => self.round_confirmed(index, round),
            // No log fails here: conversations have that.
            Effect::ReplicaFailed => panic!("the log of broker {} failed", index + 1),
            Effect::Publish => {}
            Effect::Alarm(message) => self.tell(|| format!("broker {} alarms: {message}", index + 1)),
        }
    }

    fn propose(&mut self, index: usize, epoch: LeaderEpoch, proposed: crate::replica::Proposed) {
        self.tell(|| format!("broker {} proposes {:?}", index + 1, proposed.isr));
        self.quorum.proposals.push(Proposal { from: id_of(index), epoch, proposed });
    }

    /// The flusher does some work, and perhaps syncs.
    pub(super) fn flush(&mut self, index: usize, count: usize, sync: bool) {
        for _ in 0..count {
            let Some(told) = self.brokers[index].log.work() else { break };
            if let Some(event) = told {
                self.hear_log(index, event);
            }
        }
        let synced = if sync { self.brokers[index].log.sync() } else { None };
        if let Some(event) = synced {
            self.hear_log(index, event);
        }
    }

    fn hear_log(&mut self, index: usize, event: Told) {
        let wall_ms = self.now.micros / 1000;
        let timing = FlushTiming { taken: self.now, written: self.now, synced: self.now };
        self.tell(|| format!("the log of broker {} says {}", index + 1, event.brief()));
        self.step(index, |machine, now| match event {
            Told::Secured(room) => machine.secured(room, now, wall_ms),
            Told::Durable(end) => machine.durable(end, timing, now),
            Told::Cut(done) => machine.cut_done(done, now),
            Told::Started(start) => machine.started(start),
        });
    }

    /// The watch of a broker shows it the entry at `entry`; a leader begins on the live streams it has.
    pub(super) fn show(&mut self, index: usize, entry: usize) {
        let assignment = self.quorum.entries[entry].clone();
        self.tell(|| format!("broker {} sees {assignment:?}", index + 1));
        self.brokers[index].watch = entry + 1;
        self.step(index, |machine, now| machine.assigned(assignment, now));
        for to in (0..BROKERS).filter(|&to| to != index) {
            let Some(id) = self.network.up(index, to, Lane::Live) else { continue };
            let incarnate = self.brokers[to].incarnate();
            self.step(index, |machine, _| {
                if machine.is_down(id_of(to)) {
                    machine.stream_up(id, incarnate);
                }
            });
        }
    }

    pub(super) fn wait(&mut self, milliseconds: usize) {
        self.now = self.now.plus(Duration::from_millis(milliseconds as u64));
    }
}
