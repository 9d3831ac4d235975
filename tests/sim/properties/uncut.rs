//! Damage is not taken for a torn tail (R9): what an intact batch says to be committed is not cut away, whatever is damaged
//! before it.

use fidelog_record::PlacedBatch;
use fidelog_record::types::{Offset, TopicPartition};

/// A start found a log that ends at `end`. It had synced `batches`, and a bit of the one that begins at `hurt` has flipped
/// since.
pub(crate) fn reaches_what_is_known(
    broker: usize,
    at: TopicPartition,
    end: Offset,
    batches: &[PlacedBatch],
    hurt: Offset,
) {
    let intact = batches.iter().filter(|batch| batch.base_offset() != hurt);
    let known = intact.map(PlacedBatch::committed_below).max().unwrap_or_default();
    assert!(
        end >= known,
        "broker {}: {at} ends at {end} after a start; it was damaged at {hurt}, and a batch behind that says that all \
         below {known} is committed",
        broker + 1
    );
}
