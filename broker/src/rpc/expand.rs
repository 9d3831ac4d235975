//! Batches as stored, expanded into plain records for clients that do not know the format.
//!
//! Always true: what comes out is bounded by the bytes asked for and one record, however much the batches expand to;
//! nothing below the offset asked for comes out; going on at `next` misses nothing and repeats nothing.

use bytes::Bytes;
use fidelog_proto::v1::{self, Reason};
use fidelog_record::types::{LeaderEpoch, Offset, TopicPartition};
use fidelog_record::{Batches, StoredRecord};
use prost::Message;

use super::status::Failure;

/// Records as sent.
#[derive(Debug)]
pub(super) struct Expanded {
    pub(super) records: Vec<v1::StoredRecord>,
    /// Where to go on.
    pub(super) next: Offset,
}

/// Expands `batches` from `offset` on until about `bytes_max` are reached, encoded; at least one record.
pub(super) fn expand(
    batches: Bytes,
    at: TopicPartition,
    offset: Offset,
    bytes_max: usize,
) -> Result<Expanded, Failure> {
    let damaged = |what: String| {
        Failure::new(Reason::DataLoss, format!("partition {at}: stored records cannot be read: {what}"))
    };
    let mut expanded = Expanded { records: Vec::new(), next: offset };
    let mut bytes = 0;
    for batch in Batches::new(batches, at) {
        let batch = batch.map_err(|error| damaged(error.to_string()))?;
        for record in batch.records().map_err(|error| damaged(error.to_string()))? {
            let record = record.map_err(|error| damaged(error.to_string()))?;
            if record.offset < offset {
                continue;
            }
            let (next, record) = (record.offset.plus(1), sent(record, batch.leader_epoch()));
            bytes += record.encoded_len();
            if bytes > bytes_max && !expanded.records.is_empty() {
                return Ok(expanded);
            }
            expanded.records.push(record);
            expanded.next = next;
        }
        expanded.next = expanded.next.max(batch.end_offset());
    }
    Ok(expanded)
}

fn sent(record: StoredRecord, epoch: LeaderEpoch) -> v1::StoredRecord {
    let StoredRecord { offset, timestamp_ms, key, value, headers } = record;
    let headers = headers.into_iter();
    v1::StoredRecord {
        offset: offset.0,
        key,
        value,
        headers: headers
            .map(|header| v1::Header { name: header.name.as_str().to_owned(), value: header.value })
            .collect(),
        timestamp_ms,
        leader_epoch: epoch.0,
    }
}

#[cfg(test)]
mod tests {
    use fidelog_record::types::{PartitionIndex, TopicId};
    use fidelog_record::{BatchBuilder, Codec, Placement, ProducerStamp, Record};

    use super::*;

    const AT: TopicPartition = TopicPartition { topic: TopicId::NIL, partition: PartitionIndex(0) };

    /// Batches of `counts` records each, from offset 10.
    fn stored(counts: &[u64]) -> Bytes {
        let (mut base, mut bytes) = (Offset(10), Vec::new());
        for &count in counts {
            let mut builder = BatchBuilder::new(Codec::Lz4);
            for _ in 0..count {
                builder.try_push_record(&Record::new(vec![7; 1000]).header("name", "value")).unwrap();
            }
            let placed = builder.finish(ProducerStamp::NONE).unwrap().place(Placement {
                topic_partition: AT,
                base_offset: base,
                leader_epoch: LeaderEpoch(3),
                append_time_ms: 1,
                committed_below: Offset(0),
            });
            base = placed.end_offset();
            bytes.extend_from_slice(&placed.to_bytes());
        }
        bytes.into()
    }

    fn offsets(expanded: &Expanded) -> Vec<u64> {
        expanded.records.iter().map(|record| record.offset).collect()
    }

    #[test]
    fn records_below_the_offset_are_left_out() {
        let expanded = expand(stored(&[3, 2]), AT, Offset(12), 1 << 20).unwrap();
        assert_eq!((offsets(&expanded), expanded.next), (vec![12, 13, 14], Offset(15)));
        assert_eq!((expanded.records[0].leader_epoch, expanded.records[0].headers.len()), (3, 1));
    }

    #[test]
    fn going_on_misses_nothing_and_repeats_nothing_at_any_size() {
        let stored = stored(&[3, 1, 4]);
        for bytes_max in [0, 1, 1500, 2500, 5000] {
            let (mut next, mut seen) = (Offset(10), Vec::new());
            while next < Offset(18) {
                let expanded = expand(stored.clone(), AT, next, bytes_max).unwrap();
                assert!(!expanded.records.is_empty(), "no progress at {next} with {bytes_max}");
                seen.extend(offsets(&expanded));
                next = expanded.next;
            }
            assert_eq!(seen, (10..18).collect::<Vec<_>>(), "{bytes_max} bytes");
        }
    }

    #[test]
    fn bytes_that_are_no_batch_are_told_as_loss() {
        let failure = expand(Bytes::from_static(b"garbage"), AT, Offset(0), 1).unwrap_err();
        assert_eq!(failure.reason(), Reason::DataLoss);
    }
}
