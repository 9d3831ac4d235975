//! A batch as a producer made it: its records are fixed, its place is not.

use bytes::{Bytes, BytesMut};

use crate::checksum::{body_crc, head_crc};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

use super::header::{BatchHeader, HEAD_BYTES, HEADER_BYTES, ProducerStamp};
use super::header_error::HeaderError;
use super::placed::PlacedBatch;

/// Where a leader puts a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The partition; bound into the head's checksum.
    pub topic_partition: TopicPartition,
    /// Offset of the first record.
    pub base_offset: Offset,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The leader's clock, Unix milliseconds.
    pub append_time_ms: u64,
    /// The leader's `committed_end` now; at most `base_offset`.
    pub committed_below: Offset,
}

/// One whole batch without a place. Its structure is right; its checksum and records are [`crate::door`]'s to check
/// when it came from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl EncodedBatch {
    /// Takes bytes that arrived.
    ///
    /// # Errors
    /// When they are not exactly one batch, or its header is not one this version reads.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, HeaderError> {
        let header = BatchHeader::parse(&bytes)?;
        let (length, available) = (header.length as usize, bytes.len());
        if available < length {
            return Err(HeaderError::TooShort { needed: length, available });
        }
        if available > length {
            return Err(HeaderError::TooLong { length, available });
        }
        Ok(Self { header, bytes })
    }

    /// What [`super::BatchBuilder`] finished.
    pub(super) fn from_finished(header: BatchHeader, bytes: Bytes) -> Self {
        debug_assert_eq!(header.length as usize, bytes.len(), "a finished batch states its own length");
        Self { header, bytes }
    }

    /// What its header says.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Its bytes, to be sent.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its bytes, to be sent.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Everything behind the head, shared.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.bytes.slice(HEAD_BYTES..)
    }

    /// The records section as stored, shared.
    #[must_use]
    pub fn section(&self) -> Bytes {
        self.bytes.slice(HEADER_BYTES..)
    }

    /// The same records under another stamp: what a producer sends again under a new epoch (N17). Copies them.
    ///
    /// # Errors
    /// When the stamp is not one that so many records can carry.
    pub fn restamped(&self, producer: ProducerStamp) -> Result<Self, HeaderError> {
        producer.check(self.header.record_count)?;
        let mut header = BatchHeader { producer, ..self.header };
        let mut bytes = BytesMut::from(&self.bytes[..]);
        bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        header.body_crc = body_crc(&bytes[HEAD_BYTES..]);
        bytes[..HEAD_BYTES].copy_from_slice(&header.head_to_bytes());
        Ok(Self { header, bytes: bytes.freeze() })
    }

    /// Gives the batch its place: writes a head of its own, and shares the body.
    ///
    /// # Panics
    /// When the offsets would pass `u64::MAX`, which no log can reach, or `committed_below` lies beyond the batch:
    /// a leader that says so is wrong about what is committed.
    #[must_use]
    pub fn place(&self, placement: Placement) -> PlacedBatch {
        let Placement { topic_partition, base_offset, leader_epoch, append_time_ms, committed_below } =
            placement;
        assert!(committed_below <= base_offset, "committed below {committed_below}, placed at {base_offset}");
        let mut header = BatchHeader {
            base_offset,
            end_offset: base_offset.plus(u64::from(self.header.record_count)),
            leader_epoch,
            append_time_ms,
            committed_below,
            ..self.header
        };
        header.head_crc = head_crc(topic_partition, &header.head_to_bytes());
        PlacedBatch::from_placement(header, self.body())
    }
}
