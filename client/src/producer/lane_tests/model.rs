//! A model of a broker's partition, the network in front of it, and a lane that sends to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::Rng;
use rand::rngs::StdRng;

use super::super::*;

pub(super) const IDENTITY: Identity = Identity { id: ProducerId(7), epoch: ProducerEpoch(0) };

fn refusal(reason: Reason) -> Arc<Refusal> {
    let (message, details) = (String::new(), BTreeMap::new());
    Arc::new(Refusal { reason, message, details, retry_after: None, leader: None })
}

pub(super) fn refused(reason: Reason) -> Answer {
    Answer::Refused(refusal(reason))
}

fn stored() -> Answer {
    Answer::Stored(Box::default())
}

/// A placed batch, and the attempts that wait for its commit.
pub(super) struct Placed {
    id: u32,
    stamp: ProducerStamp,
    records: u32,
    waiting: Vec<(usize, u64)>,
}

/// A connection: requests not yet processed, and answers in order, of which some are not known yet.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) requests: VecDeque<(u64, u32, ProducerStamp)>,
    pub(super) answers: VecDeque<(u64, Option<Answer>)>,
    pub(super) cut: bool,
}

/// The partition's leader, and the network in front of it.
#[derive(Default)]
pub(super) struct Broker {
    pub(super) log: Vec<Placed>,
    pub(super) committed: usize,
    pub(super) connections: Vec<Connection>,
    pub(super) poison: BTreeSet<u32>,
    pub(super) records: BTreeMap<u32, u32>,
    /// Producers that were idle for too long.
    pub(super) forgotten: BTreeSet<ProducerId>,
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
        if self.forgotten.contains(&stamp.id) {
            return Some(refused(Reason::UnknownProducer));
        }
        if let Some(index) = self.log.iter().position(|placed| placed.stamp == stamp) {
            assert_eq!(self.log[index].id, id, "one stamp names one batch for ever");
            if index < self.committed {
                return Some(stored());
            }
            self.log[index].waiting.push((connection, attempt));
            return None;
        }
        let last = self.log.iter().rev().find(|placed| placed.stamp.id == stamp.id);
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

pub(super) struct World {
    pub(super) broker: Broker,
    pub(super) lane: Lane<u32>,
    pub(super) link: Option<usize>,
    pub(super) now_ms: u64,
    pub(super) outcomes: BTreeMap<u32, Result<(), DeliveryError>>,
    pub(super) next_id: u32,
    pub(super) budget_ms: u64,
    /// Whether producers are forgotten now and then.
    pub(super) forgets: bool,
    /// How many identities were granted later.
    granted: u64,
}

impl World {
    pub(super) fn new(lane: Lane<u32>, budget_ms: u64) -> Self {
        Self {
            broker: Broker::default(),
            lane,
            link: None,
            now_ms: 0,
            outcomes: BTreeMap::new(),
            next_id: 0,
            budget_ms,
            forgets: false,
            granted: 0,
        }
    }

    pub(super) fn push(&mut self, rng: &mut StdRng, poison_percent: u32) {
        let (id, records) = (self.next_id, rng.random_range(1..4));
        self.next_id += 1;
        self.broker.records.insert(id, records);
        if rng.random_ratio(poison_percent, 100) {
            self.broker.poison.insert(id);
        }
        self.lane.push(id, records, self.now_ms + self.budget_ms);
    }

    pub(super) fn step(&mut self) {
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
                Effect::NeedIdentity => {
                    self.granted += 1;
                    let id = ProducerId(IDENTITY.id.0 + self.granted);
                    self.lane.granted(Identity { id, ..IDENTITY });
                }
            }
        }
    }

    /// The cluster forgets every producer it knows.
    pub(super) fn forget(&mut self) {
        self.broker.forgotten.extend((0..=self.granted).map(|more| ProducerId(IDENTITY.id.0 + more)));
    }

    pub(super) fn connect(&mut self) {
        if self.link.is_none() {
            self.link = Some(self.broker.connections.len());
            self.broker.connections.push(Connection::default());
        }
    }

    /// What was sent may still arrive; no answer will.
    pub(super) fn disconnect(&mut self) {
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

    pub(super) fn hear(&mut self, attempt: u64, answer: Answer) {
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

    pub(super) fn chaos(&mut self, rng: &mut StdRng, poison_percent: u32) {
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
            _ if self.forgets && rng.random_ratio(1, 2) => self.forget(),
            _ => self.now_ms += rng.random_range(0..40),
        }
        self.step();
    }

    /// Faults end; everything still on its way arrives.
    pub(super) fn heal(&mut self) {
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

    pub(super) fn check(&self) {
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
