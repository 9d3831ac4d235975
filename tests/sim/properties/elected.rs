//! Whoever leads holds everything that was ever committed (D9, N9).

use super::history::History;
use crate::judge::Shadow;

/// What a broker that opened the newest epoch with this lacks, if anything.
pub(crate) fn lacks(broker: usize, shadow: &Shadow, history: &History) -> Option<String> {
    let end = history.end();
    if shadow.durable_end < end {
        let durable_end = shadow.durable_end;
        return Some(format!(
            "broker {} leads, and has synced only {durable_end}; all below {end} is committed",
            broker + 1
        ));
    }
    let differs = shadow
        .batches
        .iter()
        .find(|batch| history.at(batch.base_offset()).is_some_and(|known| known != *batch))?;
    Some(format!(
        "broker {} leads, and holds something else than what is committed at {}",
        broker + 1,
        differs.base_offset()
    ))
}
