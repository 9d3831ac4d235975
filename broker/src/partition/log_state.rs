//! What a partition's log holds, as its machine knows it.

use fidelog_log::{EpochHistory, Log, ProducerTable};
use fidelog_record::types::Offset;

/// What the log holds.
#[derive(Clone, Debug)]
pub struct LogState {
    /// First offset kept.
    pub start: Offset,
    /// Known to be committed.
    pub committed_end: Offset,
    /// Synced.
    pub durable_end: Offset,
    /// Placed.
    pub end: Offset,
    /// Which epoch began where.
    pub epochs: EpochHistory,
    /// What is remembered of producers, at `end`.
    pub producers: ProducerTable,
    /// Bytes that may be appended before more room must be asked for.
    pub room_bytes: u64,
}

impl LogState {
    /// What a log holds that was just opened: all of it is synced.
    #[must_use]
    pub fn of(log: &Log) -> Self {
        let view = log.view();
        let (start, end) = (view.start(), view.durable_end());
        Self {
            start,
            committed_end: log.committed_end().clamp(start, end),
            durable_end: end,
            end,
            epochs: log.epochs().clone(),
            producers: log.producers().clone(),
            room_bytes: log.room_bytes(),
        }
    }
}
