//! Owners on a real partition on a real disk: one broker, stopped and started again.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

use fidelog_log::env::{Clock, Latched, RealClock, RealDisk};
use fidelog_log::{DataDir, Expected, Flusher, Log, LogConfig, ProducerLimits};
use fidelog_record::types::{
    BrokerId, ClusterId, DirectoryId, Generation, GroupName, LeaderEpoch, Offset, PartitionEpoch,
    PartitionIndex, TopicId, TopicPartition,
};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::state::{Commit, CommitFate, OwnerName, PositionLimits, ResetTo, SnapshotSizes};
use super::*;
use crate::meta::lease::AckLease;
use crate::partition::{Assignment, Links, LogState, Machine, MachineLimits, Partition, Setup, Waiter};
use crate::replica::message::{FollowerMessage, LeaderMessage};
use crate::replica::{Proposed, StreamId};

const ME: BrokerId = BrokerId(1);

/// There is nobody to speak with.
struct Alone;

impl Links for Alone {
    fn tell(&self, _: StreamId, _: &Partition, _: LeaderEpoch, _: LeaderMessage) -> Option<Waker> {
        None
    }
    fn reply(&self, _: StreamId, _: TopicPartition, _: LeaderEpoch, _: FollowerMessage) -> Option<Waker> {
        None
    }
    fn push_ready(&self, _: StreamId, _: &Arc<Partition>) -> Option<Waker> {
        None
    }
    fn committed_ready(&self, _: StreamId, _: &Arc<Partition>) -> Option<Waker> {
        None
    }
    fn propose(&self, _: TopicPartition, _: LeaderEpoch, _: Proposed) {}
    fn replica_failed(&self, _: TopicPartition) {}
    fn read_producers(&self, _: &Arc<Partition>, _: LeaderEpoch, _: Offset) {}
    fn read_tail(&self, _: &Arc<Partition>, _: BrokerId, _: LeaderEpoch, _: Offset, _: Offset) {}
}

/// Says whether the replica leads, as it is told to say.
#[derive(Debug)]
struct Told(AtomicBool);

impl Witness for Told {
    fn leads(&self, _: TopicPartition, _: LeaderEpoch) -> BoxFuture<'static, Testimony> {
        let deposed = Testimony::Deposed { leader: Some(BrokerId(2)), epoch: LeaderEpoch(9) };
        let told = if self.0.load(Ordering::SeqCst) { Testimony::Leads } else { deposed };
        std::future::ready(told).boxed()
    }
}

/// One process with the one positions partition.
struct Broker {
    partition: Arc<Partition>,
    positions: Positions,
    witness: Arc<Told>,
    owner: tokio::task::JoinHandle<()>,
    flusher: Arc<Flusher>,
    stop: Arc<AtomicBool>,
    /// Held by a test, it keeps the disk waiting.
    disk: Arc<tokio::sync::Mutex<()>>,
    flushing: JoinHandle<()>,
}

fn at() -> TopicPartition {
    TopicPartition { topic: TopicId::from_random([9; 16]), partition: PartitionIndex(0) }
}

fn latched(root: &Path) -> Latched {
    Latched::new(Arc::new(RealDisk), root, Arc::new(RealClock))
}

impl Broker {
    fn start(root: &Path, sizes: SnapshotSizes) -> Self {
        let (cluster, directory) = (ClusterId::from_random([1; 16]), DirectoryId::from_random([2; 16]));
        let first = DataDir::format(latched(root), root, cluster, ME, directory).is_ok();
        let clock = Arc::new(RealClock);
        let config = LogConfig::default();
        let home = DataDir::open(latched(root), clock.clone(), root, Expected::default(), config).unwrap();
        home.raise_generation().unwrap();
        let log = if first { Log::create(&home, at()).unwrap() } else { Log::open(&home, at()).unwrap().0 };
        let flusher = Arc::new(Flusher::new(home));
        let machine = Machine::<Waiter>::new(setup(&log));
        let lease = AckLease::default();
        lease.extend(clock.now().plus(Duration::from_secs(3600)));
        let partition = Partition::new(machine, Arc::clone(&flusher), clock.clone(), Arc::new(Alone), lease);
        partition.attach(log);
        let stop = Arc::new(AtomicBool::new(false));
        let disk = Arc::new(tokio::sync::Mutex::new(()));
        let flushing = std::thread::spawn({
            let (flusher, stop, disk) = (Arc::clone(&flusher), Arc::clone(&stop), Arc::clone(&disk));
            move || {
                while !stop.load(Ordering::SeqCst) {
                    let _turn = disk.blocking_lock();
                    flusher.flush_once(Duration::from_millis(20));
                }
            }
        });
        let witness = Arc::new(Told(AtomicBool::new(true)));
        let positions = Positions::new(
            clock,
            Arc::clone(&witness) as _,
            Arc::new(RuntimeHands),
            PositionLimits::default(),
            sizes,
        );
        positions.topic_exists(at().topic, 1);
        let owner = tokio::spawn(positions.host(Arc::clone(&partition)).run());
        Self { partition, positions, witness, owner, flusher, stop, disk, flushing }
    }

    /// Leads from now on; returns when its positions are served.
    async fn lead(&self, epoch: u32) {
        self.assign(epoch);
        self.served().await;
    }

    fn assign(&self, epoch: u32) {
        let only_me = vec![ME];
        self.partition.assigned(Assignment {
            isr: BTreeSet::from([ME]),
            replicas: only_me,
            leader: Some(ME),
            leader_epoch: LeaderEpoch(epoch),
            partition_epoch: PartitionEpoch(u64::from(epoch)),
            min_insync: 1,
            damaged: Default::default(),
            copies: Default::default(),
            lost_leader: None,
            recoveries: Vec::new(),
        });
    }

    async fn served(&self) {
        while let Err(error) = self.fetch().await {
            // At first the owner may not have heard yet that it leads.
            let early = matches!(
                error,
                PositionsError::Unavailable { retriable: true, .. } | PositionsError::NotOwner { .. }
            );
            assert!(early, "{error}");
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) {
        self.positions.unhost(at());
        self.owner.await.unwrap();
        self.stop.store(true, Ordering::SeqCst);
        self.flusher.wake();
        self.flushing.join().unwrap();
        self.flusher.shutdown().unwrap();
    }

    async fn open(&self, owner: &str) -> Generation {
        let (partitions, owner) = (vec![PartitionIndex(0)], OwnerName::new(owner).unwrap());
        let open = Open { group: group(), topic: topic(), partitions, owner };
        self.positions.open(open).await.unwrap()[0].position.generation
    }

    async fn commit(&self, offset: u64, generation: Generation) -> Result<CommitFate, PositionsError> {
        let (partition, leader_epoch) = (PartitionIndex(0), LeaderEpoch(1));
        let commits = vec![Commit { partition, offset: Offset(offset), leader_epoch, generation }];
        let commit = CommitAll { group: group(), topic: topic(), commits };
        self.positions.commit(commit).await.map(|mut results| results.remove(0).fate)
    }

    /// The offset of the one position; the outer `None`: not opened.
    async fn fetch(&self) -> Result<Option<Option<u64>>, PositionsError> {
        let found = self.positions.fetch(Fetch { group: group(), topic: topic() }).await?;
        Ok(found.first().map(|it| it.position.offset.map(|offset| offset.0)))
    }
}

fn setup(log: &Log) -> Setup {
    let view = log.view();
    let durable_end = view.durable_end();
    let log = LogState {
        start: view.start(),
        committed_end: log.committed_end().clamp(view.start(), durable_end),
        durable_end,
        end: durable_end,
        epochs: log.epochs().clone(),
        producers: log.producers().clone(),
        room_bytes: log.room_bytes(),
    };
    let limits = MachineLimits {
        pending_bytes_max: 1 << 20,
        follower_credit_bytes: 1 << 20,
        replica_lag_ms_max: 10_000,
        replica_down_ms_max: 1_500,
        retry_ms: 200,
        producers: ProducerLimits { count_max: 10, idle_ms: 1_000 },
    };
    Setup { id: at(), me: ME, log, unclean: false, limits }
}

fn group() -> GroupName {
    GroupName::new("billing").unwrap()
}

fn topic() -> TopicId {
    TopicId::from_random([5; 16])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_stands_after_a_restart_and_a_late_one_is_fenced() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path(), SnapshotSizes::default());
    broker.lead(1).await;
    assert_eq!(broker.fetch().await, Ok(None));
    let first = broker.open("one").await;
    assert_eq!(broker.fetch().await, Ok(Some(None)), "opened, none stored");
    assert!(matches!(broker.commit(7, first).await, Ok(CommitFate::InForce(_))));
    broker.stop().await;

    let broker = Broker::start(directory.path(), SnapshotSizes::default());
    broker.lead(2).await;
    assert_eq!(broker.fetch().await, Ok(Some(Some(7))));
    assert!(
        matches!(broker.commit(8, first).await, Ok(CommitFate::InForce(_))),
        "its owner is still its owner"
    );
    let second = broker.open("two").await;
    assert!(second > first);
    assert!(matches!(broker.commit(9, first).await, Ok(CommitFate::Fenced { .. })));
    assert_eq!(broker.fetch().await, Ok(Some(Some(8))));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_moves_and_a_deletion_forgets() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path(), SnapshotSizes::default());
    broker.lead(1).await;
    let given = broker.open("one").await;
    let resets =
        vec![ResetTo { partition: PartitionIndex(0), offset: Offset(3), leader_epoch: LeaderEpoch(0) }];
    broker.positions.reset(Reset { group: group(), topic: topic(), resets }).await.unwrap();
    assert!(matches!(broker.commit(9, given).await, Ok(CommitFate::Fenced { .. })));
    assert_eq!(broker.fetch().await, Ok(Some(Some(3))));
    let page = broker.positions.list(at(), List { group_count_max: 10, ..List::default() }).await.unwrap();
    assert_eq!((page.groups.len(), page.next_after), (1, None));
    let delete = Delete { group: group(), topic: None };
    assert_eq!(broker.positions.delete(delete.clone()).await, Ok(1));
    let unknown = PositionsError::UnknownGroup { group: group() };
    assert_eq!(broker.positions.delete(delete).await, Err(unknown.clone()));
    assert_eq!(broker.commit(9, given).await, Err(unknown));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_kept_short_and_tells_the_same_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let sizes = SnapshotSizes { weight_min: 20, part_position_count_max: 2 };
    let broker = Broker::start(directory.path(), sizes);
    broker.lead(1).await;
    let given = broker.open("one").await;
    for offset in 1..=100 {
        assert!(matches!(broker.commit(offset, given).await, Ok(CommitFate::InForce(_))));
    }
    broker.partition.published().wait_for(|seen| seen.positions.start > Offset(60)).await.unwrap();
    broker.stop().await;

    let broker = Broker::start(directory.path(), sizes);
    broker.lead(2).await;
    assert!(broker.partition.published().borrow().positions.start > Offset(60));
    assert_eq!(broker.fetch().await, Ok(Some(Some(100))));
    assert!(broker.open("two").await > given);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_are_all_answered_from_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Arc::new(Broker::start(directory.path(), SnapshotSizes::default()));
    broker.lead(1).await;
    let given = broker.open("one").await;
    let commits = (1..=200).map(|offset| {
        let broker = Arc::clone(&broker);
        tokio::spawn(async move { broker.commit(offset, given).await })
    });
    for answered in futures::future::join_all(commits).await {
        assert!(matches!(answered.unwrap(), Ok(CommitFate::InForce(_))));
    }
    assert_eq!(broker.fetch().await, Ok(Some(Some(200))), "whatever their order, the highest is in force");
    Arc::into_inner(broker).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_lead_says_who_does() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path(), SnapshotSizes::default());
    broker.lead(1).await;
    broker.open("one").await;
    broker.partition.assigned(Assignment {
        replicas: vec![ME, BrokerId(2)],
        isr: BTreeSet::from([BrokerId(2)]),
        leader: Some(BrokerId(2)),
        leader_epoch: LeaderEpoch(2),
        partition_epoch: PartitionEpoch(2),
        min_insync: 1,
        damaged: Default::default(),
        copies: Default::default(),
        lost_leader: None,
        recoveries: Vec::new(),
    });
    let (partition, leader, epoch) = (at(), Some(BrokerId(2)), LeaderEpoch(2));
    let not_owner = PositionsError::NotOwner { partition, leader, epoch };
    assert_eq!(broker.fetch().await, Err(not_owner.clone()));
    assert_eq!(broker.commit(1, Generation(1)).await, Err(not_owner));
    broker.stop().await;
}

/// The epoch ends between writing a commit and its sync. The reader must hear "unknown", never "stored" or "not
/// stored"; the next epoch finds the commit in the log and counts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_overtaken_by_the_next_epoch_is_unknown_and_then_counts() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Arc::new(Broker::start(directory.path(), SnapshotSizes::default()));
    broker.lead(1).await;
    let given = broker.open("one").await;
    let waiting = broker.disk.lock().await;
    let end = broker.partition.inspect(|machine| machine.positions().end);
    let late = tokio::spawn({
        let broker = Arc::clone(&broker);
        async move { broker.commit(7, given).await }
    });
    while broker.partition.inspect(|machine| machine.positions().end) == end {
        tokio::task::yield_now().await;
    }
    broker.assign(2);
    let told = late.await.unwrap();
    let unknown = |error: &PositionsError| {
        matches!(error, PositionsError::Unavailable { outcome: CallOutcome::Unknown, .. })
    };
    assert!(told.as_ref().is_err_and(unknown), "{told:?}");
    assert!(
        broker.fetch().await.is_err(),
        "nothing is served before the new epoch has confirmed what it found"
    );
    drop(waiting);
    broker.served().await;
    assert_eq!(broker.fetch().await, Ok(Some(Some(7))));
    Arc::into_inner(broker).unwrap().stop().await;
}

/// Deposed by a quorum that it cannot hear, it told positions which its successor had moved long ago.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n18_a_position_is_told_only_after_the_epoch_was_confirmed() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path(), SnapshotSizes::default());
    broker.lead(1).await;
    broker.open("one").await;
    // A second member that no stream reaches cannot confirm anything.
    broker.partition.assigned(Assignment {
        replicas: vec![ME, BrokerId(2)],
        isr: BTreeSet::from([ME, BrokerId(2)]),
        leader: Some(ME),
        leader_epoch: LeaderEpoch(1),
        partition_epoch: PartitionEpoch(2),
        min_insync: 1,
        damaged: Default::default(),
        copies: Default::default(),
        lost_leader: None,
        recoveries: Vec::new(),
    });
    assert_eq!(broker.fetch().await, Ok(Some(None)), "the quorum says that it leads");
    broker.witness.0.store(false, Ordering::SeqCst);
    let (partition, leader, epoch) = (at(), Some(BrokerId(2)), LeaderEpoch(9));
    assert_eq!(broker.fetch().await, Err(PositionsError::NotOwner { partition, leader, epoch }));
    broker.stop().await;
}
