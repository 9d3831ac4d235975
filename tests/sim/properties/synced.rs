//! What a log knew to be committed outlives every end of its process (G7, R9): it had synced that.

use fidelog_record::types::{Offset, TopicPartition};

/// A start found a log that ends at `end`; its former process had known all below `committed_end` to be committed.
pub(crate) fn outlives_its_process(broker: usize, at: TopicPartition, end: Offset, committed_end: Offset) {
    assert!(
        end >= committed_end,
        "broker {}: {at} ends at {end} after a start; {committed_end} was synced, and known to be committed",
        broker + 1
    );
}
