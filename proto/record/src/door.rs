//! The door: everything a broker checks on a batch that a producer sent, before it gets an offset.
//!
//! One walk over the records, nothing copied unless compressed, nothing allocated but the caller's own buffer.
//! What passes can be read by every consumer; what does not is refused whole, naming the first record at fault.
//!
//! Not here: who may produce, sequences against what was stored before, and the place of the batch.

use crate::batch::header::{HEAD_BYTES, HEADER_BYTES};
use crate::batch::layout::{RecordLayout, StoredHeaders};
use crate::batch::{BatchHeader, EncodedBatch, Misfit, RecordError};
use crate::codec::{self, Codec, ExpandError};
use crate::types::limits::TIMESTAMP_AHEAD_MS_MAX;

/// What the door holds a batch against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorLimits {
    /// The topic's limit on one record: key, value and headers together.
    pub record_bytes_max: usize,
    /// The broker's clock, Unix milliseconds; a record's time may be one day ahead of it.
    pub now_ms: u64,
}

/// Why a batch was refused. Nothing of it may be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
    /// A field that only a leader writes is set.
    #[error("the batch sets {field} to {value}; the leader sets it, send 0")]
    HeadSet {
        /// The field.
        field: &'static str,
        /// What it is set to.
        value: u64,
    },
    /// Damaged on the way.
    #[error("the batch was damaged on the way: {0}; send it again")]
    Damaged(Misfit),
    /// The records cannot be expanded within bounds.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// A record is wrong.
    #[error("record {index}: {fault}")]
    Record {
        /// Which, from 0.
        index: u32,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// Fewer records than stated.
    #[error("the batch states {stated} records and holds {found}")]
    CountTooHigh {
        /// What the header states.
        stated: u32,
        /// What there is.
        found: u32,
    },
    /// More records than stated, or bytes that are none.
    #[error("the batch states {stated} records; {bytes} bytes follow the last of them")]
    CountTooLow {
        /// What the header states.
        stated: u32,
        /// Bytes left over.
        bytes: usize,
    },
    /// The greatest time is not what the header says.
    #[error("the batch states {stated} as its greatest timestamp; its records have {found}")]
    MaxTimestamp {
        /// What the header states, Unix milliseconds.
        stated: u64,
        /// The greatest of its records', Unix milliseconds.
        found: u64,
    },
}

/// What is wrong with one record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Its bytes are not a record, or its headers break a limit.
    #[error(transparent)]
    Layout(#[from] RecordError),
    /// Too large for the topic.
    #[error("it has {bytes} bytes in key, value and headers; the topic's record_bytes_max is {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Its offset delta is not its index.
    #[error("its offset delta is {delta}; it must equal the record's index")]
    OffsetDelta {
        /// What it states.
        delta: u64,
    },
    /// It is the first, and its time is not the batch's base.
    #[error("its timestamp delta is {delta_ms} ms; the first record's must be 0")]
    BaseTimestamp {
        /// What it states.
        delta_ms: i64,
    },
    /// Its time is before 1970, or beyond what 64 bits hold.
    #[error("its timestamp is {base_timestamp_ms} with a delta of {delta_ms} ms; use Unix milliseconds")]
    TimestampRange {
        /// The batch's.
        base_timestamp_ms: u64,
        /// What it states.
        delta_ms: i64,
    },
    /// Its time is too far ahead.
    #[error(
        "its timestamp is {timestamp_ms}; at most {timestamp_max_ms} is allowed, one day ahead of the broker's clock"
    )]
    TimestampAhead {
        /// Its time.
        timestamp_ms: u64,
        /// The limit.
        timestamp_max_ms: u64,
    },
}

/// Checks a batch that arrived. `expanded` holds compressed records meanwhile; pass the same one each time, its
/// capacity never passes [`codec::EXPANDED_BYTES_MAX`] by this.
///
/// # Errors
/// The first thing found wrong; damage before anything else.
pub fn check(batch: &EncodedBatch, limits: &DoorLimits, expanded: &mut Vec<u8>) -> Result<(), DoorError> {
    let header = batch.header();
    header.verify_body(&batch.bytes()[HEAD_BYTES..]).map_err(DoorError::Damaged)?;
    check_head(header)?;
    let stored = &batch.bytes()[HEADER_BYTES..];
    match header.codec {
        Codec::None => check_records(header, limits, stored),
        codec => {
            codec::expand(codec, stored, header.expanded_bytes as usize, expanded)?;
            check_records(header, limits, expanded)
        }
    }
}

fn check_head(header: &BatchHeader) -> Result<(), DoorError> {
    let leaders = [
        ("base_offset", header.base_offset.0),
        ("end_offset", header.end_offset.0),
        ("leader_epoch", u64::from(header.leader_epoch.0)),
        ("head_crc", u64::from(header.head_crc)),
        ("append_time_ms", header.append_time_ms),
        ("committed_below", header.committed_below.0),
    ];
    match leaders.into_iter().find(|&(_, value)| value != 0) {
        Some((field, value)) => Err(DoorError::HeadSet { field, value }),
        None => Ok(()),
    }
}

fn check_records(header: &BatchHeader, limits: &DoorLimits, mut section: &[u8]) -> Result<(), DoorError> {
    let (stated, mut found_ms) = (header.record_count, 0);
    for index in 0..stated {
        if section.is_empty() {
            return Err(DoorError::CountTooHigh { stated, found: index });
        }
        let timestamp_ms = RecordLayout::take(&mut section)
            .map_err(RecordFault::Layout)
            .and_then(|record| check_record(index, &record, header.base_timestamp_ms, limits))
            .map_err(|fault| DoorError::Record { index, fault })?;
        found_ms = timestamp_ms.max(found_ms);
    }
    if !section.is_empty() {
        return Err(DoorError::CountTooLow { stated, bytes: section.len() });
    }
    if header.max_timestamp_ms != found_ms {
        return Err(DoorError::MaxTimestamp { stated: header.max_timestamp_ms, found: found_ms });
    }
    Ok(())
}

/// Checks one record that is laid out right; tells its timestamp.
fn check_record(
    index: u32,
    record: &RecordLayout<'_, StoredHeaders<'_>>,
    base_timestamp_ms: u64,
    limits: &DoorLimits,
) -> Result<u64, RecordFault> {
    let (bytes, bytes_max) = (record.payload_bytes(), limits.record_bytes_max);
    if bytes > bytes_max {
        return Err(RecordFault::TooLarge { bytes, bytes_max });
    }
    let (delta, delta_ms) = (record.offset_delta, record.timestamp_delta_ms);
    if delta != u64::from(index) {
        return Err(RecordFault::OffsetDelta { delta });
    }
    if index == 0 && delta_ms != 0 {
        return Err(RecordFault::BaseTimestamp { delta_ms });
    }
    let timestamp_ms = base_timestamp_ms
        .checked_add_signed(delta_ms)
        .ok_or(RecordFault::TimestampRange { base_timestamp_ms, delta_ms })?;
    let timestamp_max_ms = limits.now_ms.saturating_add(TIMESTAMP_AHEAD_MS_MAX);
    if timestamp_ms > timestamp_max_ms {
        return Err(RecordFault::TimestampAhead { timestamp_ms, timestamp_max_ms });
    }
    Ok(timestamp_ms)
}

#[cfg(test)]
mod tests;
