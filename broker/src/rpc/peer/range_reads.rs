//! Batches for brokers that mend or compare theirs.
//!
//! Always true: what is answered is undamaged and bounded, synced here for who mends and committed for who compares; at most a few of these reads run at once, on
//! threads that may wait for a disk, so that a broker that mends everything it has delays nobody here.

use std::ops::Range;
use std::sync::Arc;

use fidelog_log::{BatchesDigest, LogView, ReadError};
use fidelog_proto::internal::v1 as wire;
use fidelog_record::types::Offset;
use tokio::sync::Semaphore;
use tonic::Status;

use crate::partition::Partition;

/// Answered at once.
const READ_BYTES: usize = 4 << 20;
/// Taken into one digest at most; more is answered in parts.
const DIGEST_BYTES_MAX: usize = 16 << 20;
/// Reads at once, whoever asks.
const READS_MAX: usize = 2;

/// The reading side of `ReadRange` and `DigestRange`.
#[derive(Clone, Debug)]
pub(super) struct RangeReads {
    permits: Arc<Semaphore>,
}

impl Default for RangeReads {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(READS_MAX)) }
    }
}

impl RangeReads {
    /// Some batches from the start of `range` on.
    ///
    /// # Errors
    /// The status that says why there are none.
    pub(super) async fn read(
        &self,
        partition: Arc<Partition>,
        range: Range<Offset>,
    ) -> Result<wire::ReadRangeResponse, Status> {
        let read = move |view: LogView, end| view.read(range.start, READ_BYTES, range.end.min(end));
        let outcome = self.run(partition, |partition| partition.view().durable_end(), read).await?;
        if outcome.batches.is_empty() {
            return Err(Status::failed_precondition("nothing there is synced here"));
        }
        Ok(wire::ReadRangeResponse { batches: outcome.batches })
    }

    /// What the batches of `range` look like.
    ///
    /// # Errors
    /// The status that says why that cannot be told.
    pub(super) async fn digest(
        &self,
        partition: Arc<Partition>,
        range: Range<Offset>,
    ) -> Result<wire::DigestRangeResponse, Status> {
        let digest = move |view: LogView, end| view.digest(range.start..range.end.min(end), DIGEST_BYTES_MAX);
        let BatchesDigest { digest, batch_count, end, .. } =
            self.run(partition, Partition::committed_end, digest).await?;
        Ok(wire::DigestRangeResponse { digest, batch_count, end_offset: end.0 })
    }

    async fn run<T: Send + 'static>(
        &self,
        partition: Arc<Partition>,
        end: fn(&Partition) -> Offset,
        read: impl FnOnce(LogView, Offset) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Status> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|closed| Status::unavailable(closed.to_string()))?;
        // Stopping here is safe: a read changes nothing.
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(partition.view(), end(&partition))
        });
        let read = read.await.map_err(|error| Status::internal(error.to_string()))?;
        read.map_err(|error| Status::failed_precondition(error.to_string()))
    }
}
