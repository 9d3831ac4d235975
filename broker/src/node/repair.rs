//! Mends what is damaged in this broker's logs with batches of other replicas (D13).
//!
//! One partition at a time, one segment at a time, at a bounded rate. Always true: what comes from elsewhere is verified
//! by the log before it is written, and is the batch that was there: an offset and the epoch that this log's history
//! names for it stand for one batch for ever, committed or not. As long as a range is not mended it is not served, and
//! nothing is pushed past it. The leader is asked first, then the in-sync replicas, then the others; a leader asks its
//! followers. What nobody can mend for long is given up, if the quorum allows it: the replica is filled again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fidelog_log::env::{Clock, Moment};
use fidelog_log::{MendError, Mending};
use fidelog_record::types::{BrokerEpoch, BrokerId, Offset, TopicPartition};
use parking_lot::Mutex;
use tracing::{debug, info, warn};

use super::housekeeping::every;
use crate::meta::quorum::{MetadataQuorum, ProposeError};
use crate::meta::state::{Proposal, SeenPartition};
use crate::meta::view::MetaView;
use crate::partition::{Partition, Partitions};
use crate::rpc::peer::{Pace, RangeClient};

/// How often damage is looked for. What finds it, a start, a read or the scrub, notes it in the log.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// First pause after a failed attempt; doubled up to the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// After so long a pause, which is after about 30 s of attempts, the replica is to be given up if others hold everything.
const GIVE_UP_PAUSE: Duration = Duration::from_secs(16);
/// Bytes a second that mending reads, from its own disk and from others.
const BYTES_PER_S: u64 = 64 << 20;

/// What mending works with.
pub(super) struct Repair {
    me: BrokerId,
    partitions: Arc<Partitions>,
    view: Arc<MetaView>,
    clock: Arc<dyn Clock>,
    quorum: Arc<dyn MetadataQuorum>,
    broker_epoch: BrokerEpoch,
    /// Replicas here that are emptied once the metadata says that nobody counts on them any more.
    refilling: Refilling,
    pace: Pace,
    failed: BTreeMap<TopicPartition, Failed>,
}

/// Replicas of this broker that it has asked to give up.
pub(super) type Refilling = Arc<Mutex<BTreeSet<TopicPartition>>>;

/// When a partition is tried again.
struct Failed {
    again_at: Moment,
    pause: Duration,
    why: String,
}

impl Repair {
    pub(super) fn new(
        (me, broker_epoch): (BrokerId, BrokerEpoch),
        partitions: Arc<Partitions>,
        view: Arc<MetaView>,
        clock: Arc<dyn Clock>,
        quorum: Arc<dyn MetadataQuorum>,
        refilling: Refilling,
    ) -> Self {
        let (pace, failed) = (Pace::new(BYTES_PER_S), BTreeMap::new());
        Self { me, broker_epoch, partitions, view, clock, quorum, refilling, pace, failed }
    }

    /// Looks and mends until the node stops.
    pub(super) async fn run(mut self) {
        let mut interval = every(LOOK_EVERY);
        loop {
            // Stopping at any of these awaits is safe: a segment is replaced in one step, or not.
            interval.tick().await;
            let mut damaged = self.partitions.unwell();
            damaged.retain(|partition| partition.view().is_damaged());
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
        match self.mend_any(partition).await {
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
                if pause >= GIVE_UP_PAUSE {
                    self.give_up(at).await;
                }
                let again_at = self.clock.now().plus(pause);
                self.failed.insert(at, Failed { again_at, pause, why });
            }
        }
    }

    /// Asks to have this replica emptied and filled again, which the quorum allows only where others hold everything.
    async fn give_up(&self, at: TopicPartition) {
        let Some(epoch) = self.view.state().and_then(|state| Some(state.partition(at)?.epoch)) else {
            return;
        };
        // Before it is asked: the watch may show the answer first.
        self.refilling.lock().insert(at);
        let partition = SeenPartition { partition: at, epoch };
        let (broker, broker_epoch) = (self.me, self.broker_epoch);
        let wish = Proposal::GiveUpReplica { broker, broker_epoch, partition };
        // Stopping here is safe: the next start finds the damage again.
        match self.quorum.propose(wish).await {
            Ok(_) => {
                warn!(partition = %at, "damaged records cannot be mended: the replica is emptied and filled again")
            }
            Err(ProposeError::Refused { refusal }) => {
                self.refilling.lock().remove(&at);
                debug!(partition = %at, "the damaged replica is kept: {refusal}");
            }
            Err(unknown) => {
                debug!(partition = %at, "whether the replica is given up is not known: {unknown}")
            }
        }
    }

    /// Mends the first segment that can be; tells what came from elsewhere.
    async fn mend_any(&mut self, partition: &Arc<Partition>) -> Result<Vec<Range<Offset>>, String> {
        let mut first_refusal = None;
        for range in partition.view().damage() {
            match self.mend_one(partition, range.start).await {
                Ok(mended) => return Ok(mended),
                Err(why) => {
                    first_refusal.get_or_insert(why);
                }
            }
        }
        first_refusal.map_or(Ok(Vec::new()), Err)
    }

    /// Mends the segment that holds `at`; tells what came from elsewhere.
    async fn mend_one(
        &mut self,
        partition: &Arc<Partition>,
        at: Offset,
    ) -> Result<Vec<Range<Offset>>, String> {
        let view = partition.view();
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
