//! Readers see committed records only, in order and without holes, and the end never goes back for them (G3, N6).

use bytes::Bytes;
use fidelog_record::Batches;
use fidelog_record::types::{Offset, TopicPartition};

use super::history::History;

/// A reader at `from` was given `bytes`, and told to go on at `next`.
pub(crate) fn is_committed(history: &History, at: TopicPartition, from: Offset, bytes: &Bytes, next: Offset) {
    let mut reached = None;
    for batch in Batches::new(bytes.clone(), at) {
        let batch =
            batch.unwrap_or_else(|misfit| panic!("{at}: a reader at {from} was given damage: {misfit}"));
        if reached.is_none() {
            assert!(
                batch.base_offset() <= from && from < batch.end_offset(),
                "{at}: a reader at {from} was given what begins at {}",
                batch.base_offset()
            );
        }
        let base = batch.base_offset();
        let known = history.at(base);
        assert_eq!(known, Some(&batch), "{at}: a reader at {from} was given what is not committed at {base}");
        reached = Some(batch.end_offset());
    }
    assert_eq!(reached, Some(next), "{at}: a reader at {from} was given a hole");
}

/// A reader at `asked`, up to which it has read, was told that the log begins at `start` and ends at `end`.
pub(crate) fn may_be_out_of_range(history: &History, asked: Offset, start: Offset, end: Offset) {
    assert!(
        asked < start && start <= history.end(),
        "a reader that has read up to {asked} was told that the log is {start}..{end}"
    );
}
