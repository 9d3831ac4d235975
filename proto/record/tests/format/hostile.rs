//! Bytes made to hurt: nothing panics, nothing is allocated for a mere claim, and what the door lets through can be
//! read by every consumer.

use crate::samples::{HERE, at_the_door, codecs, encode, placement, records};
use bytes::Bytes;
use fidelog_record::batch::{HEAD_BYTES, HEADER_BYTES, MAGIC};
use fidelog_record::codec::{self, Codec};
use fidelog_record::{BatchHeader, Batches, EncodedBatch, PlacedBatch, ProducerStamp, Record};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// One thing done to the bytes of a batch.
#[derive(Clone, Debug)]
enum Harm {
    Flip(Index, u8),
    Set(Index, u8),
    Remove(Index),
    Insert(Index, u8),
    Cut(Index),
    Swap(Index, Index),
}

impl Harm {
    fn act(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let count = bytes.len();
        match *self {
            Self::Flip(at, bit) => bytes[at.index(count)] ^= 1 << bit,
            Self::Set(at, byte) => bytes[at.index(count)] = byte,
            Self::Remove(at) => drop(bytes.remove(at.index(count))),
            Self::Insert(at, byte) => bytes.insert(at.index(count), byte),
            Self::Cut(at) => bytes.truncate(at.index(count)),
            Self::Swap(one, other) => bytes.swap(one.index(count), other.index(count)),
        }
    }
}

fn harms() -> impl Strategy<Value = Vec<Harm>> {
    let harm = prop_oneof![
        (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        (any::<Index>(), prop_oneof![Just(0), Just(0xff), Just(0x80), any::<u8>()])
            .prop_map(|(at, byte)| Harm::Set(at, byte)),
        any::<Index>().prop_map(Harm::Remove),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Harm::Insert(at, byte)),
        any::<Index>().prop_map(Harm::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Harm::Swap(one, other)),
    ];
    vec(harm, 1..4)
}

/// Makes the length, the sizes and the body checksum right again, as an attacker would.
fn mended(mut bytes: Vec<u8>) -> Bytes {
    if bytes.len() > HEADER_BYTES {
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes[8..48].fill(0);
        if bytes[52] == 0 {
            let stored = length - u32::try_from(HEADER_BYTES).unwrap();
            bytes[96..100].copy_from_slice(&stored.to_le_bytes());
        }
        let body_crc = crc32fast::hash(&bytes[HEAD_BYTES..]);
        bytes[48..52].copy_from_slice(&body_crc.to_le_bytes());
    }
    bytes.into()
}

/// Everything that reads bytes from a wire or a disk. Returns what passed the door.
fn read_in_every_way(bytes: &Bytes) -> Option<EncodedBatch> {
    let _ = BatchHeader::parse(bytes);
    let _ = BatchHeader::scan(bytes, HERE);
    let _ = BatchHeader::scan_head(bytes, HERE);
    let _ = Batches::new(bytes.clone(), HERE).count();
    if let Ok(placed) = PlacedBatch::from_bytes(bytes.clone()) {
        let _ = placed.verify(HERE);
        let _ = placed.records().map(Iterator::count);
    }
    EncodedBatch::from_bytes(bytes.clone()).ok().filter(|batch| at_the_door(batch).is_ok())
}

fn read_all(batch: &EncodedBatch) -> Vec<Record> {
    let placed = batch.place(placement(1000));
    placed.records().unwrap().map(|record| record.expect("the door let it through").into_record()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn a_harmed_batch_is_refused_or_the_same(codec in codecs(), records in records(8), harms in harms()) {
        let sent = encode(codec, ProducerStamp::NONE, &records);
        let mut bytes = sent.bytes().to_vec();
        harms.iter().for_each(|harm| harm.act(&mut bytes));
        if let Some(batch) = read_in_every_way(&bytes.into()) {
            prop_assert_eq!(batch, sent);
        }
    }

    #[test]
    fn a_harmed_batch_that_was_mended_is_refused_or_readable(
        codec in codecs(), records in records(8), harms in harms(),
    ) {
        let sent = encode(codec, ProducerStamp::NONE, &records);
        let mut bytes = sent.bytes().to_vec();
        harms.iter().for_each(|harm| harm.act(&mut bytes));
        if let Some(batch) = read_in_every_way(&mended(bytes)) {
            let read = read_all(&batch);
            prop_assert_eq!(read.len(), batch.header().record_count as usize);
            // Records have one encoding, so reading and writing again gives the same bytes.
            if batch.header().codec == Codec::None {
                prop_assert_eq!(encode(Codec::None, batch.header().producer, &read), batch);
            }
        }
    }

    #[test]
    fn harm_to_the_records_alone_reaches_the_walk(records in records(8), harms in harms()) {
        let sent = encode(Codec::None, ProducerStamp::NONE, &records);
        let mut section = sent.section().to_vec();
        harms.iter().for_each(|harm| harm.act(&mut section));
        let bytes = [&sent.bytes()[..HEADER_BYTES], &section].concat();
        if let Some(batch) = read_in_every_way(&mended(bytes)) {
            prop_assert_eq!(encode(Codec::None, ProducerStamp::NONE, &read_all(&batch)), batch);
        }
    }

    #[test]
    fn a_harmed_stored_batch_never_verifies(codec in codecs(), records in records(4), harms in harms()) {
        let stored = encode(codec, ProducerStamp::NONE, &records).place(placement(50)).to_bytes();
        let mut bytes = stored.to_vec();
        harms.iter().for_each(|harm| harm.act(&mut bytes));
        let first = Batches::new(bytes.into(), HERE).next();
        if let Some(Ok(batch)) = first {
            prop_assert_eq!(batch.to_bytes(), stored);
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in vec(any::<u8>(), 0..400), begins_like_a_batch: bool) {
        let mut bytes = bytes;
        if begins_like_a_batch && bytes.len() > 56 {
            bytes[..4].copy_from_slice(&MAGIC);
            bytes[52..56].copy_from_slice(&[0, 0, 1, 1]);
        }
        prop_assert_eq!(read_in_every_way(&bytes.clone().into()), None);
        read_in_every_way(&mended(bytes));
    }

    #[test]
    fn a_random_section_expands_to_what_is_stated_or_not_at_all(
        codec in codecs(), stored in vec(any::<u8>(), 0..200), stated in 0usize..70_000, frame: bool,
    ) {
        let mut stored = stored;
        if frame && stored.len() > 4 {
            stored[..4].copy_from_slice(&0xfd2f_b528u32.to_le_bytes());
        }
        let mut out = Vec::new();
        match codec::expand(codec, &stored, stated, &mut out) {
            Ok(()) => prop_assert_eq!(out.len(), stated),
            Err(_) => prop_assert!(out.is_empty()),
        }
        prop_assert!(out.capacity() <= stated.max(8), "{} bytes for {} stated", out.capacity(), stated);
    }
}
