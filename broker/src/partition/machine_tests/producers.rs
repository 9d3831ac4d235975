//! Producers: idempotent ones that resend until they are told, and plain ones that never do.

use std::collections::BTreeMap;

use fidelog_record::batch::BatchBuilder;
use fidelog_record::types::{Offset, ProducerEpoch, ProducerId, Sequence};
use fidelog_record::{Codec, EncodedBatch, ProducerStamp, RecordRef};

use crate::partition::{ProduceAnswer, ProduceRefusal};

/// Sent and not settled, at most, per producer.
pub(super) const IN_FLIGHT_MAX: usize = 4;

/// A batch of a producer. All its attempts carry the same bytes.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) batch: EncodedBatch,
    pub(super) producer: usize,
    /// Attempts on their way, or waiting for an answer.
    pub(super) open_count: usize,
    /// Some attempt was answered "unknown", or its answer was lost.
    pub(super) unknown: bool,
    pub(super) stored: Option<(Offset, Offset)>,
    /// Nothing more will be sent of it.
    pub(super) settled: bool,
}

#[derive(Debug, Default)]
pub(super) struct Producers {
    next_sequence: Vec<u64>,
    pub(super) sent: Vec<Sent>,
    /// Waiter -> batch; gone once answered.
    pub(super) waiters: BTreeMap<u64, usize>,
    pub(super) waiters_answered: usize,
    next_waiter: u64,
}

fn batch(stamp: ProducerStamp, name: usize, record_count: usize) -> EncodedBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    for index in 0..record_count {
        let value = format!("{name}.{index}");
        let record = RecordRef { key: None, value: Some(value.as_bytes()), headers: &[], timestamp_ms: 1 };
        builder.try_push(record).expect("a small record fits");
    }
    builder.finish(stamp).expect("the stamp is right")
}

impl Producers {
    /// `count` idempotent producers, and one behind them that is not.
    pub(super) fn new(count: usize) -> Self {
        Self { next_sequence: vec![0; count + 1], ..Self::default() }
    }

    pub(super) fn count(&self) -> usize {
        self.next_sequence.len()
    }

    pub(super) fn is_idempotent(&self, producer: usize) -> bool {
        producer + 1 < self.count()
    }

    pub(super) fn unsettled(&self, producer: usize) -> Vec<usize> {
        let of_producer = |sent: &Sent| sent.producer == producer && !sent.settled;
        (0..self.sent.len()).filter(|&index| of_producer(&self.sent[index])).collect()
    }

    pub(super) fn new_batch(&mut self, producer: usize, record_count: usize) -> usize {
        let stamp = if self.is_idempotent(producer) {
            let base_sequence = Sequence(self.next_sequence[producer]);
            ProducerStamp { id: ProducerId(producer as u64 + 1), epoch: ProducerEpoch(1), base_sequence }
        } else {
            ProducerStamp { id: ProducerId(0), epoch: ProducerEpoch(0), base_sequence: Sequence(0) }
        };
        self.next_sequence[producer] += record_count as u64;
        let index = self.sent.len();
        let batch = batch(stamp, index, record_count);
        self.sent.push(Sent { batch, producer, open_count: 0, unknown: false, stored: None, settled: false });
        index
    }

    /// One more attempt begins.
    pub(super) fn attempt(&mut self, index: usize) -> u64 {
        self.next_waiter += 1;
        self.sent[index].open_count += 1;
        self.waiters.insert(self.next_waiter, index);
        self.next_waiter
    }

    /// An attempt never reached a broker: nothing came of it.
    pub(super) fn forget(&mut self, waiter: u64) {
        let index = self.waiters.remove(&waiter).expect("the attempt is open");
        self.sent[index].open_count -= 1;
    }

    /// The process died with the waiter, or the answer got lost.
    pub(super) fn lost(&mut self, waiter: u64) {
        let index = self.waiters.remove(&waiter).expect("the attempt is open");
        self.sent[index].open_count -= 1;
        self.sent[index].unknown = true;
        self.sent[index].settled |= !self.is_idempotent(self.sent[index].producer);
    }

    pub(super) fn answered(&mut self, waiter: u64, answer: &ProduceAnswer) {
        self.waiters_answered += 1;
        let index =
            self.waiters.remove(&waiter).unwrap_or_else(|| panic!("waiter {waiter} is answered twice"));
        let is_idempotent = self.is_idempotent(self.sent[index].producer);
        let sent = &mut self.sent[index];
        sent.open_count -= 1;
        match answer {
            ProduceAnswer::Stored(stored) if stored.already_stored => sent.settled = true,
            ProduceAnswer::Stored(stored) => {
                let place = (stored.base, stored.end);
                let before = *sent.stored.get_or_insert(place);
                assert_eq!(before, place, "batch {index} was answered as stored in two places");
                sent.settled = true;
            }
            ProduceAnswer::Refused(refusal) => {
                assert!(
                    !matches!(
                        refusal,
                        ProduceRefusal::ProducerFenced { .. } | ProduceRefusal::TooManyProducers { .. }
                    ),
                    "batch {index}: {refusal:?}, which nothing here can cause"
                );
            }
            ProduceAnswer::Unknown(_) => sent.unknown = true,
        }
        sent.settled |= !is_idempotent && sent.open_count == 0;
    }
}
