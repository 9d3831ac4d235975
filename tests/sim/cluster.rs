//! One run: machines, the network between them, the quorum and the clients, and the order in which things happen.
//!
//! Always true: whatever happens is drawn from the seed; what a process said is heard of only when its step was not cut
//! off; every step is judged before anybody hears of it.

use std::sync::Arc;

use fidelog_broker::meta::state::Proposal;
use fidelog_broker::partition::{LogState, Machine, Partition, Setup};
use fidelog_log::env::Clock;
use fidelog_log::{Log, RecoveryReport};
use fidelog_record::types::{ClusterId, TopicPartition};
use fidelog_tests::story::Story;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::agenda::Agenda;
use crate::broker::{Broker, Life, index_of};
use crate::clients::Clients;
use crate::control::Control;
use crate::event::{Event, Own, Purpose};
use crate::groups::Group;
use crate::judge::{Judge, Soundness};
use crate::links::Said;
use crate::network::Network;
use crate::quorum::Quorum;
use crate::settings::Settings;

/// More happens in no run: beyond it something goes round in circles.
const EVENTS_MAX: u64 = 300_000;
/// A quorum's wall clock when the run begins, Unix milliseconds.
const WALL_MS: u64 = 1_767_225_600_000;

/// A cluster.
pub(crate) struct Sim {
    pub(crate) random: StdRng,
    pub(crate) agenda: Agenda,
    pub(crate) story: Story,
    pub(crate) settings: Settings,
    pub(crate) cluster: ClusterId,
    pub(crate) brokers: Vec<Broker>,
    pub(crate) network: Network,
    pub(crate) quorum: Quorum,
    pub(crate) control: Control,
    pub(crate) clients: Clients,
    pub(crate) group: Group,
    pub(crate) judge: Judge,
    /// Faults are over.
    pub(crate) healing: bool,
    /// All is well: the run ends.
    pub(crate) done: bool,
}

/// Runs one seed.
///
/// # Panics
/// When a promise is broken.
pub(crate) fn run(seed: u64, story: &Story) {
    let mut sim = Sim::new(seed, story.clone());
    sim.begin();
    let mut events = 0;
    while !sim.done {
        let event = sim.agenda.pop().expect("heartbeats never end");
        sim.happen(event);
        events += 1;
        assert!(events < EVENTS_MAX, "{events} events, and no end");
    }
    sim.story
        .note("well", &[events, sim.agenda.now().micros], || format!("all is well after {events} events"));
    for broker in &mut sim.brokers {
        broker.life.take().into_iter().for_each(Life::bury);
    }
}

impl Sim {
    fn new(seed: u64, story: Story) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let settings = Settings::draw(&mut random);
        story.note("seed", &[seed], || format!("seed {seed}: {settings:?}"));
        let cluster = ClusterId::from_random([1; 16]);
        let brokers = (0..settings.broker_count)
            .map(|index| Broker::new(index, random.random(), settings.log.clone(), cluster))
            .collect();
        Self {
            agenda: Agenda::default(),
            story,
            cluster,
            brokers,
            network: Network::default(),
            quorum: Quorum::new(cluster),
            control: Control::new(),
            clients: Clients::default(),
            group: Group::default(),
            judge: Judge::default(),
            healing: false,
            done: false,
            random,
            settings,
        }
    }

    fn begin(&mut self) {
        for index in 0..self.brokers.len() {
            let micros = self.below(20_000);
            self.agenda.after(micros, Event::Start(index));
        }
        self.agenda.after(self.settings.tick, Event::Control);
    }

    /// The machine that the quorum is, as far as links go.
    pub(crate) fn quorum_node(&self) -> usize {
        self.brokers.len()
    }

    pub(crate) fn wall_ms(&self) -> u64 {
        WALL_MS + self.agenda.now().micros / 1_000
    }

    /// A number below `bound`; 0 when that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.random.random_range(0..bound) }
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Microseconds for one way over the network; now and then many.
    pub(crate) fn hop(&mut self) -> u64 {
        let hop = self.settings.hop;
        let scale = if self.healing || !self.percent(2) { 1 } else { 20 };
        50 + self.below(hop * scale)
    }

    pub(crate) fn tell(&self, name: &str, numbers: &[u64], sentence: impl FnOnce() -> String) {
        let micros = self.agenda.now().micros;
        self.story.note(name, numbers, || {
            format!("{:>6}.{:03} ms  {}", micros / 1_000, micros % 1_000, sentence())
        });
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(broker) => self.start(broker),
            Event::Of { broker, life, what } => self.of(broker, life, what),
            Event::Resume { broker, life } => self.resume(broker, life),
            Event::Arrive(stream, way) => self.arrive(stream, way),
            Event::KeepAlive(stream) => self.keep_alive(stream),
            Event::Consider(asked) => self.consider(*asked),
            Event::Control => self.look_at_sessions(),
            Event::Beat { broker, life, sent, heartbeat } => self.beat_heard(broker, life, sent, &heartbeat),
            Event::Produce(lane) => self.produce(lane),
            Event::Answer { request, answer } => self.answered(request, answer),
            Event::Read(reader) => self.read(reader),
            Event::Member(member) => self.member_acts(member),
            Event::Told { call, answer } => self.member_hears(call, answer),
            Event::Trouble => self.make_trouble(),
            Event::Cut { one, other, micros } => self.cut_between(one, other, micros),
            Event::Over(trouble) => self.end_trouble(trouble),
            Event::Heal => self.heal(),
            Event::Look => self.look(),
        }
    }

    /// Something of a process: nothing when it has ended, later when it is paused.
    fn of(&mut self, broker: usize, life: u64, what: Own) {
        let machine = &mut self.brokers[broker];
        if machine.life.as_ref().is_none_or(|it| it.number != life) {
            match what {
                Own::Request { request, .. } => self.connection_lost(request),
                Own::Call(call) => self.agenda.after(1_000, Event::Told { call, answer: None }),
                _ => {}
            }
            return;
        }
        if let Some(put_off) = &mut machine.paused {
            put_off.push_back(what);
            return;
        }
        machine.advance_to(self.agenda.now());
        match what {
            Own::Register => self.register(broker),
            Own::Answered(purpose, answer) => self.quorum_answered(broker, purpose, answer),
            Own::Watch => self.watch(broker),
            Own::Flush => self.flush(broker),
            Own::Tick => self.tick(broker),
            Own::Tend => self.tend(broker),
            Own::Beat => self.beat(broker),
            Own::BeatAnswered(sent) => self.beat_answered(broker, sent),
            Own::Connect(to, lane) => self.connect(broker, to, lane),
            Own::StreamUp(stream) => self.stream_up(stream),
            Own::Serve(stream) => self.serve(stream),
            Own::Spread(stream) => self.spread(stream),
            Own::ReadDone(stream, at) => self.read_done(stream, at),
            Own::Producers(at, epoch, below, told) => self.producers_read(broker, at, epoch, (below, told)),
            Own::Tail { at, from, batches } => self.tail_read(broker, at, from, batches),
            Own::Report(number) => self.report_again(broker, number),
            Own::OpenAgain => self.open_again(broker),
            Own::Remove(topic) => self.remove(broker, topic),
            Own::Leave(at) => self.delete_replica(broker, at),
            Own::Call(call) => self.called(broker, call),
            Own::Paused(done) => {
                let _heard = done.send(());
                self.settle(broker);
            }
            Own::Testified(told, testimony) => {
                drop(told.send(testimony));
                self.settle(broker);
            }
            Own::Request { request, at, epoch } => self.requested(broker, request, at, epoch),
            Own::Stop => self.stop(broker),
            Own::Mend => self.mend(broker),
            Own::Exit => self.end(broker, "it ends"),
        }
    }

    /// Something of this process happens later.
    pub(crate) fn own_later(&mut self, broker: usize, micros: u64, what: Own) {
        if let Some(life) = self.life(broker) {
            let life = life.number;
            self.agenda.after(micros, Event::Of { broker, life, what });
        }
    }

    pub(crate) fn life(&self, broker: usize) -> Option<&Life> {
        self.brokers[broker].life.as_ref()
    }

    pub(crate) fn life_mut(&mut self, broker: usize) -> Option<&mut Life> {
        self.brokers[broker].life.as_mut()
    }

    pub(crate) fn partition(&self, broker: usize, at: TopicPartition) -> Option<Arc<Partition>> {
        self.life(broker)?.partitions.get(&at).cloned()
    }

    /// One step of a partition, and all that follows from it at once. None when it is not hosted.
    pub(crate) fn step<T>(
        &mut self,
        broker: usize,
        at: TopicPartition,
        event: impl FnOnce(&Arc<Partition>) -> T,
    ) -> Option<T> {
        let partition = self.partition(broker, at)?;
        self.brokers[broker].advance_to(self.agenda.now());
        let answer = event(&partition);
        drop(partition);
        self.settle(broker);
        Some(answer)
    }

    /// After a step: did the process outlive it, is it as promised, and what did it say?
    pub(crate) fn settle(&mut self, broker: usize) {
        let machine = &self.brokers[broker];
        let Some(life) = &machine.life else { return };
        if machine.disk.is_crashed() {
            self.end(broker, "the power is gone");
            return;
        }
        if life.process.has_ended() {
            self.end(broker, "killed amid its work");
            return;
        }
        self.observe(broker);
        let Some(life) = self.life(broker) else { return };
        let said = life.outbox.take();
        for said in said {
            self.hear(broker, said);
        }
        self.flush_soon(broker);
        if self.life(broker).is_some_and(|life| life.owners.are_woken()) {
            self.go_on(broker);
            self.settle(broker);
        }
    }

    fn hear(&mut self, broker: usize, said: Said) {
        match said {
            Said::Tell(stream, at, epoch, message) => {
                self.send_to_follower(broker, stream, at, epoch, message)
            }
            Said::Reply(stream, at, epoch, message) => {
                self.send_to_leader(broker, stream, at, epoch, message)
            }
            Said::PushReady(stream, at) => self.push_ready(stream, at),
            Said::CommittedReady(stream, at) => self.committed_ready(stream, at),
            Said::Propose(at, epoch, proposed) => {
                let Some(life) = self.life(broker) else { return };
                let (Some(me), Some(view)) = (life.incarnate(), &life.view) else { return };
                // Only the watch moves the set (N7).
                let proposal = Proposal::change_isr(view, me, at, epoch, &proposed);
                if let Some(joining) = proposed.added.first() {
                    self.disturb_growth(broker, index_of(joining.broker));
                }
                proposal.into_iter().for_each(|it| self.propose(broker, it, Purpose::Isr(at)));
            }
            Said::Failed => self.tell_conditions(broker),
            Said::ReadProducers { at, epoch, below } => self.read_producers(broker, at, epoch, below),
            Said::ReadTail { at, from, epoch, start, end } => {
                self.read_tail(broker, at, from, epoch, (start, end));
            }
            Said::Answer(request, answer) => self.answer_leaves(broker, request, answer),
        }
    }

    /// Puts a log under a partition, as the node does; `made` unless the metadata knows of none here yet.
    pub(crate) fn host(
        &mut self,
        broker: usize,
        at: TopicPartition,
        log: Log,
        report: &RecoveryReport,
        made: bool,
    ) {
        let limits = self.settings.machine;
        let id = self.brokers[broker].id;
        let clock: Arc<dyn Clock> = Arc::new(self.brokers[broker].clock.clone());
        let durable_end = log.view().durable_end();
        let Some(life) = self.life_mut(broker) else { return };
        let setup = Setup {
            id: at,
            me: id,
            log: LogState::of(&log),
            unclean: !life.home.found().is_clean(at) && durable_end.0 > 0,
            limits,
        };
        let (outbox, lease) = (Arc::clone(&life.outbox), life.lease.clone());
        let partition =
            Partition::new(Machine::new(setup), Arc::clone(&life.flusher), clock, outbox as _, lease);
        partition.attach(log);
        life.partitions.insert(at, Arc::clone(&partition));
        if life.view.as_ref().and_then(|view| view.topic(at.topic)).is_some_and(|topic| topic.internal) {
            life.owners.host(at.topic, partition);
        }
        self.tell("hosted", &[broker as u64, durable_end.0], || {
            let found: Vec<_> =
                report.findings.iter().map(|it| format!("{:?} {}", it.case, it.detail)).collect();
            format!("broker {} hosts {at} up to {durable_end}: {}", broker + 1, found.join(", "))
        });
        let machine = &self.brokers[broker];
        let soundness = match machine.hurt {
            Some((there, hurt)) if made && there == at => Soundness::Hurt(hurt),
            _ if made && !machine.tainted => Soundness::Whole,
            _ => Soundness::Unknown,
        };
        self.judge.hosted(broker, at, durable_end, soundness, report);
        if !report.damage.is_empty() {
            // Nothing else may be destroyed until it is mended.
            self.brokers[broker].tainted = true;
        }
        self.observe(broker);
        self.judge_members(at);
    }
}
