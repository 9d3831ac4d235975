//! Reads everything that is stored, slowly, so that damage is found before the last undamaged replica goes (D13).
//!
//! Sealed segments are walked, partition by partition, round after round, at a bounded rate. Always true: every batch is
//! verified by its checksums, and what does not fit is noted in the log, where mending finds it; a follower then compares
//! what is sound with its leader's. Two sound batches that differ are nobody's damage but a broken promise: an error that
//! people must see, never mended.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::Clock;
use fidelog_log::{BatchesDigest, ReadError};
use fidelog_record::types::{BrokerId, Offset};
use tracing::{debug, error};

use super::repair::blocking;
use crate::meta::view::MetaView;
use crate::partition::{Partition, Partitions};
use crate::rpc::peer::{Pace, RangeClient};

/// Read, compared and paced at once.
const STEP_BYTES: usize = 1 << 20;
/// Between two rounds, at least.
const PAUSE_MIN: Duration = Duration::from_secs(10);
/// More of a pause for every partition of a round: many small ones cost more than their bytes.
const PAUSE_PER_PARTITION: Duration = Duration::from_millis(5);

/// What a scrub works with.
pub(super) struct Scrub {
    me: BrokerId,
    partitions: Arc<Partitions>,
    view: Arc<MetaView>,
    clock: Arc<dyn Clock>,
    pace: Pace,
}

impl Scrub {
    pub(super) fn new(
        me: BrokerId,
        partitions: Arc<Partitions>,
        view: Arc<MetaView>,
        clock: Arc<dyn Clock>,
        bytes_per_s: u64,
    ) -> Self {
        Self { me, partitions, view, clock, pace: Pace::new(bytes_per_s) }
    }

    /// Scrubs until the node stops.
    pub(super) async fn run(mut self) {
        loop {
            let mut all = self.partitions.all();
            all.sort_by_key(|partition| partition.id());
            let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
            for partition in all {
                self.scrub(&partition).await;
            }
            // Stopping at any of these awaits is safe: a scrub changes nothing.
            tokio::time::sleep(PAUSE_MIN.saturating_add(PAUSE_PER_PARTITION.saturating_mul(count))).await;
        }
    }

    async fn scrub(&mut self, partition: &Arc<Partition>) {
        let mut next = partition.view().start();
        let mut differing = Vec::new();
        loop {
            let end = partition.view().sealed_end().min(partition.committed_end());
            if next >= end {
                break;
            }
            let view = partition.view();
            let digested = blocking(move || view.digest(next..end, STEP_BYTES)).await;
            match digested {
                Ok(Ok(digest)) => {
                    tokio::time::sleep(self.pace.take(digest.bytes, self.clock.now())).await;
                    if digest.end <= next {
                        break;
                    }
                    let end = digest.end;
                    if let Some(range) = self.compare(partition, next..end, digest).await {
                        differing.push(range);
                    }
                    next = end;
                }
                // Noted in the log: it is mended from there.
                Ok(Err(ReadError::DataLoss { range, .. })) => next = range.end,
                Ok(Err(ReadError::OutOfRange { start, .. })) if next < start => next = start,
                Ok(Err(why)) => {
                    return debug!(partition = %partition.id(), "the scrub goes on elsewhere: {why}");
                }
                Err(why) => return debug!(partition = %partition.id(), "the scrub goes on elsewhere: {why}"),
            }
        }
        let told = differing.first().map(|first| {
            format!(
                "{} range(s) differ from the leader's though both are sound, the first is offsets {}..{}",
                differing.len(),
                first.start,
                first.end
            )
        });
        partition.note_differing(told);
    }

    /// The first batch or so of `range` that differs from the leader's; `None` also when that cannot be told.
    async fn compare(
        &self,
        partition: &Arc<Partition>,
        range: Range<Offset>,
        mine: BatchesDigest,
    ) -> Option<Range<Offset>> {
        let leader = self.leader_of(partition)?;
        if is_same(partition, &leader, range.clone(), mine).await? {
            return None;
        }
        // Halved as long as both sides end their batches at the middle: for people, the nearest will do.
        let mut differing = range;
        while let Some(middle) = middle(partition, &differing).await {
            let first = differing.start..middle;
            let (view, wanted) = (partition.view(), first.clone());
            let Ok(Ok(mine)) = blocking(move || view.digest(wanted, usize::MAX)).await else { break };
            match is_same(partition, &leader, first.clone(), mine).await {
                Some(true) => differing.start = middle,
                Some(false) => differing = first,
                None => break,
            }
        }
        error!(
            partition = %partition.id(), start = %differing.start, end = %differing.end,
            "stored records differ from the leader's though both are sound; nothing is mended"
        );
        Some(differing)
    }

    fn leader_of(&self, partition: &Partition) -> Option<RangeClient> {
        let state = self.view.state()?;
        let leader = state.partition(partition.id())?.leader.filter(|leader| *leader != self.me)?;
        RangeClient::new(&state.broker(leader)?.peer_address).ok()
    }
}

/// Whether the leader's batches of `range` look like `mine`; `None` when it cannot say.
async fn is_same(
    partition: &Partition,
    leader: &RangeClient,
    range: Range<Offset>,
    mine: BatchesDigest,
) -> Option<bool> {
    let theirs = match leader.digest(partition.id(), range.clone()).await {
        Ok(theirs) => theirs,
        Err(why) => {
            debug!(partition = %partition.id(), "the leader does not compare: {why}");
            return None;
        }
    };
    // A leader that ends elsewhere has read less, or does not know yet that the rest is committed.
    let comparable = mine.end == range.end && theirs.end == range.end;
    comparable.then_some((mine.digest, mine.batch_count) == (theirs.digest, theirs.batch_count))
}

/// Where a batch ends near the middle of `range`; `None` when it holds but one.
async fn middle(partition: &Arc<Partition>, range: &Range<Offset>) -> Option<Offset> {
    let view = partition.view();
    let (half, end) = (range.start.plus(range.end.since(range.start) / 2), range.end);
    let start = range.start;
    let read = blocking(move || view.read(half, 1, end)).await.ok()?.ok()?;
    [read.first_offset, read.next_offset].into_iter().find(|middle| start < *middle && *middle < end)
}
