//! Batches written once and kept for ever: this version reads them, and writes the uncompressed ones bit for bit.
//!
//! A file is never changed. A new case is written by `cargo test -p fidelog-record --test format -- --ignored`,
//! which leaves the files that exist alone.

use std::path::PathBuf;

use crate::samples::{HERE, NOW_MS, encode, placement};
use bytes::Bytes;
use fidelog_record::types::{Offset, ProducerEpoch, ProducerId, Sequence};
use fidelog_record::{Batches, Codec, Header, PlacedBatch, ProducerStamp, Record};

struct Golden {
    name: &'static str,
    codec: Codec,
    producer: ProducerStamp,
    records: Vec<Record>,
}

impl Golden {
    fn plain(name: &'static str, codec: Codec, records: Vec<Record>) -> Self {
        Self { name, codec, producer: ProducerStamp::NONE, records }
    }

    fn placed(&self) -> PlacedBatch {
        encode(self.codec, self.producer, &self.records).place(placement(4_294_967_296))
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(self.name).with_extension("bin")
    }

    fn kept(&self) -> Bytes {
        std::fs::read(self.path()).unwrap_or_else(|error| panic!("{}: {error}", self.path().display())).into()
    }
}

fn goldens() -> Vec<Golden> {
    let producer = ProducerStamp {
        id: ProducerId(0x1234_5678_9abc),
        epoch: ProducerEpoch(5),
        base_sequence: Sequence(1 << 33),
    };
    vec![
        Golden::plain("none", Codec::None, lines(3)),
        Golden::plain("lz4", Codec::Lz4, lines(40)),
        Golden::plain("zstd", Codec::Zstd, lines(40)),
        Golden::plain("nulls-and-headers", Codec::None, nulls_and_headers()),
        Golden { name: "idempotent-producer", codec: Codec::None, producer, records: lines(2) },
    ]
}

fn lines(count: u64) -> Vec<Record> {
    let line = |index| {
        let text = format!("line {index} of a log that is kept for ever");
        Record::new(text).key(format!("key-{}", index % 4)).timestamp_ms(NOW_MS + index * 10)
    };
    (0..count).map(line).collect()
}

fn nulls_and_headers() -> Vec<Record> {
    vec![
        Record { timestamp_ms: NOW_MS, ..Record::default() },
        Record::new("").key("").timestamp_ms(NOW_MS - 1),
        Record::tombstone("gone").header("trace", "abc").header("größe", "").timestamp_ms(NOW_MS + 200),
        Record {
            headers: vec![Header::null("nothing"), Header::new("long", vec![0x5a; 300])],
            ..Record::new(vec![0xff; 130]).timestamp_ms(0)
        },
    ]
}

#[test]
fn kept_batches_are_read() {
    for golden in goldens() {
        let batches: Vec<_> = Batches::new(golden.kept(), HERE).collect::<Result<_, _>>().unwrap();
        let [batch] = &batches[..] else { panic!("{} holds {} batches", golden.name, batches.len()) };
        let header = batch.header();
        assert_eq!((header.codec, header.producer), (golden.codec, golden.producer), "{}", golden.name);
        assert_eq!(header.base_offset, Offset(4_294_967_296), "{}", golden.name);
        let records: Vec<_> = batch.records().unwrap().map(|record| record.unwrap().into_record()).collect();
        assert_eq!(records, golden.records, "{}", golden.name);
    }
}

#[test]
fn uncompressed_batches_are_written_as_they_were() {
    for golden in goldens().into_iter().filter(|golden| golden.codec == Codec::None) {
        assert_eq!(golden.placed().to_bytes(), golden.kept(), "{}", golden.name);
    }
}

#[test]
fn a_kept_batch_is_not_taken_for_another_partitions() {
    let mut elsewhere = HERE;
    elsewhere.partition.0 += 1;
    for golden in goldens() {
        assert!(Batches::new(golden.kept(), elsewhere).next().unwrap().is_err(), "{}", golden.name);
    }
}

/// `FIDELOG_BLESS=1` writes the files of new cases; a kept one never changes.
#[test]
fn every_case_has_its_file() {
    for golden in goldens().into_iter().filter(|golden| !golden.path().exists()) {
        assert!(
            std::env::var_os("FIDELOG_BLESS").is_some(),
            "{}: write it with FIDELOG_BLESS=1",
            golden.name
        );
        std::fs::write(golden.path(), golden.placed().to_bytes()).unwrap();
    }
}
