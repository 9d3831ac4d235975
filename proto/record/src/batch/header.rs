//! The header of a batch, byte by byte. Kept for ever.
//!
//! All numbers are little-endian. Every end is exclusive.
//!
//! ```text
//!  HEAD: written by the leader that places the batch (52 bytes)
//!   0   4  magic            "FLB1"
//!   4   4  length           u32, bytes of the whole batch, header included
//!   8   8  base_offset      u64, offset of the first record
//!  16   8  end_offset       u64, exclusive; base + count today, compaction may leave gaps later
//!  24   4  leader_epoch     u32
//!  28   4  head_crc         u32, CRC-32/IEEE over: topic id (16 bytes, not stored), partition (u32, not stored),
//!                           bytes 0..28, bytes 32..52
//!  32   8  append_time_ms   u64, Unix milliseconds, the leader's clock
//!  40   8  committed_below  u64, the leader's committed_end when it placed the batch
//!  48   4  body_crc         u32, CRC-32/IEEE over bytes 52..length, computed by the producer
//!  BODY: fixed by the producer
//!  52   2  attributes       u16: bits 0..=2 codec (0 none, 1 lz4, 2 zstd); all other bits are refused when set
//!  54   1  checksum         algorithm of both checksums: 1 = CRC-32/IEEE
//!  55   1  payload_format   1 = Fidelog records (`layout`); other ids are reserved, and refused today
//!  56   8  producer_id      u64, 0 = not idempotent
//!  64   4  producer_epoch   u32
//!  68   4  record_count     u32, 1..=BATCH_RECORD_COUNT_MAX
//!  72   8  base_sequence    u64, sequence of the first record
//!  80   8  base_timestamp_ms u64, timestamp of the first record, Unix milliseconds
//!  88   8  max_timestamp_ms u64, greatest timestamp of a record, Unix milliseconds
//!  96   4  expanded_bytes   u32, bytes of the records section once expanded; its stored size with codec none
//! 100   4  reserved         zero, refused otherwise
//! 104   .. records section, compressed as a whole by the codec
//! ```
//!
//! A producer sends the whole batch with the head zero except magic, length and body_crc. With producer_id 0 the
//! epoch and the sequence are 0 too. A head checksum binds a batch to its partition, so that bytes found in the
//! wrong place never fit.
//!
//! Not here: what the records say (`layout`), and what a broker accepts from a producer (`door`).

use crate::checksum::{CRC32_IEEE, body_crc, head_crc};
use crate::codec::{Codec, EXPANDED_BYTES_MAX};
use crate::types::limits::{BATCH_BYTES_MAX, BATCH_RECORD_COUNT_MAX};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TopicPartition};

use super::header_error::HeaderError;
use super::misfit::Misfit;

/// The first four bytes of every batch.
pub const MAGIC: [u8; 4] = *b"FLB1";
/// Bytes of the part a leader writes.
pub const HEAD_BYTES: usize = 52;
/// Bytes of the whole header; the records section follows.
pub const HEADER_BYTES: usize = 104;

/// The only payload format so far: the records of [`super::layout`].
const FIDELOG_RECORDS: u8 = 1;
const CODEC_BITS: u16 = 0b111;

const _: () = assert!(HEAD_BYTES < HEADER_BYTES && HEADER_BYTES < BATCH_BYTES_MAX);

/// Who produced a batch and where it belongs in that producer's order (N17).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerStamp {
    /// The producer; 0 means "not idempotent", and the other two fields are 0 as well.
    pub id: ProducerId,
    /// Version of its identity.
    pub epoch: ProducerEpoch,
    /// Sequence of the batch's first record.
    pub base_sequence: Sequence,
}

impl ProducerStamp {
    /// Of a producer that is not idempotent.
    pub const NONE: Self = Self { id: ProducerId(0), epoch: ProducerEpoch(0), base_sequence: Sequence(0) };

    /// Checks that `count` records can carry this stamp.
    pub(super) fn check(&self, count: u32) -> Result<(), HeaderError> {
        let Self { id, epoch, base_sequence } = *self;
        if id == ProducerId(0) && *self != Self::NONE {
            return Err(HeaderError::Producer { epoch, base_sequence });
        }
        match base_sequence.0.checked_add(u64::from(count)) {
            Some(_) => Ok(()),
            None => Err(HeaderError::Sequence { base_sequence, count }),
        }
    }
}

/// What the 104 bytes say. The head's fields are zero until the batch is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Bytes of the whole batch, header included.
    pub length: u32,
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Exclusive; at least `base_offset` + `record_count` once placed.
    pub end_offset: Offset,
    /// Epoch of the leader that placed it.
    pub leader_epoch: LeaderEpoch,
    /// Checksum of the head and the partition.
    pub head_crc: u32,
    /// When it was placed, Unix milliseconds, by the leader's clock.
    pub append_time_ms: u64,
    /// Everything below this was synced on every in-sync replica when the batch was placed.
    pub committed_below: Offset,
    /// Checksum of everything behind the head.
    pub body_crc: u32,
    /// How the records section is compressed.
    pub codec: Codec,
    /// Who produced it.
    pub producer: ProducerStamp,
    /// How many records it holds, at least 1.
    pub record_count: u32,
    /// Timestamp of the first record, Unix milliseconds.
    pub base_timestamp_ms: u64,
    /// Greatest timestamp, Unix milliseconds.
    pub max_timestamp_ms: u64,
    /// Bytes of the records section once expanded.
    pub expanded_bytes: u32,
}

impl BatchHeader {
    /// Reads the first 104 of `bytes`. Structure only: no checksum, no record.
    ///
    /// # Errors
    /// When they are too few, or a field has a value that no batch of this version has.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some(raw) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(HeaderError::TooShort { needed: HEADER_BYTES, available: bytes.len() });
        };
        let length = read_length(raw)?;
        let codec = read_codec(raw)?;
        if raw[54] != CRC32_IEEE {
            return Err(HeaderError::Checksum { id: raw[54] });
        }
        if raw[55] != FIDELOG_RECORDS {
            return Err(HeaderError::PayloadFormat { id: raw[55] });
        }
        let header = Self {
            length,
            base_offset: Offset(u64_at(raw, 8)),
            end_offset: Offset(u64_at(raw, 16)),
            leader_epoch: LeaderEpoch(u32_at(raw, 24)),
            head_crc: u32_at(raw, 28),
            append_time_ms: u64_at(raw, 32),
            committed_below: Offset(u64_at(raw, 40)),
            body_crc: u32_at(raw, 48),
            codec,
            producer: ProducerStamp {
                id: ProducerId(u64_at(raw, 56)),
                epoch: ProducerEpoch(u32_at(raw, 64)),
                base_sequence: Sequence(u64_at(raw, 72)),
            },
            record_count: u32_at(raw, 68),
            base_timestamp_ms: u64_at(raw, 80),
            max_timestamp_ms: u64_at(raw, 88),
            expanded_bytes: u32_at(raw, 96),
        };
        match u32_at(raw, 100) {
            0 => header.check(),
            found => Err(HeaderError::Reserved { found }),
        }
    }

    fn check(self) -> Result<Self, HeaderError> {
        let count = self.record_count;
        if count == 0 || count > BATCH_RECORD_COUNT_MAX {
            return Err(HeaderError::RecordCount { count });
        }
        self.producer.check(count)?;
        let (expanded, stored) = (self.expanded_bytes, self.section_bytes());
        let fits = match self.codec {
            Codec::None => expanded as usize == stored,
            Codec::Lz4 | Codec::Zstd => expanded as usize <= EXPANDED_BYTES_MAX,
        };
        if !fits {
            return Err(HeaderError::ExpandedBytes { expanded, stored });
        }
        Ok(self)
    }

    /// The 104 bytes that say this.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut raw = [0; HEADER_BYTES];
        raw[..HEAD_BYTES].copy_from_slice(&self.head_to_bytes());
        put(&mut raw, 52, &self.codec.id().to_le_bytes());
        raw[54] = CRC32_IEEE;
        raw[55] = FIDELOG_RECORDS;
        put(&mut raw, 56, &self.producer.id.0.to_le_bytes());
        put(&mut raw, 64, &self.producer.epoch.0.to_le_bytes());
        put(&mut raw, 68, &self.record_count.to_le_bytes());
        put(&mut raw, 72, &self.producer.base_sequence.0.to_le_bytes());
        put(&mut raw, 80, &self.base_timestamp_ms.to_le_bytes());
        put(&mut raw, 88, &self.max_timestamp_ms.to_le_bytes());
        put(&mut raw, 96, &self.expanded_bytes.to_le_bytes());
        raw
    }

    /// The 52 bytes of the head that say this.
    #[must_use]
    pub fn head_to_bytes(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        put(&mut head, 0, &MAGIC);
        put(&mut head, 4, &self.length.to_le_bytes());
        put(&mut head, 8, &self.base_offset.0.to_le_bytes());
        put(&mut head, 16, &self.end_offset.0.to_le_bytes());
        put(&mut head, 24, &self.leader_epoch.0.to_le_bytes());
        put(&mut head, 28, &self.head_crc.to_le_bytes());
        put(&mut head, 32, &self.append_time_ms.to_le_bytes());
        put(&mut head, 40, &self.committed_below.0.to_le_bytes());
        put(&mut head, 48, &self.body_crc.to_le_bytes());
        head
    }

    /// Bytes of the records section as stored.
    #[must_use]
    pub fn section_bytes(&self) -> usize {
        self.length as usize - HEADER_BYTES
    }

    /// Checks that the batch was placed here: the head checksum, and the range of offsets it covers.
    ///
    /// # Errors
    /// [`Misfit::HeadCrc`] or [`Misfit::Offsets`].
    pub fn verify_head(&self, at: TopicPartition) -> Result<(), Misfit> {
        verify_head_bytes(at, &self.head_to_bytes())?;
        self.verify_offsets()
    }

    fn verify_offsets(&self) -> Result<(), Misfit> {
        let (base, end) = (self.base_offset, self.end_offset);
        match end.since(base) >= u64::from(self.record_count) {
            true => Ok(()),
            false => Err(Misfit::Offsets { base, end }),
        }
    }

    /// Checks `body`, everything behind the head, against its checksum.
    ///
    /// # Errors
    /// [`Misfit::TooShort`], [`Misfit::Length`] when `body` is longer than the batch, or [`Misfit::BodyCrc`].
    pub fn verify_body(&self, body: &[u8]) -> Result<(), Misfit> {
        let (needed, available) = (self.length as usize, HEAD_BYTES + body.len());
        if available < needed {
            return Err(Misfit::TooShort { needed, available });
        }
        if available > needed {
            return Err(Misfit::Length { length: self.length });
        }
        verify_body_bytes(self.body_crc, body)
    }

    /// Judges bytes of a partition's log that should start with a batch, checksums included. More may follow it.
    ///
    /// # Errors
    /// Why no whole, undamaged batch of this partition stands there. Damage is told before anything that this
    /// version merely does not read ([`Misfit::Unreadable`]).
    pub fn scan(bytes: &[u8], at: TopicPartition) -> Result<Self, Misfit> {
        let length = Self::scan_head(bytes, at)?;
        let Some(batch) = bytes.get(..length as usize) else {
            return Err(Misfit::TooShort { needed: length as usize, available: bytes.len() });
        };
        // Which checksum was used must be known before it can be held against the body.
        if batch[54] != CRC32_IEEE {
            return Err(Misfit::Unreadable(HeaderError::Checksum { id: batch[54] }));
        }
        let raw = batch.first_chunk().expect("a head's length is more than a header's");
        verify_body_bytes(u32_at(raw, 48), &batch[HEAD_BYTES..])?;
        let header = Self::parse(batch).map_err(Misfit::Unreadable)?;
        header.verify_offsets()?;
        Ok(header)
    }

    /// Judges the head alone, for a search through damaged bytes: 104 bytes suffice. Tells the batch's length.
    ///
    /// # Errors
    /// As [`Self::scan`], the body apart.
    pub fn scan_head(bytes: &[u8], at: TopicPartition) -> Result<u32, Misfit> {
        // The magic first: a search steps over most bytes by it, and the unwritten end of a file is told by it.
        if let Some(&found) = bytes.first_chunk::<4>()
            && found != MAGIC
        {
            return Err(Misfit::Magic { found });
        }
        let Some(raw) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Misfit::TooShort { needed: HEADER_BYTES, available: bytes.len() });
        };
        let length = read_length(raw)?;
        verify_head_bytes(at, raw.first_chunk().expect("a header is longer than a head"))?;
        Ok(length)
    }
}

fn verify_head_bytes(at: TopicPartition, head: &[u8; HEAD_BYTES]) -> Result<(), Misfit> {
    let (stored, computed) = (le_u32(&head[28..32]), head_crc(at, head));
    if stored != computed {
        return Err(Misfit::HeadCrc { stored, computed });
    }
    let (base, end) = (Offset(le_u64(&head[8..16])), Offset(le_u64(&head[16..24])));
    if base >= end {
        return Err(Misfit::Offsets { base, end });
    }
    Ok(())
}

fn verify_body_bytes(stored: u32, body: &[u8]) -> Result<(), Misfit> {
    let computed = body_crc(body);
    if stored != computed {
        return Err(Misfit::BodyCrc { stored, computed });
    }
    Ok(())
}

fn read_length(raw: &[u8; HEADER_BYTES]) -> Result<u32, HeaderError> {
    let found = [raw[0], raw[1], raw[2], raw[3]];
    if found != MAGIC {
        return Err(HeaderError::Magic { found });
    }
    let length = u32_at(raw, 4);
    if length as usize <= HEADER_BYTES || length as usize > BATCH_BYTES_MAX {
        return Err(HeaderError::Length { length });
    }
    Ok(length)
}

fn read_codec(raw: &[u8; HEADER_BYTES]) -> Result<Codec, HeaderError> {
    let attributes = u16::from_le_bytes([raw[52], raw[53]]);
    let bits = attributes & !CODEC_BITS;
    if bits != 0 {
        return Err(HeaderError::Attributes { bits });
    }
    Codec::from_id(attributes).ok_or(HeaderError::Codec { id: attributes })
}

fn put(raw: &mut [u8], at: usize, field: &[u8]) {
    raw[at..at + field.len()].copy_from_slice(field);
}

fn u32_at(raw: &[u8; HEADER_BYTES], at: usize) -> u32 {
    le_u32(&raw[at..at + 4])
}

fn u64_at(raw: &[u8; HEADER_BYTES], at: usize) -> u64 {
    le_u64(&raw[at..at + 8])
}

fn le_u32(field: &[u8]) -> u32 {
    u32::from_le_bytes(field.try_into().expect("the caller slices four bytes"))
}

fn le_u64(field: &[u8]) -> u64 {
    u64::from_le_bytes(field.try_into().expect("the caller slices eight bytes"))
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
