//! What a lane remembers of one batch, and of sequences that are gone.

use std::sync::Arc;

use fidelog_record::types::Sequence;

use crate::error::Refusal;

/// A batch between its hand-over and its outcome.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) payload: T,
    pub(super) records: u32,
    pub(super) deadline_ms: u64,
    pub(super) stamp: Option<Sequence>,
    /// The attempt that is unanswered.
    pub(super) flight: Option<u64>,
    pub(super) attempts: u32,
    /// Some attempt was not answered definitely.
    pub(super) unknown: bool,
    /// The last attempt was answered OUT_OF_ORDER.
    pub(super) out_of_order: bool,
    pub(super) last: Option<Arc<Refusal>>,
    /// Reported already; only its attempt is waited for.
    pub(super) ghost: bool,
}

impl<T> Entry<T> {
    pub(super) fn new(payload: T, records: u32, deadline_ms: u64) -> Self {
        Self {
            payload,
            records,
            deadline_ms,
            stamp: None,
            flight: None,
            attempts: 0,
            unknown: false,
            out_of_order: false,
            last: None,
            ghost: false,
        }
    }
}

/// Sequences that left the lane without being known as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) begin: Sequence,
    /// Exclusive.
    pub(super) end: u64,
}
