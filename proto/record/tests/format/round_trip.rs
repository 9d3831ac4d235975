//! What a producer encodes is what a consumer decodes, through every codec and every stage between them.

use crate::samples::{HERE, NOW_MS, at_the_door, codecs, encode, placement, records};
use bytes::Bytes;
use fidelog_record::types::{Offset, ProducerEpoch, ProducerId, Sequence};
use fidelog_record::{Batches, EncodedBatch, PlacedBatch, ProducerStamp, Record};
use proptest::prelude::*;

fn decoded(batch: &PlacedBatch) -> Vec<Record> {
    batch.records().unwrap().map(|record| record.unwrap().into_record()).collect()
}

proptest! {
    #[test]
    fn records_survive_from_producer_to_consumer(
        codec in codecs(), records in records(30), base in 0u64..u64::MAX / 2, sequence in 0u64..1 << 60,
    ) {
        let producer =
            ProducerStamp { id: ProducerId(9), epoch: ProducerEpoch(2), base_sequence: Sequence(sequence) };
        let sent = encode(codec, producer, &records);
        let arrived = EncodedBatch::from_bytes(sent.bytes().clone()).unwrap();
        prop_assert_eq!(&arrived, &sent);
        prop_assert_eq!(at_the_door(&arrived), Ok(()));

        let placed = arrived.place(placement(base));
        prop_assert_eq!(placed.verify(HERE), Ok(()));
        let stored = placed.to_bytes();
        let fetched: Vec<_> = Batches::new(stored, HERE).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&fetched[..], std::slice::from_ref(&placed));
        prop_assert_eq!(decoded(&fetched[0]), records.clone());

        let header = fetched[0].header();
        prop_assert_eq!(header.producer, producer);
        prop_assert_eq!(header.record_count as usize, records.len());
        prop_assert_eq!(Some(header.max_timestamp_ms), records.iter().map(|record| record.timestamp_ms).max());
        let offsets: Vec<_> = placed.records().unwrap().map(|record| record.unwrap().offset.0).collect();
        prop_assert!(offsets.iter().copied().eq(base..placed.end_offset().0));
    }

    #[test]
    fn placing_changes_the_head_alone(codec in codecs(), records in records(5), base in 0u64..1 << 40) {
        let sent = encode(codec, ProducerStamp::NONE, &records);
        let placed = sent.place(placement(base));
        prop_assert_eq!(placed.parts().1, &sent.body());
        prop_assert_eq!(placed.length(), sent.bytes().len());
    }

    #[test]
    fn a_log_of_several_batches_splits_where_they_touch(
        pieces in proptest::collection::vec((codecs(), records(6)), 1..6), cut in any::<proptest::sample::Index>(),
    ) {
        let (mut log, mut ends, mut base) = (Vec::new(), Vec::new(), 100);
        for (codec, records) in &pieces {
            let placed = encode(*codec, ProducerStamp::NONE, records).place(placement(base));
            log.extend_from_slice(&placed.to_bytes());
            base = placed.end_offset().0;
            ends.push((log.len(), Offset(base)));
        }
        let cut = cut.index(log.len() + 1);
        let whole: Vec<_> = Batches::new(Bytes::from(log[..cut].to_vec()), HERE).map_while(Result::ok).collect();
        let expected: Vec<_> = ends.iter().filter(|(end, _)| *end <= cut).map(|(_, offset)| *offset).collect();
        prop_assert_eq!(whole.iter().map(PlacedBatch::end_offset).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn null_and_empty_stay_apart() {
    let records = [
        Record { timestamp_ms: NOW_MS, ..Record::default() },
        Record::new("").key("").header("empty", ""),
        Record::tombstone("gone"),
    ];
    let placed = encode(fidelog_record::Codec::None, ProducerStamp::NONE, &records).place(placement(0));
    assert_eq!(decoded(&placed), records);
}
