//! The lane against a model of a broker's partition: whatever the network and the broker do, nothing is stored
//! twice, order is kept, and what is said of a batch is true.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const IDENTITY: Identity = Identity { id: ProducerId(7), epoch: ProducerEpoch(0) };

fn refusal(reason: Reason) -> Arc<Refusal> {
    let (message, details) = (String::new(), BTreeMap::new());
    Arc::new(Refusal { reason, message, details, retry_after: None, leader: None })
}

fn refused(reason: Reason) -> Answer {
    Answer::Refused(refusal(reason))
}

fn stored() -> Answer {
    Answer::Stored(Box::default())
}

/// A placed batch, and the attempts that wait for its commit.
struct Placed {
    id: u32,
    stamp: ProducerStamp,
    records: u32,
    waiting: Vec<(usize, u64)>,
}

/// A connection: requests not yet processed, and answers in order, of which some are not known yet.
#[derive(Default)]
struct Connection {
    requests: VecDeque<(u64, u32, ProducerStamp)>,
    answers: VecDeque<(u64, Option<Answer>)>,
    cut: bool,
}

/// The partition's leader, and the network in front of it.
#[derive(Default)]
struct Broker {
    log: Vec<Placed>,
    committed: usize,
    connections: Vec<Connection>,
    poison: BTreeSet<u32>,
    records: BTreeMap<u32, u32>,
}

impl Broker {
    fn process(&mut self, connection: usize, overloaded: bool) {
        let Some((attempt, id, stamp)) = self.connections[connection].requests.pop_front() else { return };
        let answer = self.place(connection, attempt, id, stamp, overloaded);
        self.connections[connection].answers.push_back((attempt, answer));
    }

    fn place(
        &mut self,
        connection: usize,
        attempt: u64,
        id: u32,
        stamp: ProducerStamp,
        overloaded: bool,
    ) -> Option<Answer> {
        if self.poison.contains(&id) {
            return Some(refused(Reason::RecordTooLarge));
        }
        if overloaded {
            return Some(refused(Reason::Overloaded));
        }
        if let Some(index) = self.log.iter().position(|placed| placed.stamp == stamp) {
            assert_eq!(self.log[index].id, id, "one stamp names one batch for ever");
            if index < self.committed {
                return Some(stored());
            }
            self.log[index].waiting.push((connection, attempt));
            return None;
        }
        let last = self.log.last();
        let (epoch, next) = last.map_or((stamp.epoch, 0), |last| {
            (last.stamp.epoch, last.stamp.base_sequence.0 + u64::from(last.records))
        });
        if stamp.epoch < epoch {
            return Some(refused(Reason::ProducerFenced));
        }
        let expected = if stamp.epoch == epoch { next } else { 0 };
        if stamp.base_sequence.0 != expected {
            return Some(refused(Reason::OutOfOrder));
        }
        let records = self.records[&id];
        self.log.push(Placed { id, stamp, records, waiting: vec![(connection, attempt)] });
        None
    }

    fn answer(&mut self, waiting: Vec<(usize, u64)>, answer: &Answer) {
        for (connection, attempt) in waiting {
            let mut answers = self.connections[connection].answers.iter_mut();
            let place = answers.find(|(waits, _)| *waits == attempt);
            if let Some((_, place)) = place {
                *place = Some(answer.clone());
            }
        }
    }

    fn commit(&mut self, until: usize) {
        for index in self.committed..until {
            let waiting = std::mem::take(&mut self.log[index].waiting);
            self.answer(waiting, &stored());
        }
        self.committed = until;
    }

    /// The leader changes: what is not committed may be cut, and who waits for it is told that nobody knows.
    fn fail_over(&mut self, keep: usize) {
        for index in self.committed..self.log.len() {
            let waiting = std::mem::take(&mut self.log[index].waiting);
            self.answer(waiting, &refused(Reason::OutcomeUnknown));
        }
        self.log.truncate(keep);
    }
}

struct World {
    broker: Broker,
    lane: Lane<u32>,
    link: Option<usize>,
    now_ms: u64,
    outcomes: BTreeMap<u32, Result<(), DeliveryError>>,
    next_id: u32,
    budget_ms: u64,
}

impl World {
    fn new(lane: Lane<u32>, budget_ms: u64) -> Self {
        Self {
            broker: Broker::default(),
            lane,
            link: None,
            now_ms: 0,
            outcomes: BTreeMap::new(),
            next_id: 0,
            budget_ms,
        }
    }

    fn push(&mut self, rng: &mut StdRng, poison_percent: u32) {
        let (id, records) = (self.next_id, rng.random_range(1..4));
        self.next_id += 1;
        self.broker.records.insert(id, records);
        if rng.random_ratio(poison_percent, 100) {
            self.broker.poison.insert(id);
        }
        self.lane.push(id, records, self.now_ms + self.budget_ms);
    }

    fn step(&mut self) {
        let mut effects = Vec::new();
        self.lane.step(self.now_ms, self.link.is_some(), &mut effects);
        self.act(effects);
    }

    fn act(&mut self, effects: Vec<Effect<u32>>) {
        for effect in effects {
            match effect {
                Effect::Send { attempt, stamp, payload } => {
                    let link = self.link.expect("the lane was told whether there is a link");
                    self.broker.connections[link].requests.push_back((attempt, payload, stamp));
                }
                Effect::Report { payload, outcome } => {
                    let former = self.outcomes.insert(payload, outcome.map(drop));
                    assert!(former.is_none(), "batch {payload} was reported twice");
                }
                Effect::Retried { .. } | Effect::EpochRaised(_) => {}
                Effect::NeedIdentity => self.lane.granted(IDENTITY),
            }
        }
    }

    fn connect(&mut self) {
        if self.link.is_none() {
            self.link = Some(self.broker.connections.len());
            self.broker.connections.push(Connection::default());
        }
    }

    /// What was sent may still arrive; no answer will.
    fn disconnect(&mut self) {
        let Some(link) = self.link.take() else { return };
        let connection = &mut self.broker.connections[link];
        connection.cut = true;
        let answered = std::mem::take(&mut connection.answers).into_iter().map(|(attempt, _)| attempt);
        let lost: Vec<u64> =
            answered.chain(connection.requests.iter().map(|(attempt, ..)| *attempt)).collect();
        for attempt in lost {
            self.hear(attempt, Answer::Lost);
        }
    }

    fn hear(&mut self, attempt: u64, answer: Answer) {
        let mut effects = Vec::new();
        self.lane.answered(attempt, answer, self.now_ms, 0, &mut effects);
        self.act(effects);
    }

    fn deliver_answer(&mut self) {
        let Some(link) = self.link else { return };
        let answers = &mut self.broker.connections[link].answers;
        if answers.front().is_some_and(|(_, answer)| answer.is_some())
            && let Some((attempt, Some(answer))) = answers.pop_front()
        {
            self.hear(attempt, answer);
        }
    }

    fn any_connection(&self, rng: &mut StdRng) -> Option<usize> {
        let busy = |(_, connection): &(usize, &Connection)| !connection.requests.is_empty();
        let all: Vec<usize> =
            self.broker.connections.iter().enumerate().filter(busy).map(|(index, _)| index).collect();
        (!all.is_empty()).then(|| all[rng.random_range(0..all.len())])
    }

    fn chaos(&mut self, rng: &mut StdRng, poison_percent: u32) {
        self.now_ms += rng.random_range(0..5);
        match rng.random_range(0..100) {
            0..25 => self.push(rng, poison_percent),
            25..50 => {
                if let Some(connection) = self.any_connection(rng) {
                    self.broker.process(connection, rng.random_ratio(1, 8));
                }
            }
            50..65 => {
                let until = rng.random_range(self.broker.committed..=self.broker.log.len());
                self.broker.commit(until);
            }
            65..86 => self.deliver_answer(),
            86..94 => self.connect(),
            94..97 => self.disconnect(),
            97..99 => {
                let keep = rng.random_range(self.broker.committed..=self.broker.log.len());
                self.broker.fail_over(keep);
            }
            _ => self.now_ms += rng.random_range(0..40),
        }
        self.step();
    }

    /// Faults end; everything still on its way arrives.
    fn heal(&mut self) {
        for _ in 0..10_000 {
            self.connect();
            self.now_ms += 1;
            self.step();
            for connection in 0..self.broker.connections.len() {
                self.broker.process(connection, false);
            }
            self.broker.commit(self.broker.log.len());
            self.deliver_answer();
            let quiet = self.broker.connections.iter().all(|connection| connection.requests.is_empty());
            if self.lane.is_empty() && quiet {
                return;
            }
        }
        panic!("the lane does not come to an end: {:?}", self.lane);
    }

    fn check(&self) {
        let log: Vec<u32> = self.broker.log.iter().map(|placed| placed.id).collect();
        assert!(log.windows(2).all(|pair| pair[0] < pair[1]), "stored twice or out of order: {log:?}");
        for id in 0..self.next_id {
            let is_stored = log.contains(&id);
            match self.outcomes.get(&id).unwrap_or_else(|| panic!("batch {id} was never reported")) {
                Ok(()) => assert!(is_stored, "batch {id} was acknowledged and is not stored"),
                Err(error) if error.is_definite() => {
                    assert!(!is_stored, "batch {id} is stored, and was said not to be")
                }
                Err(_) => {}
            }
        }
    }
}

fn run(seed: u64, budget_ms: u64, poison_percent: u32) -> World {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(Lane::idempotent(IDENTITY, rng.random_range(1..6)), budget_ms);
    for _ in 0..400 {
        world.chaos(&mut rng, poison_percent);
    }
    world.heal();
    world
}

#[test]
fn whatever_happens_nothing_is_stored_twice_or_out_of_order_and_every_word_is_true() {
    for seed in 0..3_000 {
        let budget_ms = [60, 400, 1_000_000][usize::try_from(seed % 3).unwrap()];
        let poison_percent = [0, 10, 40][usize::try_from(seed / 3 % 3).unwrap()];
        let result = std::panic::catch_unwind(|| run(seed, budget_ms, poison_percent).check());
        assert!(result.is_ok(), "seed {seed}, budget {budget_ms} ms, poison {poison_percent} %");
    }
}

#[test]
fn within_the_budget_and_without_poison_everything_is_stored() {
    for seed in 0..500 {
        let world = run(seed, 1_000_000, 0);
        world.check();
        assert!(world.outcomes.values().all(Result::is_ok), "seed {seed}: {:?}", world.outcomes);
    }
}

/// A lane, linked, with batches 0.. of one record each, sent.
fn sent(count: u32) -> (World, Vec<u64>) {
    let mut world = World::new(Lane::idempotent(IDENTITY, 5), 1_000);
    world.connect();
    for id in 0..count {
        world.broker.records.insert(id, 1);
        world.lane.push(id, 1, world.budget_ms);
        world.next_id += 1;
    }
    world.step();
    let attempts = world.broker.connections[0].requests.iter().map(|(attempt, ..)| *attempt).collect();
    (world, attempts)
}

fn stamps(world: &World) -> Vec<(u32, u32, u64)> {
    let requests = world.broker.connections.last().unwrap().requests.iter();
    requests.map(|(_, id, stamp)| (*id, stamp.epoch.0, stamp.base_sequence.0)).collect()
}

#[test]
fn when_one_batch_is_refused_the_rest_goes_on_in_order_under_a_new_epoch() {
    let (mut world, attempts) = sent(3);
    world.broker.connections[0].requests.clear();
    world.hear(attempts[0], refused(Reason::RecordTooLarge));
    world.hear(attempts[1], refused(Reason::OutOfOrder));
    world.step();
    assert!(stamps(&world).is_empty(), "nothing is sent while an attempt is in flight");
    world.hear(attempts[2], refused(Reason::OutOfOrder));
    world.step();
    assert_eq!(stamps(&world), [(1, 1, 0), (2, 1, 1)]);
    assert!(world.outcomes[&0].as_ref().unwrap_err().is_definite());
}

#[test]
fn a_refused_batch_with_nothing_behind_it_costs_no_epoch() {
    let (mut world, attempts) = sent(1);
    world.broker.connections[0].requests.clear();
    world.hear(attempts[0], refused(Reason::RecordTooLarge));
    world.lane.push(1, 1, 9_000);
    world.step();
    assert_eq!(stamps(&world), [(1, 0, 0)]);
}

#[test]
fn after_a_lost_connection_everything_is_sent_again_under_the_same_stamps() {
    let (mut world, _) = sent(3);
    let first = stamps(&world);
    world.disconnect();
    world.connect();
    world.now_ms += 10_000 - 9_500;
    world.step();
    assert_eq!(stamps(&world), first);
}

#[test]
fn a_refusal_after_a_lost_answer_leaves_the_outcome_unknown() {
    let (mut world, _) = sent(1);
    world.disconnect();
    world.connect();
    world.now_ms += 500;
    world.step();
    let attempt = world.broker.connections[1].requests[0].0;
    world.hear(attempt, refused(Reason::DiskFull));
    assert!(!world.outcomes[&0].as_ref().unwrap_err().is_definite());
}

#[test]
fn the_budget_ends_definitely_only_when_nothing_was_ever_left_unanswered() {
    let mut lane = Lane::idempotent(IDENTITY, 5);
    lane.push(0, 1, 50);
    let mut effects = Vec::new();
    lane.step(50, false, &mut effects);
    let [Effect::Report { outcome: Err(error), .. }] = &effects[..] else { panic!("{effects:?}") };
    assert!(error.is_definite(), "it was never sent");

    let (mut world, _) = sent(1);
    world.now_ms = 2_000;
    world.step();
    assert!(!world.outcomes[&0].as_ref().unwrap_err().is_definite(), "an answer was still to come");
}

#[test]
fn a_forgotten_producer_gets_a_new_identity_and_sends_nothing_again_that_may_be_stored() {
    let (mut world, attempts) = sent(2);
    world.broker.connections[0].requests.clear();
    world.hear(attempts[0], refused(Reason::UnknownProducer));
    world.hear(attempts[1], refused(Reason::UnknownProducer));
    world.lane.push(2, 1, 9_000);
    world.step();
    world.step();
    assert_eq!(world.outcomes.len(), 2);
    assert_eq!(stamps(&world), [(2, 0, 0)]);
}

#[test]
fn a_fenced_producer_ends() {
    let (mut world, attempts) = sent(2);
    for attempt in attempts {
        world.hear(attempt, refused(Reason::ProducerFenced));
    }
    world.step();
    assert!(world.lane.fenced().is_some() && world.lane.is_empty());
}

#[test]
fn without_idempotence_an_unknown_attempt_is_the_last() {
    let mut world = World::new(Lane::plain(), 1_000);
    world.connect();
    for id in 0..2 {
        world.lane.push(id, 1, 1_000);
    }
    world.step();
    assert_eq!(world.lane.in_flight(), 1);
    assert_eq!(world.broker.connections[0].requests[0].2, ProducerStamp::NONE);
    world.disconnect();
    assert!(!world.outcomes[&0].as_ref().unwrap_err().is_definite());
}
