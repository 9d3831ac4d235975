//! What is wrong with a batch or with the records that were to become one.

use fidelog_proto::v1::Reason;
use fidelog_record::batch::FinishError;
use fidelog_record::door::{DoorError, RecordFault};
use fidelog_record::{HeaderError, PushError};

use crate::rpc::status::Failure;

/// The bytes are not a batch.
pub(in crate::rpc) fn header_failure(error: &HeaderError) -> Failure {
    let reason = match error {
        HeaderError::TooShort { .. } | HeaderError::TooLong { .. } | HeaderError::Magic { .. } => {
            Reason::InvalidBatch
        }
        HeaderError::Length { .. } | HeaderError::ExpandedBytes { .. } => Reason::BatchTooLarge,
        HeaderError::Codec { .. } | HeaderError::Checksum { .. } | HeaderError::PayloadFormat { .. } => {
            Reason::UnsupportedFormat
        }
        HeaderError::Attributes { .. }
        | HeaderError::RecordCount { .. }
        | HeaderError::Producer { .. }
        | HeaderError::Sequence { .. }
        | HeaderError::Reserved { .. } => Reason::InvalidBatch,
    };
    Failure::new(reason, error.to_string()).with("field", "batch")
}

/// The door refused the batch.
pub(in crate::rpc) fn door_failure(error: &DoorError) -> Failure {
    let failure = |reason| Failure::new(reason, error.to_string()).with("field", "batch");
    match error {
        DoorError::Damaged(_) => failure(Reason::DataCorrupt),
        DoorError::Expand(_) | DoorError::HeadSet { .. } | DoorError::CountTooHigh { .. } => {
            failure(Reason::InvalidBatch)
        }
        DoorError::CountTooLow { .. } | DoorError::MaxTimestamp { .. } => failure(Reason::InvalidBatch),
        DoorError::Record { index, fault } => failure(record_reason(fault)).with("record", index),
    }
}

fn record_reason(fault: &RecordFault) -> Reason {
    match fault {
        RecordFault::TooLarge { .. } => Reason::RecordTooLarge,
        RecordFault::TimestampAhead { .. } => Reason::TimestampOutOfRange,
        RecordFault::Layout(_)
        | RecordFault::OffsetDelta { .. }
        | RecordFault::BaseTimestamp { .. }
        | RecordFault::TimestampRange { .. } => Reason::InvalidBatch,
    }
}

/// Record `index` of a request does not fit a batch.
pub(in crate::rpc) fn push_failure(error: &PushError, index: usize) -> Failure {
    let reason = match error {
        PushError::Full { .. } => Reason::BatchTooLarge,
        PushError::RecordTooLarge { .. } => Reason::RecordTooLarge,
        PushError::Timestamp { .. } => Reason::TimestampOutOfRange,
        PushError::Headers(_) => Reason::InvalidArgument,
    };
    Failure::new(reason, format!("record {index}: {error}")).with("field", "records").with("record", index)
}

/// The records of a request cannot become a batch.
pub(in crate::rpc) fn finish_failure(error: &FinishError) -> Failure {
    match error {
        FinishError::Empty => Failure::invalid("records", "the request holds no records; send 1 or more"),
        FinishError::Stamp(error) => Failure::invalid("producer", error.to_string()),
    }
}
