//! A batch with a place: what is stored, replicated and fetched.
//!
//! Head and body are kept apart, so that a leader writes 52 bytes and never copies what a producer sent.

use bytes::{BufMut, Bytes, BytesMut};

use crate::types::{LeaderEpoch, Offset, TopicPartition};

use super::header::{BatchHeader, HEAD_BYTES, HEADER_BYTES};
use super::header_error::HeaderError;
use super::misfit::Misfit;
use super::records::{Records, RecordsError};

/// One whole batch with offsets. Its structure is right; [`Self::verify`] tells whether it is undamaged and belongs
/// to a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedBatch {
    header: BatchHeader,
    head: [u8; HEAD_BYTES],
    body: Bytes,
}

impl PlacedBatch {
    /// What [`super::EncodedBatch::place`] made.
    pub(super) fn from_placement(header: BatchHeader, body: Bytes) -> Self {
        debug_assert_eq!(
            header.length as usize,
            HEAD_BYTES + body.len(),
            "a placed batch states its own length"
        );
        Self { header, head: header.head_to_bytes(), body }
    }

    /// Takes a head and everything behind it, the body shared.
    ///
    /// # Errors
    /// When they are not exactly one batch, or its header is not one this version reads. Checksums are not looked at.
    pub fn from_parts(head: &[u8], body: Bytes) -> Result<Self, HeaderError> {
        let available = head.len() + body.len();
        let Ok(head) = <[u8; HEAD_BYTES]>::try_from(head) else {
            return Err(HeaderError::TooShort { needed: HEAD_BYTES, available: head.len() });
        };
        let Some(fixed) = body.first_chunk::<{ HEADER_BYTES - HEAD_BYTES }>() else {
            return Err(HeaderError::TooShort { needed: HEADER_BYTES, available });
        };
        let mut raw = [0; HEADER_BYTES];
        raw[..HEAD_BYTES].copy_from_slice(&head);
        raw[HEAD_BYTES..].copy_from_slice(fixed);
        let header = BatchHeader::parse(&raw)?;
        let length = header.length as usize;
        if available < length {
            return Err(HeaderError::TooShort { needed: length, available });
        }
        if available > length {
            return Err(HeaderError::TooLong { length, available });
        }
        Ok(Self { header, head, body })
    }

    /// Takes one batch as stored, the body shared.
    ///
    /// # Errors
    /// As [`Self::from_parts`].
    pub fn from_bytes(bytes: Bytes) -> Result<Self, HeaderError> {
        if bytes.len() < HEAD_BYTES {
            return Err(HeaderError::TooShort { needed: HEADER_BYTES, available: bytes.len() });
        }
        Self::from_parts(&bytes[..HEAD_BYTES], bytes.slice(HEAD_BYTES..))
    }

    /// The two parts, to be written one behind the other.
    #[must_use]
    pub fn parts(&self) -> (&[u8; HEAD_BYTES], &Bytes) {
        (&self.head, &self.body)
    }

    /// One contiguous copy.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.length());
        bytes.put_slice(&self.head);
        bytes.put_slice(&self.body);
        bytes.freeze()
    }

    /// Checks that the batch is undamaged and was placed in this partition: both checksums.
    ///
    /// # Errors
    /// Which of the two does not fit, or that its offsets cannot be.
    pub fn verify(&self, at: TopicPartition) -> Result<(), Misfit> {
        self.header.verify_head(at)?;
        self.header.verify_body(&self.body)
    }

    /// Its records, in order, sharing its bytes; compressed ones share one expanded copy. Verify it first.
    ///
    /// # Errors
    /// When a compressed section cannot be expanded.
    pub fn records(&self) -> Result<Records, RecordsError> {
        Records::new(&self.header, self.body.slice(HEADER_BYTES - HEAD_BYTES..))
    }

    /// What its header says.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Bytes of the whole batch.
    #[must_use]
    pub fn length(&self) -> usize {
        self.header.length as usize
    }

    /// Offset of its first record.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.header.base_offset
    }

    /// The exclusive end of its offsets: where the next batch begins.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.header.end_offset
    }

    /// The epoch it was placed in.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.header.leader_epoch
    }

    /// The leader's committed end when it placed the batch.
    #[must_use]
    pub fn committed_below(&self) -> Offset {
        self.header.committed_below
    }

    /// When it was placed, Unix milliseconds.
    #[must_use]
    pub fn append_time_ms(&self) -> u64 {
        self.header.append_time_ms
    }

    /// The greatest timestamp of its records, Unix milliseconds.
    #[must_use]
    pub fn max_timestamp_ms(&self) -> u64 {
        self.header.max_timestamp_ms
    }

    /// How many records it holds.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.header.record_count
    }
}

#[cfg(test)]
#[path = "placed_tests.rs"]
mod tests;
