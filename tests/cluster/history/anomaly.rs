//! What no history may show, with enough in each to find it in the logs.

use super::event::Value;

/// One thing that must not have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Anomaly {
    #[error("lost write: {value} was acknowledged at {partition}/{offset}, readers went beyond, none saw it")]
    LostWrite { value: Value, partition: u32, offset: u64 },
    #[error("unseen: {value} was acknowledged in partition {partition} and was not there at the end")]
    Unseen { value: Value, partition: u32 },
    #[error("aborted read: {value} was definitely not stored, and was read at {partition}/{offset}")]
    AbortedRead { value: Value, partition: u32, offset: u64 },
    #[error("inconsistent offset: {partition}/{offset} was {first} and {second}")]
    InconsistentOffset { partition: u32, offset: u64, first: String, second: String },
    #[error("duplicate: {value} is at offsets {first} and {second} of partition {partition}")]
    Duplicate { value: Value, partition: u32, first: u64, second: u64 },
    #[error("out of order: {later} was sent after {earlier} and stands before it in partition {partition}")]
    OutOfOrder { earlier: Value, later: Value, partition: u32 },
    #[error("nonmonotonic read: session {session} got {partition}/{offset} after {before}")]
    NonmonotonicRead { session: u32, partition: u32, before: u64, offset: u64 },
    #[error("skipped read: session {session} got {partition}/{offset} right after {before}")]
    SkippedRead { session: u32, partition: u32, before: u64, offset: u64 },
    #[error("unexpected: {what} was read at {partition}/{offset}, and nobody sent it there")]
    Unexpected { what: String, partition: u32, offset: u64 },
}
