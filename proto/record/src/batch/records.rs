//! Reading the records of a placed batch: slices of its own bytes, or of one expanded copy.
//!
//! Trusts nothing: a batch whose checksums fit may still have been made by a broken program. Keeps a record's
//! memory alive with the whole batch; a program that holds on to few records of many batches copies them.

use bytes::Bytes;

use crate::codec::{self, Codec, ExpandError};
use crate::record::{Header, HeaderName, HeaderRef, Record};
use crate::types::Offset;

use super::header::BatchHeader;
use super::layout::{RecordError, RecordLayout, StoredHeaders};

/// Why a batch's records cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// The section cannot be expanded.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// One record is not laid out like one.
    #[error("record {index} of the batch at offset {base}: {cause}")]
    Record {
        /// Which record, from 0.
        index: u32,
        /// The batch.
        base: Offset,
        /// What is wrong with it.
        cause: RecordError,
    },
    /// An offset that does not rise, or passes the batch's end.
    #[error(
        "record {index} of the batch at offset {base} has an offset delta of {delta}, which is out of order or beyond the batch"
    )]
    OffsetDelta {
        /// Which record, from 0.
        index: u32,
        /// The batch.
        base: Offset,
        /// What it states.
        delta: u64,
    },
    /// A time before 1970, or beyond what 64 bits hold.
    #[error(
        "record {index} of the batch at offset {base} has a timestamp delta of {delta_ms} ms, which is beyond all time"
    )]
    TimestampDelta {
        /// Which record, from 0.
        index: u32,
        /// The batch.
        base: Offset,
        /// What it states.
        delta_ms: i64,
    },
    /// Bytes behind the last record.
    #[error("{count} bytes follow the last record of the batch at offset {base}")]
    Trailing {
        /// The batch.
        base: Offset,
        /// How many.
        count: usize,
    },
}

/// A record with its offset, as a consumer gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its place in the partition.
    pub offset: Offset,
    /// When it happened, Unix milliseconds, as its producer says.
    pub timestamp_ms: u64,
    /// Its key; `None` is null and differs from empty.
    pub key: Option<Bytes>,
    /// Its payload; `None` is null and differs from empty.
    pub value: Option<Bytes>,
    /// Its headers, in the producer's order.
    pub headers: Vec<Header>,
}

impl StoredRecord {
    /// What was produced: the record without its offset.
    #[must_use]
    pub fn into_record(self) -> Record {
        let Self { offset: _, timestamp_ms, key, value, headers } = self;
        Record { key, value, headers, timestamp_ms }
    }
}

/// The records of one batch, in order. Ends behind the first error.
#[derive(Clone, Debug)]
pub struct Records {
    section: Bytes,
    position: usize,
    base: Offset,
    end: Offset,
    base_timestamp_ms: u64,
    count: u32,
    index: u32,
    /// Where the next record's delta may lie, at the earliest.
    delta_min: u64,
    failed: bool,
}

impl Records {
    pub(super) fn new(header: &BatchHeader, stored: Bytes) -> Result<Self, RecordsError> {
        let section = match header.codec {
            Codec::None => stored,
            codec => {
                let mut expanded = Vec::new();
                codec::expand(codec, &stored, header.expanded_bytes as usize, &mut expanded)?;
                expanded.into()
            }
        };
        Ok(Self {
            section,
            position: 0,
            base: header.base_offset,
            end: header.end_offset,
            base_timestamp_ms: header.base_timestamp_ms,
            count: header.record_count,
            index: 0,
            delta_min: 0,
            failed: false,
        })
    }

    fn read(&mut self) -> Result<StoredRecord, RecordsError> {
        let (index, base) = (self.index, self.base);
        let mut rest = &self.section[self.position..];
        let layout =
            RecordLayout::take(&mut rest).map_err(|cause| RecordsError::Record { index, base, cause })?;
        let record = self.record(&layout)?;
        self.position = self.section.len() - rest.len();
        self.delta_min = layout.offset_delta + 1;
        self.index += 1;
        Ok(record)
    }

    fn record(&self, layout: &RecordLayout<'_, StoredHeaders<'_>>) -> Result<StoredRecord, RecordsError> {
        let (index, base, delta) = (self.index, self.base, layout.offset_delta);
        let delta_ms = layout.timestamp_delta_ms;
        if delta < self.delta_min || delta >= self.end.since(base) {
            return Err(RecordsError::OffsetDelta { index, base, delta });
        }
        let timestamp_ms = self.base_timestamp_ms.checked_add_signed(delta_ms);
        Ok(StoredRecord {
            offset: base.plus(delta),
            timestamp_ms: timestamp_ms.ok_or(RecordsError::TimestampDelta { index, base, delta_ms })?,
            key: layout.key.map(|key| self.share(key)),
            value: layout.value.map(|value| self.share(value)),
            headers: layout.headers.map(|header| self.header(header)).collect(),
        })
    }

    fn header(&self, header: HeaderRef<'_>) -> Header {
        let name = HeaderName::try_from(self.share(header.name.as_bytes())).expect("a str is UTF-8");
        Header { name, value: header.value.map(|value| self.share(value)) }
    }

    /// The same bytes without a copy. An empty slice shares nothing, so that it keeps nothing alive.
    fn share(&self, part: &[u8]) -> Bytes {
        self.section.slice_ref(part)
    }

    fn trailing(&self) -> Option<RecordsError> {
        let count = self.section.len() - self.position;
        (count > 0).then_some(RecordsError::Trailing { base: self.base, count })
    }
}

impl Iterator for Records {
    type Item = Result<StoredRecord, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = match self.index < self.count {
            true => Some(self.read()),
            false => self.trailing().map(Err),
        };
        self.failed = matches!(next, Some(Err(_)));
        next
    }

    /// No lower bound: the count is a claim until the records have been read, and must not size an allocation.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, None)
    }
}

impl std::iter::FusedIterator for Records {}
