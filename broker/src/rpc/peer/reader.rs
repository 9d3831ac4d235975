//! Reads the log for a stream's follower that is behind what memory holds: one read at a time for all partitions of the
//! stream, with one pace and one credit, so that however many are behind, what is on its way to the follower is bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::Clock;
use fidelog_proto::internal::v1 as wire;
use fidelog_record::types::{LeaderEpoch, Offset, TopicPartition};
use fidelog_record::{Batches, PlacedBatch};
use tracing::warn;

use super::codec;
use super::outbox::Outbox;
use super::pace::Pace;
use crate::partition::{NextPush, Partition};

/// Read at once for a follower that catches up.
const CATCH_UP_READ_BYTES: usize = 4 << 20;
/// The same among live pushes: no push waits for more than this.
const LIVE_READ_BYTES: usize = 256 << 10;
/// Read, sent and not reported synced, over all partitions of a stream; one read goes beyond it.
const CREDIT_BYTES: u64 = 32 << 20;
/// A log that could not be read is tried again after this; the others of the stream go on meanwhile.
const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// A position that is forgotten gives its credit back without a word on the stream: looked at this often.
const CREDIT_PAUSE: Duration = Duration::from_millis(200);

/// The reading side of one outgoing stream.
pub(super) struct Reader {
    outbox: Arc<Outbox>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    /// Partitions that were read for and may have unreported bytes.
    unreported: BTreeMap<TopicPartition, Arc<Partition>>,
}

impl Reader {
    pub(super) fn new(outbox: Arc<Outbox>, clock: Arc<dyn Clock>, bytes_per_s: u64) -> Self {
        Self { outbox, clock, pace: Pace::new(bytes_per_s), unreported: BTreeMap::new() }
    }

    /// Reads what is wanted, for as long as the stream lives.
    pub(super) async fn run(mut self) {
        loop {
            // Stopping at any of these awaits is safe: a follower's position moves only in `read_for_push`.
            let partition = self.outbox.next_wanted().await;
            while self.unreported_bytes() >= CREDIT_BYTES {
                // A credit that comes ends the wait early; both outcomes are looked at alike.
                let _ = tokio::time::timeout(CREDIT_PAUSE, self.outbox.reader_called()).await;
            }
            self.serve(partition).await;
        }
    }

    fn unreported_bytes(&mut self) -> u64 {
        let (to, stream) = (self.outbox.to, self.outbox.stream);
        let mut sum = 0;
        self.unreported.retain(|_, partition| {
            let bytes = partition.inspect(|machine| machine.in_flight_bytes(to, stream));
            sum += bytes;
            bytes > 0
        });
        sum
    }

    async fn serve(&mut self, partition: Arc<Partition>) {
        let bytes_max = match self.outbox.lane {
            wire::Lane::CatchUp => CATCH_UP_READ_BYTES,
            wire::Lane::Live | wire::Lane::Unspecified => LIVE_READ_BYTES,
        };
        let next = partition.next_push(self.outbox.to, self.outbox.stream, bytes_max as u64);
        let next = match next {
            NextPush::Read { from, below, epoch } => {
                let reader = Arc::clone(&partition);
                let read =
                    tokio::task::spawn_blocking(move || read_batches(&reader, from, below, bytes_max)).await;
                match read.map_err(|panicked| panicked.to_string()).and_then(|read| read) {
                    Ok(batches) => self.hand_over(&partition, epoch, batches).await,
                    Err(why) => return self.try_later(partition, &why),
                }
            }
            next => next,
        };
        let message = match next {
            NextPush::Send(epoch, message) => {
                Some(codec::encode_leader(partition.topic_bytes(), partition.id(), epoch, message))
            }
            NextPush::Nothing | NextPush::Read { .. } => None,
        };
        self.outbox.end_reading(partition, message);
    }

    async fn hand_over(
        &mut self,
        partition: &Arc<Partition>,
        epoch: LeaderEpoch,
        batches: Vec<PlacedBatch>,
    ) -> NextPush {
        let bytes = batches.iter().map(|batch| batch.length() as u64).sum();
        tokio::time::sleep(self.pace.take(bytes, self.clock.now())).await;
        self.unreported.insert(partition.id(), Arc::clone(partition));
        partition.read_for_push(self.outbox.to, self.outbox.stream, epoch, batches)
    }

    fn try_later(&self, partition: Arc<Partition>, why: &str) {
        warn!(partition = %partition.id(), follower = %self.outbox.to, "cannot read for a follower: {why}");
        let outbox = Arc::clone(&self.outbox);
        tokio::spawn(async move {
            tokio::time::sleep(FAILED_PAUSE).await;
            outbox.end_reading(partition, None);
        });
    }
}

/// Whole, verified batches from `from` on.
fn read_batches(
    partition: &Partition,
    from: Offset,
    below: Offset,
    bytes_max: usize,
) -> Result<Vec<PlacedBatch>, String> {
    let read = partition.view().read(from, bytes_max, below).map_err(|error| error.to_string())?;
    Batches::new(read.batches, partition.id())
        .filter(|batch| batch.as_ref().map_or(true, |batch| batch.base_offset() >= from))
        .collect::<Result<_, _>>()
        .map_err(|misfit| misfit.to_string())
}
