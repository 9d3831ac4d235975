//! Records that were not acknowledged, kept until somebody flushes: who drops deliveries hears of them there.

use parking_lot::Mutex;

use super::delivery::DeliveryError;

/// Records failed since the last flush.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{records} records were not acknowledged; the first: {first}")]
pub struct FlushError {
    /// How many.
    pub records: u64,
    /// How the first of them failed.
    pub first: DeliveryError,
}

#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<Option<FlushError>>);

impl Failures {
    pub(super) fn note(&self, records: u32, error: &DeliveryError) {
        let mut failed = self.0.lock();
        let failed = failed.get_or_insert_with(|| FlushError { records: 0, first: error.clone() });
        failed.records += u64::from(records);
    }

    pub(super) fn take(&self) -> Result<(), FlushError> {
        self.0.lock().take().map_or(Ok(()), Err)
    }
}
