//! Batches for the workload: no two alike, of all sizes, some holding what looks like a batch of this very log.

use fidelog_record::{BatchBuilder, Codec, EncodedBatch, PlacedBatch, Placement, Record};
use rand::Rng;
use rand::rngs::StdRng;

use crate::model::Model;

/// Draws the next batch of a log, and places it. `now_ms` is the leader's clock.
pub(crate) fn draw(model: &Model, random: &mut StdRng, now_ms: u64) -> PlacedBatch {
    let record_count = random.random_range(1..4);
    let encoded = encode(model, random, record_count, now_ms);
    encoded.place(Placement {
        topic_partition: model.at,
        base_offset: model.end(),
        leader_epoch: model.leader_epoch(),
        append_time_ms: now_ms,
        committed_below: model.committed_end,
    })
}

fn encode(model: &Model, random: &mut StdRng, record_count: u32, now_ms: u64) -> EncodedBatch {
    let codec = if random.random_ratio(1, 8) { Codec::Lz4 } else { Codec::None };
    let mut builder = BatchBuilder::new(codec);
    for _ in 0..record_count {
        let mut value = random.random::<[u8; 12]>().to_vec();
        match random.random_range(0..40) {
            0 => value.resize(5_000, 7), // larger than a segment
            1..4 => value.resize(1_200, 7),
            4 => {
                if let Some(batch) = model.batches().last() {
                    value.extend_from_slice(&batch.to_bytes());
                }
            }
            _ => value.resize(random.random_range(12..150), 7),
        }
        let timestamp_ms = now_ms.saturating_sub(random.random_range(0..300));
        let record = Record { value: Some(value.into()), timestamp_ms, ..Record::default() };
        builder.try_push_record(&record).expect("the record is far below every limit");
    }
    let producer = random.random_range(0..5);
    let new_epoch = random.random_ratio(1, 10);
    let stamp = model.stamp(producer, new_epoch, record_count);
    builder.finish(stamp).expect("the batch has records, and sequences are small")
}
