//! Keeps the partitions on this broker as the metadata wants them: makes, opens, assigns, removes.
//!
//! One task follows the view; opening logs happens on blocking threads, several at a time. Always true: a partition is
//! in the registry only with its log attached, and is told its assignment only after the view has passed this process's
//! registration (N1). A directory whose topic the metadata does not know is left alone (D12). A log that cannot be made
//! or opened is tried again, and keeps no other waiting; only a latched data directory stops the broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::Clock;
use fidelog_log::{DataDir, Flusher, Log, OpenError, RecoveryCase, RecoveryReport};
use fidelog_record::types::{BrokerEpoch, BrokerId, DirectoryId, PartitionIndex, TopicId, TopicPartition};
use futures::StreamExt;
use futures::stream;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::repair::Refilling;
use super::running::{StopReason, Stopper};
use crate::group::{POSITIONS_TOPIC, Positions};
use crate::meta::lease::AckLease;
use crate::meta::quorum::{MetadataQuorum, ProposeError};
use crate::meta::state::{
    Changes, ClusterState, LostReplica, OfflineReason, PartitionEntry, Proposal, Refusal, TopicEntry,
    TopicState,
};
use crate::meta::view::MetaView;
use crate::partition::{Assignment, LogState, Machine, MachineLimits, Partition, Partitions, Setup};
use crate::rpc::peer::PeerLinks;

/// Logs opened at once.
const OPENING_MAX: usize = 8;
/// How long logs that could not be opened wait before they are tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What could not be opened, and what was said of it last.
type Unopened = BTreeMap<TopicPartition, String>;

/// What hosting works with.
pub(super) struct Hosting {
    pub(super) me: BrokerId,
    pub(super) epoch: BrokerEpoch,
    pub(super) directory: DirectoryId,
    pub(super) home: Arc<DataDir>,
    pub(super) flusher: Arc<Flusher>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) view: Arc<MetaView>,
    pub(super) quorum: Arc<dyn MetadataQuorum>,
    pub(super) links: Arc<PeerLinks>,
    pub(super) partitions: Arc<Partitions>,
    pub(super) positions: Arc<Positions>,
    pub(super) limits: MachineLimits,
    /// Until when leaders here may acknowledge (N12).
    pub(super) lease: AckLease,
    /// Logs that could not be opened, for whoever tells the quorum.
    pub(super) unopened: Arc<Mutex<BTreeSet<TopicPartition>>>,
    /// Replicas to be emptied once nobody counts on them.
    pub(super) refilling: Refilling,
    /// Whom partitions were told not to add to their in-sync sets.
    pub(super) barred: Mutex<Arc<BTreeSet<BrokerId>>>,
    /// Topics whose data is being removed.
    pub(super) removing: Mutex<BTreeSet<TopicId>>,
    /// Replicas that left this broker and whose data is being removed.
    pub(super) leaving: Mutex<BTreeSet<TopicPartition>>,
    pub(super) stopper: Stopper,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// What came of opening one partition's log.
enum Opened {
    Log(Box<Log>, RecoveryReport),
    /// It must be there, and is not (N14).
    Lost,
}

impl Hosting {
    /// Follows the view until the node stops.
    pub(super) async fn run(self: Arc<Self>, ready: watch::Sender<bool>) {
        let mut subscription = self.view.subscribe();
        let mut unopened = Unopened::new();
        let mut retry_at = Instant::now();
        loop {
            // Stopping here is safe: changes not taken are found again at the next start.
            let (state, changes) = tokio::select! {
                changed = subscription.next() => changed,
                () = tokio::time::sleep_until(retry_at), if !unopened.is_empty() => {
                    retry_at = Instant::now() + RETRY_PAUSE;
                    let Some(state) = self.view.state() else { continue };
                    (state, Changes { partitions: unopened.keys().copied().collect(), ..Changes::default() })
                }
            };
            if unopened.is_empty() {
                retry_at = Instant::now() + RETRY_PAUSE;
            }
            if let Err(reason) = self.follow(&state, &changes, &mut unopened).await {
                self.stopper.stop(reason);
                return;
            }
            self.tell_unopened(&unopened);
            ready.send_replace(true);
        }
    }

    fn tell_unopened(&self, unopened: &Unopened) {
        let now: BTreeSet<_> = unopened.keys().copied().collect();
        let mut told = self.unopened.lock();
        if *told != now {
            *told = now;
            self.links.failures().notify_one();
        }
    }

    async fn follow(
        self: &Arc<Self>,
        state: &Arc<ClusterState>,
        changes: &Changes,
        unopened: &mut Unopened,
    ) -> Result<(), StopReason> {
        if state.broker(self.me).is_none_or(|entry| entry.epoch != self.epoch) {
            return Err(StopReason::Superseded);
        }
        let mine = |id: &TopicPartition| state.partition(*id).is_some_and(|entry| entry.has_replica(self.me));
        let touched: BTreeSet<TopicPartition> = changes
            .partitions
            .iter()
            .copied()
            .chain(changes.topics.iter().flat_map(|&topic| partitions_of(state, topic)))
            .filter(mine)
            .collect();
        self.leave(state, changes);
        unopened.retain(|id, _| mine(id));
        let (back, touched): (BTreeSet<_>, BTreeSet<_>) =
            touched.into_iter().partition(|id| self.leaving.lock().contains(id));
        // They are taken up as soon as nothing of their former data is left.
        let what = "what it held here before is still being removed";
        unopened.extend(back.into_iter().map(|id| (id, what.to_owned())));
        let barred = self.barred(state);
        self.open_missing(state, &touched, unopened).await?;
        for id in &touched {
            self.assign(state, *id, &barred);
        }
        self.tell_ends(state, &touched);
        for topic in touched.iter().map(|id| id.topic).collect::<BTreeSet<_>>() {
            self.report_ready(state, topic);
        }
        for &topic in &changes.topics {
            self.remove_deleted(state, topic);
        }
        Ok(())
    }

    /// Whom no in-sync set takes in; partitions are told when that changes.
    fn barred(&self, state: &ClusterState) -> Arc<BTreeSet<BrokerId>> {
        let now = state.barred();
        let mut told = self.barred.lock();
        if **told != now {
            *told = Arc::new(now);
            self.partitions.all().iter().for_each(|it| it.barred(Arc::clone(&told)));
        }
        Arc::clone(&told)
    }

    /// Opens or makes the logs of `wanted` that are not hosted yet; says of which that could not be done.
    async fn open_missing(
        self: &Arc<Self>,
        state: &Arc<ClusterState>,
        wanted: &BTreeSet<TopicPartition>,
        unopened: &mut Unopened,
    ) -> Result<(), StopReason> {
        let missing: Vec<_> =
            wanted.iter().copied().filter(|id| self.partitions.get(*id).is_none()).collect();
        let opening = missing.into_iter().map(|id| {
            let made = state.partition(id).and_then(|entry| entry.replica(self.me)).is_some_and(|it| it.made);
            let home = Arc::clone(&self.home);
            async move {
                let opened = tokio::task::spawn_blocking(move || open(&home, id, made)).await;
                (id, opened)
            }
        });
        let mut opened = stream::iter(opening).buffer_unordered(OPENING_MAX);
        let mut lost = Vec::new();
        while let Some((id, result)) = opened.next().await {
            match result {
                Ok(Ok(Opened::Log(log, report))) => {
                    if unopened.remove(&id).is_some() {
                        info!(partition = %id, "it could be opened after all");
                    }
                    self.host(state, id, *log, &report);
                }
                Ok(Ok(Opened::Lost)) => {
                    unopened.remove(&id);
                    lost.push(LostReplica::seen(state, self.me, id));
                }
                Ok(Err(error)) => self.put_off(id, &error, unopened)?,
                Err(panicked) => return Err(StopReason::CannotOpen(format!("{id}: {panicked}"))),
            }
        }
        if !lost.is_empty() {
            warn!(count = lost.len(), "replica directories that must exist are missing; reporting them lost");
            let (broker, broker_epoch) = (self.me, self.epoch);
            self.propose(Proposal::ReplicasLost { broker, broker_epoch, lost });
        }
        Ok(())
    }

    fn put_off(
        &self,
        id: TopicPartition,
        error: &OpenError,
        unopened: &mut Unopened,
    ) -> Result<(), StopReason> {
        if let Some(reason) = self.home.latched() {
            return Err(StopReason::DiskFailed(reason.to_string()));
        }
        let why = error.to_string();
        if unopened.get(&id) != Some(&why) {
            warn!(partition = %id, "this replica cannot be used yet, trying again: {why}");
            unopened.insert(id, why);
        }
        Ok(())
    }

    fn host(&self, state: &ClusterState, id: TopicPartition, log: Log, report: &RecoveryReport) {
        for finding in &report.findings {
            if finding.case.is_alarming() {
                warn!(partition = %id, case = ?finding.case, "recovery: {}", finding.detail);
            } else if matches!(finding.case, RecoveryCase::Clean | RecoveryCase::Whole | RecoveryCase::Empty)
            {
                debug!(partition = %id, case = ?finding.case, "recovery"); // one of each partition, at every start
            } else {
                info!(partition = %id, case = ?finding.case, "recovery: {}", finding.detail);
            }
        }
        let held = LogState::of(&log);
        let unclean = !self.home.found().is_clean(id) && held.durable_end.0 > 0;
        let setup = Setup { id, me: self.me, log: held, unclean, limits: self.limits };
        let partition = Partition::new(
            Machine::new(setup),
            Arc::clone(&self.flusher),
            Arc::clone(&self.clock),
            Arc::clone(&self.links) as _,
            self.lease.clone(),
        );
        partition.attach(log);
        self.partitions.insert(Arc::clone(&partition));
        if state.topic(id.topic).is_some_and(|topic| is_positions(topic)) {
            let owner = self.positions.host(partition);
            let stop = self.stop.clone();
            // Stopping here is safe: what was answered is committed, what was not is in the log or unknown.
            self.tracker.spawn(async move {
                stop.run_until_cancelled(owner.run()).await;
            });
        }
    }

    fn assign(&self, state: &ClusterState, id: TopicPartition, barred: &Arc<BTreeSet<BrokerId>>) {
        let (Some(partition), Some(entry), Some(topic)) =
            (self.partitions.get(id), state.partition(id), state.topic(id.topic))
        else {
            return;
        };
        if is_positions(topic) {
            self.positions.topic_exists(topic.id, topic.partition_count);
        }
        if topic.state != TopicState::Open {
            return;
        }
        if let Some(config) = state.effective_config(topic.id) {
            partition.configure(config.segment_bytes.value, config.segment_ms.value);
        }
        partition.barred(Arc::clone(barred)); // first, since whoever begins to lead proposes at once
        partition.assigned(assignment(entry, topic));
        if entry.leader == Some(self.me) {
            for live in self.links.live_streams() {
                partition.stream_up_if_down(live.stream, live.incarnate);
            }
        }
    }

    /// Says which replicas of a topic on this broker are made, while the metadata does not show it.
    fn report_ready(&self, state: &ClusterState, topic: TopicId) {
        let mut made = state.unmade(self.me, topic);
        made.retain(|it| {
            let id = TopicPartition { topic, partition: it.partition };
            // What is given up stays for a moment, and is made anew.
            self.partitions.get(id).is_some() && !self.leaving.lock().contains(&id)
        });
        if !made.is_empty() {
            let (broker, broker_epoch, directory) = (self.me, self.epoch, self.directory);
            self.propose(Proposal::ReplicasReady { broker, broker_epoch, directory, topic, made });
        }
    }

    /// Proposes in the background until the quorum has answered definitely; what follows is seen in the view.
    pub(super) fn propose(&self, proposal: Proposal) {
        let (quorum, stop) = (Arc::clone(&self.quorum), self.stop.clone());
        self.tracker.spawn(async move {
            while !stop.is_cancelled() {
                match quorum.propose(proposal.clone()).await {
                    Ok(_) => return,
                    // An earlier answer was lost, or somebody was faster.
                    Err(ProposeError::Refused { refusal: Refusal::NoReplicaOfTopic { .. } }) => return,
                    Err(ProposeError::Refused { refusal }) => {
                        warn!("the quorum refused what this broker reported: {refusal}");
                        return;
                    }
                    // Stopping here is safe: the next start reports it again.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
                }
            }
        });
    }
}

fn is_positions(topic: &TopicEntry) -> bool {
    topic.internal && topic.name.as_str() == POSITIONS_TOPIC
}

fn partitions_of(state: &ClusterState, topic: TopicId) -> Vec<TopicPartition> {
    let count = state.topic(topic).map_or(0, |topic| topic.partition_count);
    (0..count).map(|index| TopicPartition { topic, partition: PartitionIndex(index) }).collect()
}

/// The entry as a machine needs it.
fn assignment(entry: &PartitionEntry, topic: &TopicEntry) -> Assignment {
    let lost_leader = match &entry.offline {
        Some(OfflineReason::LeaderLostItsData { broker, .. }) => Some(*broker),
        Some(
            OfflineReason::NoLiveMember {}
            | OfflineReason::RestartedUncleanly { .. }
            | OfflineReason::BeingMade {},
        )
        | None => None,
    };
    Assignment {
        replicas: entry.replicas.iter().map(|replica| replica.broker).collect(),
        copies: entry.copies(),
        isr: entry.isr.iter().copied().collect(),
        leader: entry.leader,
        leader_epoch: entry.leader_epoch,
        partition_epoch: entry.epoch,
        min_insync: usize::from(topic.min_insync_replicas()),
        damaged: entry.damaged.iter().copied().collect(),
        lost_leader,
        recoveries: entry.recoveries.clone(),
    }
}

fn open(home: &Arc<DataDir>, id: TopicPartition, made: bool) -> Result<Opened, OpenError> {
    if !made {
        match Log::create(home, id) {
            Ok(log) => return Ok(Opened::Log(Box::new(log), RecoveryReport::default())),
            // An earlier process made it and could not say so any more.
            Err(OpenError::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    match Log::open(home, id) {
        Ok((log, report)) => Ok(Opened::Log(Box::new(log), report)),
        Err(OpenError::Missing { .. }) => Ok(Opened::Lost),
        Err(error) => Err(error),
    }
}
