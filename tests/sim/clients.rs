//! Producers: idempotent ones that resend until they are told (N16, N17), and plain ones that never do.

use std::collections::BTreeMap;

use fidelog_broker::partition::{Produce, ProduceAnswer, ProduceRefusal, Waiter};
use fidelog_log::env::Moment;
use fidelog_record::types::{
    LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TopicId, TopicPartition,
};
use fidelog_record::{BatchBuilder, Codec, EncodedBatch, ProducerStamp, RecordRef};
use std::sync::Arc;
use std::time::Duration;

use crate::broker::index_of;
use crate::cluster::Sim;
use crate::event::{Event, Own};
use crate::readers::Reader;

/// Sent and not settled, at most, per lane.
const IN_FLIGHT_MAX: usize = 5;
/// A batch of which every attempt was refused is given up after this, microseconds.
const BUDGET: u64 = 1_500_000;
/// A client waits so long for an answer, microseconds.
const PATIENCE: u64 = 3_000_000;

/// One producer on one partition.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) at: TopicPartition,
    /// 0: a plain one.
    id: ProducerId,
    epoch: ProducerEpoch,
    next_sequence: u64,
    next_number: u64,
    /// What is not settled, in order.
    batches: BTreeMap<u64, Batch>,
    /// Whom it takes for the leader.
    leader: usize,
    /// What it sends arrives no earlier than what it sent before.
    last_arrival: Moment,
    /// After a refusal it waits.
    quiet_until: Moment,
    /// Its topic is gone.
    closed: bool,
}

/// A batch that is not settled. All its attempts carry the same bytes.
#[derive(Debug)]
struct Batch {
    record_count: u32,
    encoded: EncodedBatch,
    born: Moment,
    /// Attempts on their way, or waiting for an answer.
    open_count: usize,
    /// Some attempt was answered "unknown", or not at all.
    unknown: bool,
}

#[derive(Debug)]
struct Request {
    lane: usize,
    number: u64,
    epoch: ProducerEpoch,
    encoded: EncodedBatch,
    broker: usize,
    life: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Clients {
    pub(crate) lanes: Vec<Lane>,
    requests: BTreeMap<u64, Request>,
    next_request: u64,
    pub(crate) readers: Vec<Reader>,
    /// New batches are wanted.
    pub(crate) producing: bool,
}

impl Clients {
    /// A topic is deleted: nobody asks what became of what was sent to it.
    pub(crate) fn forget(&mut self, topic: TopicId) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.at.topic == topic) {
            lane.closed = true;
            lane.batches.clear();
        }
        for reader in self.readers.iter_mut().filter(|reader| reader.at.topic == topic) {
            reader.closed = true;
        }
    }

    /// The partitions for which something is not settled, and what, for people.
    pub(crate) fn unsettled(&self) -> impl Iterator<Item = (TopicPartition, String)> {
        let batch = |(number, it): (&u64, &Batch)| {
            format!("batch {number}, {} attempts open, unknown {}", it.open_count, it.unknown)
        };
        let unsettled = self.lanes.iter().enumerate().filter(|(_, it)| !it.batches.is_empty());
        unsettled.map(move |(index, it)| {
            let open: Vec<_> = it.batches.iter().map(batch).collect();
            (it.at, format!("lane {index} asks broker {}: {}", it.leader + 1, open.join("; ")))
        })
    }

    /// What is not read up to `ends`.
    pub(crate) fn behind(
        &self,
        ends: impl Fn(TopicPartition) -> Offset,
    ) -> impl Iterator<Item = TopicPartition> {
        let behind = self.readers.iter().filter(move |it| !it.closed && it.position < ends(it.at));
        behind.map(|reader| reader.at)
    }
}

impl Sim {
    pub(crate) fn begin_clients(&mut self, topic: TopicId, partition_count: u32) {
        self.clients.producing = !self.healing;
        for index in 0..partition_count {
            let at = TopicPartition { topic, partition: PartitionIndex(index) };
            for idempotent in [true, true, false] {
                let lane = self.clients.lanes.len();
                self.clients.lanes.push(Lane {
                    at,
                    id: ProducerId(if idempotent { lane as u64 + 1 } else { 0 }),
                    epoch: ProducerEpoch(u32::from(idempotent)),
                    next_sequence: 0,
                    next_number: 0,
                    batches: BTreeMap::new(),
                    leader: 0,
                    last_arrival: Moment::default(),
                    quiet_until: Moment::default(),
                    closed: false,
                });
                self.agenda.after(1_000, Event::Produce(lane));
            }
            let reader = self.clients.readers.len();
            self.clients.readers.push(Reader { at, position: Offset(0), leader: 0, closed: false });
            self.agenda.after(5_000, Event::Read(reader));
        }
    }

    /// A producer wakes: it makes a batch, sends again what is open, gives up what was only ever refused.
    pub(crate) fn produce(&mut self, lane: usize) {
        if self.clients.lanes[lane].closed {
            return;
        }
        let micros = 1_000 + self.below(self.settings.produce);
        self.agenda.after(micros, Event::Produce(lane));
        let now = self.agenda.now();
        if now < self.clients.lanes[lane].quiet_until {
            return;
        }
        self.give_up(lane);
        let count = self.clients.lanes[lane].batches.len();
        if self.clients.producing && count < IN_FLIGHT_MAX && self.percent(60) {
            self.new_batch(lane);
        }
        let plain = self.clients.lanes[lane].id == ProducerId(0);
        let due = self.clients.lanes[lane].batches.iter().filter(|(_, it)| it.open_count == 0);
        let due: Vec<u64> = due.map(|(&number, _)| number).collect();
        for number in due {
            self.send(lane, number);
        }
        // Now and then the same batch goes out twice.
        if !plain && !self.healing && self.percent(4) {
            let first = self.clients.lanes[lane].batches.keys().next().copied();
            first.into_iter().for_each(|number| self.send(lane, number));
        }
    }

    pub(crate) fn new_batch(&mut self, lane: usize) {
        let record_count = 1 + u32::try_from(self.below(3)).expect("below 3");
        if self.clients.lanes[lane].closed {
            return;
        }
        let size = if self.percent(5) { 1_500 } else { 10 + self.below(150) };
        let now = self.agenda.now();
        let it = &mut self.clients.lanes[lane];
        let number = it.next_number;
        it.next_number += 1;
        let encoded = it.encode(lane, number, record_count, usize::try_from(size).expect("small"));
        it.batches.insert(number, Batch { record_count, encoded, born: now, open_count: 0, unknown: false });
    }

    fn send(&mut self, lane: usize, number: u64) {
        let broker = self.clients.lanes[lane].leader;
        let view_epoch = self.quorum.state().partition(self.clients.lanes[lane].at).map(|it| it.leader_epoch);
        let believes = self.percent(20);
        let in_order = self.percent(95);
        let (hop, now) = (self.hop(), self.agenda.now());
        let request = self.clients.next_request;
        self.clients.next_request += 1;
        let life = self.life(broker).map_or(0, |life| life.number);
        let it = &mut self.clients.lanes[lane];
        let mut arrives = crate::network::later(now, hop);
        if in_order {
            it.last_arrival = it.last_arrival.max(arrives);
            arrives = it.last_arrival;
        }
        let Some(batch) = it.batches.get_mut(&number) else { return };
        batch.open_count += 1;
        let (at, epoch) = (it.at, it.epoch);
        let encoded = batch.encoded.clone();
        self.clients.requests.insert(request, Request { lane, number, epoch, encoded, broker, life });
        let epoch = view_epoch.filter(|_| believes).unwrap_or(LeaderEpoch(0));
        self.agenda.at(arrives, Event::Of { broker, life, what: Own::Request { request, at, epoch } });
        self.agenda.after(PATIENCE, Event::Answer { request, answer: None });
    }

    /// A produce reaches a process.
    pub(crate) fn requested(&mut self, broker: usize, request: u64, at: TopicPartition, epoch: LeaderEpoch) {
        let Some(asked) = self.clients.requests.get(&request) else { return };
        let batch = asked.encoded.clone();
        let (lane, number) = (asked.lane, asked.number);
        self.tell("produce", &[broker as u64, request], || {
            format!("broker {} takes produce {request}: batch {number} of lane {lane}", broker + 1)
        });
        let wait = Duration::from_millis(200 + self.below(2_000));
        let arrived = self.agenda.now();
        let Some(outbox) = self.life(broker).map(|life| Arc::clone(&life.outbox)) else { return };
        let waiter = Waiter::Of(outbox as _, request);
        let produce = Produce { batch, arrived, wait, epoch, waiter };
        if self.step(broker, at, |partition| partition.produce(produce)).is_none() {
            let refusal = ProduceRefusal::NotLeader { leader: None, epoch: LeaderEpoch(0) };
            let answer = Some(ProduceAnswer::Refused(refusal));
            self.agenda.after(1_000, Event::Answer { request, answer });
        }
    }

    /// A process answers; the answer may be lost on its way.
    pub(crate) fn answer_leaves(&mut self, broker: usize, request: u64, answer: ProduceAnswer) {
        let Some(life) = self.life(broker).map(|life| life.number) else { return };
        self.tell("answers", &[broker as u64, request], || {
            format!("broker {} answers produce {request}: {answer:?}", broker + 1)
        });
        let Some(asked) = self.clients.requests.get(&request) else { return };
        let at = self.clients.lanes[asked.lane].at;
        self.judge.acknowledged(at, (broker, life), &asked.encoded, &answer);
        let micros = self.hop();
        let answer = if !self.healing && self.percent(2) { None } else { Some(answer) };
        self.agenda.after(micros, Event::Answer { request, answer });
    }

    /// A producer hears the answer, or that none will come.
    pub(crate) fn answered(&mut self, request: u64, answer: Option<ProduceAnswer>) {
        let Some(Request { lane, number, epoch, broker, .. }) = self.clients.requests.remove(&request) else {
            return;
        };
        let brokers = self.brokers.len() as u64;
        let (other, pause) = (self.below(brokers), 20_000 + self.below(self.settings.client_pause));
        let (now, id) = (self.agenda.now(), self.clients.lanes[lane].id);
        let it = &mut self.clients.lanes[lane];
        let mut try_other = || {
            it.leader = usize::try_from(other).expect("few brokers");
            it.quiet_until = crate::network::later(now, pause);
        };
        match &answer {
            Some(ProduceAnswer::Refused(ProduceRefusal::NotLeader { leader: Some(leader), .. }))
                if index_of(*leader) != broker =>
            {
                it.leader = index_of(*leader);
            }
            Some(ProduceAnswer::Refused(ProduceRefusal::NotLeader { .. } | ProduceRefusal::Stopped(_)))
            | None => {
                try_other();
            }
            Some(ProduceAnswer::Refused(_) | ProduceAnswer::Unknown(_)) => {
                it.quiet_until = crate::network::later(now, pause);
            }
            Some(ProduceAnswer::Stored(_)) => {}
        }
        let stored = matches!(answer, Some(ProduceAnswer::Stored(_)));
        if epoch != it.epoch {
            // The answer to a resend may come after its original's, and after the lane has gone on.
            assert!(
                !stored || self.judge.settled.is_stored(lane, number),
                "lane {lane}: batch {number} was stored although it had been told definitely not"
            );
            return;
        }
        let Some(batch) = it.batches.get_mut(&number) else { return };
        batch.open_count -= 1;
        batch.unknown |= !matches!(answer, Some(ProduceAnswer::Refused(_)));
        let open_count = batch.open_count;
        if stored || id == ProducerId(0) && open_count == 0 {
            let unknown = batch.unknown;
            it.batches.remove(&number);
            match (stored, unknown) {
                (true, _) => self.judge.settled(lane, number, crate::judge::Fate::Stored),
                (false, true) => self.judge.settled(lane, number, crate::judge::Fate::Unknown),
                (false, false) => self.judge.settled(lane, number, crate::judge::Fate::Refused),
            }
        }
    }

    /// N17: the first open batch, refused and only refused for long, is definitely not stored; then nothing behind it in
    /// this epoch can be, and the rest goes on in a new epoch.
    fn give_up(&mut self, lane: usize) {
        let now = self.agenda.now();
        let healing = self.healing;
        let it = &mut self.clients.lanes[lane];
        if it.id == ProducerId(0) {
            return;
        }
        let Some((&number, first)) = it.batches.first_key_value() else { return };
        let old = now.micros_since(first.born) > BUDGET;
        if healing || first.unknown || first.open_count > 0 || !old {
            return;
        }
        it.batches.remove(&number);
        it.epoch = ProducerEpoch(it.epoch.0 + 1);
        it.next_sequence = 0;
        let rest: Vec<_> = it.batches.keys().copied().collect();
        for number in rest {
            let (record_count, encoded) =
                (it.batches[&number].record_count, it.batches[&number].encoded.clone());
            let bytes = encoded.bytes().len();
            let encoded = it.encode(lane, number, record_count, bytes.min(100));
            let fresh = Batch { record_count, encoded, born: now, open_count: 0, unknown: false };
            it.batches.insert(number, fresh);
        }
        let epoch = it.epoch;
        self.judge.settled(lane, number, crate::judge::Fate::Refused);
        self.tell("gives up", &[lane as u64, number], || {
            format!("lane {lane} gives up batch {number} and goes on in epoch {}", epoch.0)
        });
    }

    /// The process that was asked is gone.
    pub(crate) fn connection_lost(&mut self, request: u64) {
        self.agenda.after(1_000, Event::Answer { request, answer: None });
    }

    pub(crate) fn clients_of_ended(&mut self, broker: usize, life: u64) {
        let lost = self.clients.requests.iter().filter(|(_, it)| (it.broker, it.life) == (broker, life));
        let lost: Vec<u64> = lost.map(|(&request, _)| request).collect();
        for request in lost {
            self.connection_lost(request);
        }
    }
}

impl Lane {
    fn encode(&mut self, lane: usize, number: u64, record_count: u32, bytes: usize) -> EncodedBatch {
        let mut builder = BatchBuilder::new(Codec::None);
        for index in 0..record_count {
            let mut value = format!("{lane}.{number}.{index} ").into_bytes();
            value.resize(value.len().max(bytes / record_count as usize), b'.');
            let record = RecordRef { key: None, value: Some(&value), headers: &[], timestamp_ms: 1 };
            builder.try_push(record).expect("a small record fits");
        }
        let base_sequence = Sequence(if self.id == ProducerId(0) { 0 } else { self.next_sequence });
        self.next_sequence += u64::from(record_count);
        let stamp = ProducerStamp { id: self.id, epoch: self.epoch, base_sequence };
        builder.finish(stamp).expect("the stamp is right")
    }
}

/// The lane and the number a batch's first record names; none: it is not a producer's.
pub(crate) fn named(batch: &fidelog_record::PlacedBatch) -> Option<(usize, u64)> {
    let mut records = batch.records().expect("not compressed");
    let first = records.next().expect("a batch has records").expect("whole");
    let value = first.value.expect("every record has a value");
    let mut parts = std::str::from_utf8(&value).ok()?.split(['.', ' ']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
