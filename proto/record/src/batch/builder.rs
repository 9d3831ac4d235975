//! Building a batch: records go straight into the buffer that will be sent.
//!
//! A refused record leaves the builder as it was. What a builder finishes passes the door, given the same limits
//! and times that are not ahead of the broker's clock.

use crate::checksum::body_crc;
use crate::codec::{self, Codec};
use crate::record::{Header, HeaderRef, Record, RecordRef};
use crate::types::limits::{
    BATCH_BYTES_MAX, BATCH_OVERHEAD_BYTES, BATCH_RECORD_COUNT_MAX, HEADER_COUNT_MAX, RECORD_BYTES_MAX,
};
use crate::types::{LeaderEpoch, Offset};
use crate::varint::VARINT_BYTES_MAX;

use super::encoded::EncodedBatch;
use super::header::{BatchHeader, HEAD_BYTES, HEADER_BYTES, ProducerStamp};
use super::header_error::HeaderError;
use super::layout::{RecordError, RecordLayout, check_headers};

/// The most a record adds to its payload: a varint for each header's name and value, and seven numbers of its own.
const RECORD_OVERHEAD_BYTES_MAX: usize = VARINT_BYTES_MAX * (2 * HEADER_COUNT_MAX + 7);

// A lone record of any allowed size fits an empty batch, so that `PushError::Full` always means "not beside these".
const _: () = assert!(HEADER_BYTES + RECORD_OVERHEAD_BYTES_MAX <= BATCH_OVERHEAD_BYTES);

/// How large the parts of a batch may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// The topic's limit on one record: key, value and headers together.
    pub record_bytes_max: usize,
    /// What a batch holds before compression, header included; a single record may pass it, up to
    /// [`BATCH_BYTES_MAX`].
    pub batch_bytes_max: usize,
}

impl Default for BatchLimits {
    /// The format's own limits.
    fn default() -> Self {
        Self { record_bytes_max: RECORD_BYTES_MAX, batch_bytes_max: BATCH_BYTES_MAX }
    }
}

/// Why a record was not taken. The builder is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// There is no room beside the records already in it: finish it, and push to the next one.
    #[error("the batch is full with {count} records in {bytes} bytes; finish it and start another")]
    Full {
        /// Records in it.
        count: u32,
        /// Bytes in it before compression, header included.
        bytes: usize,
    },
    /// It will never fit.
    #[error("the record has {bytes} bytes in key, value and headers; at most {bytes_max} are allowed")]
    RecordTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Its time is too far from that of the first record to be told.
    #[error(
        "the record's time {timestamp_ms} lies too far from {base_timestamp_ms}, that of the batch's first; use Unix milliseconds"
    )]
    Timestamp {
        /// Its time.
        timestamp_ms: u64,
        /// That of the first record.
        base_timestamp_ms: u64,
    },
    /// Its headers.
    #[error(transparent)]
    Headers(#[from] RecordError),
}

/// Why no batch was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// It holds no records.
    #[error("a batch needs at least one record")]
    Empty,
    /// The stamp does not go with the records.
    #[error(transparent)]
    Stamp(#[from] HeaderError),
}

/// A batch that is being filled.
#[derive(Debug)]
pub struct BatchBuilder {
    codec: Codec,
    limits: BatchLimits,
    /// Room for the header, then the records as they are.
    buffer: Vec<u8>,
    count: u32,
    base_timestamp_ms: u64,
    max_timestamp_ms: u64,
}

impl BatchBuilder {
    /// An empty batch under the format's own limits, to be compressed with `codec` when that makes it smaller.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self::with_limits(codec, BatchLimits::default())
    }

    /// An empty batch under `limits`; a limit beyond the format's own counts as the format's own.
    #[must_use]
    pub fn with_limits(codec: Codec, limits: BatchLimits) -> Self {
        let limits = BatchLimits {
            record_bytes_max: limits.record_bytes_max.min(RECORD_BYTES_MAX),
            batch_bytes_max: limits.batch_bytes_max.min(BATCH_BYTES_MAX),
        };
        let buffer = vec![0; HEADER_BYTES];
        Self { codec, limits, buffer, count: 0, base_timestamp_ms: 0, max_timestamp_ms: 0 }
    }

    /// Records in it.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether it holds no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch as it stands, header included, before compression: the most it will take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When the record breaks a limit, or the batch is full ([`PushError::Full`]; never when it is empty).
    pub fn try_push(&mut self, record: RecordRef<'_>) -> Result<(), PushError> {
        self.push(record.timestamp_ms, record.key, record.value, record.headers.iter().copied())
    }

    /// Adds a record that owns its bytes; they are copied into the batch.
    ///
    /// # Errors
    /// As [`Self::try_push`].
    pub fn try_push_record(&mut self, record: &Record) -> Result<(), PushError> {
        let headers = record.headers.iter().map(Header::as_ref);
        self.push(record.timestamp_ms, record.key.as_deref(), record.value.as_deref(), headers)
    }

    fn push<'a>(
        &mut self,
        timestamp_ms: u64,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: impl Iterator<Item = HeaderRef<'a>> + Clone,
    ) -> Result<(), PushError> {
        let header_sums = check_headers(headers.clone())?;
        let base_timestamp_ms = if self.is_empty() { timestamp_ms } else { self.base_timestamp_ms };
        let delta = i128::from(timestamp_ms) - i128::from(base_timestamp_ms);
        let record = RecordLayout {
            timestamp_delta_ms: i64::try_from(delta)
                .map_err(|_| PushError::Timestamp { timestamp_ms, base_timestamp_ms })?,
            offset_delta: u64::from(self.count),
            key,
            value,
            headers,
            header_sums,
        };
        self.check_room(record.payload_bytes(), record.encoded_bytes())?;
        record.put(&mut self.buffer);
        self.count += 1;
        self.base_timestamp_ms = base_timestamp_ms;
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        Ok(())
    }

    fn check_room(&self, payload_bytes: usize, encoded_bytes: usize) -> Result<(), PushError> {
        let bytes_max = self.limits.record_bytes_max;
        if payload_bytes > bytes_max {
            return Err(PushError::RecordTooLarge { bytes: payload_bytes, bytes_max });
        }
        // A lone record passes the batch's limit, but never the format's: BATCH_OVERHEAD_BYTES has room for it.
        let room = if self.is_empty() { BATCH_BYTES_MAX } else { self.limits.batch_bytes_max };
        if self.buffer.len() + encoded_bytes > room || self.count == BATCH_RECORD_COUNT_MAX {
            return Err(PushError::Full { count: self.count, bytes: self.buffer.len() });
        }
        Ok(())
    }

    /// The batch, stamped, compressed when that makes it smaller, its body checksum made.
    ///
    /// # Errors
    /// When it is empty, or the stamp is not one that so many records can carry.
    pub fn finish(self, producer: ProducerStamp) -> Result<EncodedBatch, FinishError> {
        if self.is_empty() {
            return Err(FinishError::Empty);
        }
        producer.check(self.count)?;
        let section = &self.buffer[HEADER_BYTES..];
        let expanded_bytes = as_u32(section.len());
        let mut compressed = Vec::new();
        let shrunk = self.codec != Codec::None && {
            compressed.resize(HEADER_BYTES, 0);
            codec::compress(self.codec, section, &mut compressed)
        };
        let (codec, mut bytes) = if shrunk { (self.codec, compressed) } else { (Codec::None, self.buffer) };
        let mut header = BatchHeader {
            length: as_u32(bytes.len()),
            base_offset: Offset::ZERO,
            end_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch(0),
            head_crc: 0,
            append_time_ms: 0,
            committed_below: Offset::ZERO,
            body_crc: 0,
            codec,
            producer,
            record_count: self.count,
            base_timestamp_ms: self.base_timestamp_ms,
            max_timestamp_ms: self.max_timestamp_ms,
            expanded_bytes,
        };
        bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        header.body_crc = body_crc(&bytes[HEAD_BYTES..]);
        bytes[..HEAD_BYTES].copy_from_slice(&header.head_to_bytes());
        Ok(EncodedBatch::from_finished(header, bytes.into()))
    }
}

fn as_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a batch is at most BATCH_BYTES_MAX, asserted below u32::MAX")
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
