//! An acknowledgement is the truth (G1, N17): what it names is committed, and is what was sent.

use fidelog_broker::partition::Stored;
use fidelog_record::EncodedBatch;

use super::history::History;

/// A producer is about to be told that `batch` is stored.
pub(crate) fn is_true(history: &History, batch: &EncodedBatch, stored: &Stored) {
    let body = batch.body();
    let found = match stored.already_stored {
        true => history.batches().iter().any(|it| *it.parts().1 == body),
        false => {
            history.at(stored.base).is_some_and(|it| it.end_offset() == stored.end && *it.parts().1 == body)
        }
    };
    assert!(
        found,
        "acknowledged, and not committed: {stored:?}; committed is what lies below {}",
        history.end()
    );
}
