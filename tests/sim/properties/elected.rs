//! Whoever leads holds everything that was ever committed (D9, N9).

use super::history::History;
use crate::judge::Shadow;

/// A broker opened the newest epoch with this.
pub(crate) fn holds_all(broker: usize, shadow: &Shadow, history: &History) {
    let end = history.end();
    assert!(
        shadow.durable_end >= end,
        "broker {} leads, and has synced only {}; all below {end} is committed",
        broker + 1,
        shadow.durable_end
    );
    for batch in &shadow.batches {
        if let Some(known) = history.at(batch.base_offset()) {
            assert!(
                known == batch,
                "broker {} leads, and holds something else than what is committed at {}",
                broker + 1,
                batch.base_offset()
            );
        }
    }
}
