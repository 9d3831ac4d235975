//! In the end all replicas hold the same, byte for byte, and it is what was committed: an acknowledged record survives
//! (G1, G7).

use fidelog_record::PlacedBatch;
use fidelog_record::types::TopicPartition;

use super::history::History;

/// The batches of one replica, read from its log in the end.
pub(crate) fn are_what_was_committed(
    broker: usize,
    at: TopicPartition,
    held: &[PlacedBatch],
    history: &History,
) {
    let first = held.first().map_or(history.end(), PlacedBatch::base_offset);
    let from = history.batches().partition_point(|it| it.base_offset() < first);
    let committed = &history.batches()[from..];
    assert!(
        held == committed,
        "broker {}: {at} holds {} batches from {first} on, {} are committed; first difference at {:?}",
        broker + 1,
        held.len(),
        committed.len(),
        held.iter().zip(committed).find(|(ours, theirs)| ours != theirs).map(|(ours, _)| ours.header())
    );
}
