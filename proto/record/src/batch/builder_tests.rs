//! The builder: a refusal changes nothing, and what is finished passes the door.

use super::*;
use crate::door::{self, DoorLimits};
use crate::types::limits::RECORD_BYTES_MAX;
use crate::types::{ProducerEpoch, ProducerId, Sequence};

fn value(bytes: &[u8]) -> RecordRef<'_> {
    RecordRef { value: Some(bytes), ..RecordRef::default() }
}

fn limits(record_bytes_max: usize, batch_bytes_max: usize) -> BatchLimits {
    BatchLimits { record_bytes_max, batch_bytes_max }
}

fn pass_the_door(batch: &EncodedBatch) {
    let limits = DoorLimits { record_bytes_max: RECORD_BYTES_MAX, now_ms: 0 };
    door::check(batch, &limits, &mut Vec::new()).unwrap();
}

#[test]
fn bytes_foretell_the_length_of_the_batch() {
    let mut builder = BatchBuilder::new(Codec::None);
    for size in [0, 1, 200, 20_000] {
        builder.try_push(value(&vec![1; size])).unwrap();
    }
    let bytes = builder.bytes();
    let batch = builder.finish(ProducerStamp::NONE).unwrap();
    assert_eq!((batch.bytes().len(), batch.header().length as usize), (bytes, bytes));
    pass_the_door(&batch);
}

#[test]
fn records_are_finished_in_the_buffer_they_were_pushed_into() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.try_push(value(b"payload")).unwrap();
    let buffer = builder.buffer.as_ptr();
    assert_eq!(builder.finish(ProducerStamp::NONE).unwrap().bytes().as_ptr(), buffer);
}

#[test]
fn a_refused_record_leaves_the_builder_as_it_was() {
    let mut builder = BatchBuilder::with_limits(Codec::None, limits(100, 300));
    builder.try_push(value(&[1; 90])).unwrap();
    let before = (builder.buffer.clone(), builder.len(), builder.base_timestamp_ms, builder.max_timestamp_ms);

    let twice = [HeaderRef { name: "a", value: None }; 2];
    let unnamed = [HeaderRef { name: "", value: None }];
    let far = RecordRef { timestamp_ms: u64::MAX, ..value(b"") };
    let refusals = [
        (value(&[1; 101]), PushError::RecordTooLarge { bytes: 101, bytes_max: 100 }),
        (value(&[1; 99]), PushError::Full { count: 1, bytes: builder.bytes() }),
        (far, PushError::Timestamp { timestamp_ms: u64::MAX, base_timestamp_ms: 0 }),
        (
            RecordRef { headers: &twice, ..value(b"") },
            PushError::Headers(RecordError::HeaderRepeated { name: "a".into() }),
        ),
        (
            RecordRef { headers: &unnamed, ..value(b"") },
            PushError::Headers(RecordError::HeaderNameEmpty { index: 0 }),
        ),
    ];
    for (record, refusal) in refusals {
        assert_eq!(builder.try_push(record), Err(refusal));
        assert!(
            before
                == (
                    builder.buffer.clone(),
                    builder.len(),
                    builder.base_timestamp_ms,
                    builder.max_timestamp_ms
                )
        );
    }
    builder.try_push(value(&[1; 80])).unwrap();
    pass_the_door(&builder.finish(ProducerStamp::NONE).unwrap());
}

#[test]
fn a_first_record_refused_leaves_no_time_behind() {
    let mut builder = BatchBuilder::with_limits(Codec::None, limits(10, 300));
    assert!(builder.try_push(RecordRef { timestamp_ms: 9, ..value(&[0; 11]) }).is_err());
    builder.try_push(RecordRef { timestamp_ms: 5, ..value(b"") }).unwrap();
    builder.try_push(RecordRef { timestamp_ms: 3, ..value(b"") }).unwrap();
    let batch = builder.finish(ProducerStamp::NONE).unwrap();
    assert_eq!((batch.header().base_timestamp_ms, batch.header().max_timestamp_ms), (5, 5));
    pass_the_door(&batch);
}

#[test]
fn a_lone_record_may_pass_the_batch_limit_but_not_the_formats() {
    let mut builder = BatchBuilder::with_limits(Codec::None, limits(usize::MAX, 200));
    let largest = vec![1; RECORD_BYTES_MAX];
    builder.try_push(value(&largest)).unwrap();
    assert!(matches!(builder.try_push(value(b"")), Err(PushError::Full { count: 1, .. })));
    pass_the_door(&builder.finish(ProducerStamp::NONE).unwrap());

    let larger = vec![1; RECORD_BYTES_MAX + 1];
    let refused = BatchBuilder::with_limits(Codec::None, limits(usize::MAX, 200)).try_push(value(&larger));
    assert!(matches!(refused, Err(PushError::RecordTooLarge { .. })));
}

#[test]
fn a_batch_filled_with_the_smallest_records_stays_within_the_formats_limits() {
    let mut builder = BatchBuilder::new(Codec::None);
    while builder.try_push(RecordRef::default()).is_ok() {}
    assert!(matches!(builder.try_push(RecordRef::default()), Err(PushError::Full { .. })));
    assert!(builder.len() <= BATCH_RECORD_COUNT_MAX);
    assert!((BATCH_BYTES_MAX - 20..=BATCH_BYTES_MAX).contains(&builder.bytes()));
    pass_the_door(&builder.finish(ProducerStamp::NONE).unwrap());
}

#[test]
fn what_compresses_is_compressed_and_what_does_not_is_not() {
    for codec in [Codec::Lz4, Codec::Zstd] {
        let mut builder = BatchBuilder::new(codec);
        builder.try_push(value(&b"compressible ".repeat(50))).unwrap();
        let expanded = builder.bytes() - HEADER_BYTES;
        let batch = builder.finish(ProducerStamp::NONE).unwrap();
        assert_eq!((batch.header().codec, batch.header().expanded_bytes as usize), (codec, expanded));
        assert!(batch.header().section_bytes() < expanded);
        pass_the_door(&batch);

        let mut builder = BatchBuilder::new(codec);
        builder.try_push(value(b"xyz")).unwrap();
        let batch = builder.finish(ProducerStamp::NONE).unwrap();
        assert_eq!(batch.header().codec, Codec::None);
        pass_the_door(&batch);
    }
}

#[test]
fn zeros_that_would_pass_for_a_bomb_are_sent_as_they_are() {
    for codec in [Codec::Lz4, Codec::Zstd] {
        let mut builder = BatchBuilder::new(codec);
        builder.try_push(value(&vec![0; RECORD_BYTES_MAX])).unwrap();
        let batch = builder.finish(ProducerStamp::NONE).unwrap();
        assert_eq!(batch.header().codec, Codec::None);
        pass_the_door(&batch);
    }
}

#[test]
fn an_empty_batch_and_an_impossible_stamp_are_refused() {
    let stamp = |id, epoch, base_sequence| ProducerStamp {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(base_sequence),
    };
    let one = || {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.try_push(value(b"1")).unwrap();
        builder
    };
    assert_eq!(BatchBuilder::new(Codec::None).finish(ProducerStamp::NONE), Err(FinishError::Empty));
    assert!(matches!(one().finish(stamp(0, 1, 0)), Err(FinishError::Stamp(HeaderError::Producer { .. }))));
    assert!(matches!(one().finish(stamp(0, 0, 1)), Err(FinishError::Stamp(HeaderError::Producer { .. }))));
    assert!(matches!(
        one().finish(stamp(1, 1, u64::MAX)),
        Err(FinishError::Stamp(HeaderError::Sequence { .. }))
    ));
    assert_eq!(one().finish(stamp(7, 2, 9)).unwrap().header().producer, stamp(7, 2, 9));
}

#[test]
fn another_stamp_changes_the_stamp_alone() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.try_push(value(b"1")).unwrap();
    let old = builder.finish(ProducerStamp::NONE).unwrap();
    let producer = ProducerStamp { id: ProducerId(4), epoch: ProducerEpoch(2), base_sequence: Sequence(0) };
    let new = old.restamped(producer).unwrap();
    pass_the_door(&new);
    assert_eq!(EncodedBatch::from_bytes(new.bytes().clone()).unwrap(), new);
    assert_eq!((new.header().producer, new.section()), (producer, old.section()));
    assert_ne!(new.header().body_crc, old.header().body_crc);
    assert_eq!(new.restamped(ProducerStamp::NONE).unwrap(), old);
}
