//! Mends what is damaged in this broker's logs with batches of other replicas (D13).
//!
//! One partition at a time, one segment at a time, at a bounded rate. Always true: only what is known here to be
//! committed is mended; what comes from elsewhere is verified by the log before it is written; as long as a range is
//! not mended it is not served, and nothing is pushed past it. The leader is asked first, then the in-sync replicas,
//! then the others; a leader asks its followers.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fidelog_log::env::{Clock, Moment};
use fidelog_log::{MendError, Mending};
use fidelog_record::types::{BrokerId, Offset, TopicPartition};
use tracing::{info, warn};

use super::housekeeping::every;
use crate::meta::view::MetaView;
use crate::partition::{Partition, Partitions};
use crate::rpc::peer::{Pace, RangeClient};

/// How often damage is looked for. What finds it, a start, a read or the scrub, notes it in the log.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// First pause after a failed attempt; doubled up to the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Bytes a second that mending reads, from its own disk and from others.
const BYTES_PER_S: u64 = 64 << 20;

/// What mending works with.
pub(super) struct Repair {
    me: BrokerId,
    partitions: Arc<Partitions>,
    view: Arc<MetaView>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    failed: BTreeMap<TopicPartition, Failed>,
}

/// When a partition is tried again.
struct Failed {
    again_at: Moment,
    pause: Duration,
    why: String,
}

impl Repair {
    pub(super) fn new(
        me: BrokerId,
        partitions: Arc<Partitions>,
        view: Arc<MetaView>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { me, partitions, view, clock, pace: Pace::new(BYTES_PER_S), failed: BTreeMap::new() }
    }

    /// Looks and mends until the node stops.
    pub(super) async fn run(mut self) {
        let mut interval = every(LOOK_EVERY);
        loop {
            // Stopping at any of these awaits is safe: a segment is replaced in one step, or not.
            interval.tick().await;
            let mut damaged = self.partitions.all();
            damaged.retain(|partition| partition.view().is_damaged());
            damaged.sort_by_key(|partition| partition.id());
            self.failed.retain(|at, _| damaged.iter().any(|partition| partition.id() == *at));
            for partition in damaged {
                let due = |failed: &Failed| failed.again_at <= self.clock.now();
                if self.failed.get(&partition.id()).is_none_or(due) {
                    self.try_one(&partition).await;
                }
            }
        }
    }

    async fn try_one(&mut self, partition: &Arc<Partition>) {
        let at = partition.id();
        match self.mend_one(partition).await {
            Ok(mended) => {
                self.failed.remove(&at);
                partition.note_unmended(None);
                let ranges: Vec<String> =
                    mended.iter().map(|range| format!("{}..{}", range.start, range.end)).collect();
                info!(partition = %at, offsets = %ranges.join(", "), "damaged records were mended");
            }
            Err(why) => {
                let before = self.failed.remove(&at);
                if before.as_ref().is_none_or(|before| before.why != why) {
                    warn!(partition = %at, "damaged records are not mended yet: {why}");
                }
                partition.note_unmended(Some(format!("not mended yet: {why}")));
                let pause = before.map_or(PAUSE_FIRST, |before| (before.pause * 2).min(PAUSE_MAX));
                let again_at = self.clock.now().plus(pause);
                self.failed.insert(at, Failed { again_at, pause, why });
            }
        }
    }

    /// Mends one segment; tells what came from elsewhere.
    async fn mend_one(&mut self, partition: &Arc<Partition>) -> Result<Vec<Range<Offset>>, String> {
        let committed_end = partition.committed_end();
        let damage = partition.view().damage();
        let Some(first) = damage.iter().find(|range| range.start < committed_end) else {
            return Err(format!("only offsets below {committed_end} are known to be committed"));
        };
        let (view, at) = (partition.view(), first.start);
        let mut mending = match blocking(move || view.mend(at, |_| ())).await? {
            Err(active @ MendError::Active { .. }) => {
                partition.roll();
                return Err(active.to_string());
            }
            begun => begun.map_err(|error| error.to_string())?,
        };
        let mut sources = Sources::of(&self.view, partition.id(), self.me);
        loop {
            let wanted;
            (mending, wanted) = step(mending, |mending| mending.wanted(|_| ())).await?;
            let Some(wanted) = wanted else { break };
            if wanted.end > committed_end {
                return Err(format!("only offsets below {committed_end} are known to be committed"));
            }
            mending = self.fill(mending, partition.id(), &wanted, &mut sources).await?;
        }
        let mended = blocking(move || mending.finish()).await?.map_err(|error| error.to_string())?;
        partition.take_mended(mended).await.map_err(|error| error.to_string())
    }

    /// Takes some of `wanted` from the first source whose batches fit.
    async fn fill(
        &mut self,
        mut mending: Mending,
        at: TopicPartition,
        wanted: &Range<Offset>,
        sources: &mut Sources,
    ) -> Result<Mending, String> {
        let mut refusals = Vec::new();
        while let Some((broker, client)) = sources.next() {
            match client.read(at, wanted.clone()).await {
                Ok(batches) => {
                    tokio::time::sleep(self.pace.take(batches.len() as u64, self.clock.now())).await;
                    let filled;
                    (mending, filled) = fill(mending, batches).await?;
                    match filled {
                        Ok(()) => {
                            sources.begin_with(broker);
                            return Ok(mending);
                        }
                        Err(why) => refusals.push(format!("broker {broker}: {why}")),
                    }
                }
                Err(why) => refusals.push(format!("broker {broker}: {why}")),
            }
        }
        let from =
            if refusals.is_empty() { "there is no other replica".to_owned() } else { refusals.join("; ") };
        Err(format!("nobody gave offsets {}..{}: {from}", wanted.start, wanted.end))
    }
}

/// Who may have undamaged batches, in the order in which they are asked.
struct Sources {
    all: Vec<(BrokerId, RangeClient)>,
    next: usize,
}

impl Sources {
    fn of(view: &MetaView, at: TopicPartition, me: BrokerId) -> Self {
        let Some(state) = view.state() else { return Self { all: Vec::new(), next: 0 } };
        let Some(entry) = state.partition(at) else { return Self { all: Vec::new(), next: 0 } };
        let mut brokers: Vec<BrokerId> =
            entry.replicas.iter().map(|replica| replica.broker).filter(|broker| *broker != me).collect();
        brokers.sort_by_key(|broker| (entry.leader != Some(*broker), !entry.isr.contains(broker)));
        let all = brokers.into_iter().filter_map(|broker| {
            let address = &state.broker(broker)?.peer_address;
            Some((broker, RangeClient::new(address).ok()?))
        });
        Self { all: all.collect(), next: 0 }
    }

    fn next(&mut self) -> Option<(BrokerId, RangeClient)> {
        let source = self.all.get(self.next).cloned();
        self.next += 1;
        source
    }

    /// Asks `broker` first from now on.
    fn begin_with(&mut self, broker: BrokerId) {
        self.all.sort_by_key(|(other, _)| *other != broker);
        self.next = 0;
    }
}

/// Takes batches in; hands the segment back also when they do not fit.
async fn fill(mending: Mending, batches: Bytes) -> Result<(Mending, Result<(), String>), String> {
    blocking(move || {
        let mut mending = mending;
        match mending.fill(batches) {
            Err(error @ MendError::Disk(_)) => Err(error.to_string()),
            filled => Ok((mending, filled.map_err(|error| error.to_string()))),
        }
    })
    .await?
}

async fn step<T: Send + 'static>(
    mending: Mending,
    step: impl FnOnce(&mut Mending) -> Result<T, MendError> + Send + 'static,
) -> Result<(Mending, T), String> {
    let stepped = blocking(move || {
        let mut mending = mending;
        step(&mut mending).map(|answer| (mending, answer))
    });
    stepped.await?.map_err(|error| error.to_string())
}

/// Runs what waits for a disk where that is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
}
