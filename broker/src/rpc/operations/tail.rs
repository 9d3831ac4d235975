//! What a replica on this broker holds, and who produced the end of it. Asks the disk: call it where blocking is allowed.

use std::collections::BTreeMap;

use fidelog_log::ReadError;
use fidelog_proto::v1::{DescribeTailResponse, TailProducer};
use fidelog_record::PlacedBatch;
use fidelog_record::batch::Batches;
use fidelog_record::types::{LeaderEpoch, Offset};

use crate::partition::Partition;

/// Read at once, bytes.
const READ_BYTES: usize = 1 << 20;
/// Reads of one answer.
const READS_MAX: usize = 64;
/// Producers of one answer.
const PRODUCERS_MAX: usize = 1_000;

/// Producers by id and epoch.
pub(super) type Producers = BTreeMap<(u64, u32), TailProducer>;

/// What the replica holds; with `from`, who produced what lies from there on.
pub(super) fn describe(partition: &Partition, broker_id: u32, from: Option<Offset>) -> DescribeTailResponse {
    let view = partition.view();
    let positions = partition.inspect(|machine| machine.positions());
    let problem = partition.inspect(|machine| machine.published().problem);
    let last = positions.durable_end.0.checked_sub(1).map(Offset);
    let last_epoch = last.and_then(|last| view.epoch_at(last)).unwrap_or(LeaderEpoch(0));
    let mut described = DescribeTailResponse {
        broker_id,
        start_offset: positions.start.0,
        committed_end: positions.committed_end.0,
        durable_end: positions.durable_end.0,
        last_epoch: last_epoch.0,
        problem: problem.unwrap_or_default(),
        ..DescribeTailResponse::default()
    };
    if let Some(from) = from {
        let (producers, looked_to, trouble) =
            look(partition, from.max(positions.start), positions.durable_end);
        described.producers = producers.into_values().collect();
        described.looked_to = looked_to.0;
        if let Some(trouble) = trouble {
            described.problem = trouble.to_string();
        }
    }
    described
}

/// Who produced what lies in between, how far it was looked, and what stood in the way.
fn look(partition: &Partition, from: Offset, end: Offset) -> (Producers, Offset, Option<ReadError>) {
    let (view, mut producers, mut next) = (partition.view(), Producers::new(), from);
    for _ in 0..READS_MAX {
        if next >= end {
            break;
        }
        let read = match view.read(next, READ_BYTES, end) {
            Ok(read) => read,
            Err(error) => return (producers, next, Some(error)),
        };
        for batch in Batches::new(read.batches, partition.id()).flatten() {
            if producers.len() >= PRODUCERS_MAX && !producers.contains_key(&key(&batch)) {
                return (producers, next, None);
            }
            note(&mut producers, &batch, from);
            next = batch.end_offset();
        }
        if read.next_offset <= next {
            next = next.max(read.next_offset);
        }
    }
    (producers, next, None)
}

fn key(batch: &PlacedBatch) -> (u64, u32) {
    let producer = batch.header().producer;
    (producer.id.0, producer.epoch.0)
}

fn note(producers: &mut Producers, batch: &PlacedBatch, from: Offset) {
    let (first, end) = (batch.base_offset().max(from), batch.end_offset());
    let (producer_id, producer_epoch) = key(batch);
    let known = producers.entry((producer_id, producer_epoch)).or_insert(TailProducer {
        producer_id,
        producer_epoch,
        records: 0,
        first_offset: first.0,
        end_offset: end.0,
    });
    known.records += end.0.saturating_sub(first.0);
    known.first_offset = known.first_offset.min(first.0);
    known.end_offset = known.end_offset.max(end.0);
}

/// The same producers, as several replicas tell of them.
pub(super) fn merge(into: &mut Producers, told: &[TailProducer]) {
    for one in told {
        let known = into.entry((one.producer_id, one.producer_epoch)).or_insert(*one);
        known.records = known.records.max(one.records);
        known.first_offset = known.first_offset.min(one.first_offset);
        known.end_offset = known.end_offset.max(one.end_offset);
    }
}
