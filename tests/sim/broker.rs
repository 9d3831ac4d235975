//! A machine and the broker on it: the disk and the clock stay, processes come and go.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fidelog_broker::meta::lease::AckLease;
use fidelog_broker::meta::state::{ClusterState, Proposal, Registration};
use fidelog_broker::partition::Partition;
use fidelog_broker::replica::Incarnate;
use fidelog_log::env::sim::{SimClock, SimDisk};
use fidelog_log::env::{Clock, Latched, Moment};
use fidelog_log::{DataDir, DataDirError, Expected, FlushOutcome, Flusher, LogConfig};
use fidelog_record::types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, Generation, MetaIndex, Offset, TopicId, TopicPartition,
};
use fidelog_tests::process::Process;
use fidelog_tests::story::Story;

use crate::event::Own;
use crate::groups::Owners;
use crate::links::Outbox;
use crate::slowness::{SYNC, WATCH};

/// Where the data directory lies on the simulated disk.
pub(crate) const ROOT: &str = "/data";

/// One machine.
pub(crate) struct Broker {
    pub(crate) id: BrokerId,
    pub(crate) disk: SimDisk,
    pub(crate) clock: SimClock,
    pub(crate) config: LogConfig,
    pub(crate) life: Option<Life>,
    /// Processes so far.
    pub(crate) lives: u64,
    /// What a paused process will do when it goes on.
    pub(crate) paused: Option<VecDeque<Own>>,
    /// Its syncs take so many microseconds, at most.
    pub(crate) sync_micros_max: u64,
    /// What its watch shows comes so many microseconds late, at most.
    pub(crate) watch_micros_max: u64,
    /// What it proposes takes so many microseconds longer, at most.
    pub(crate) ask_micros_max: u64,
    /// All of it takes as long, and arrives in order.
    pub(crate) asks_in_order: bool,
    /// After so many changes its next start loses the power.
    pub(crate) crash_next: Option<u64>,
    /// Directories it was given so far.
    pub(crate) directories: u64,
    /// Something was planned that excuses a start that fails.
    pub(crate) excused: bool,
    /// A file system that has given up its journal: the next start comes after a power cut.
    pub(crate) needs_mount: bool,
    /// The disk as it was once, and the generation it had.
    pub(crate) copy: Option<(SimDisk, Generation)>,
    /// Its syncs did nothing once, and it is not known to hold everything again.
    pub(crate) lied: bool,
    /// Where the metadata was when they first did, whatever came after.
    pub(crate) lied_since: Option<MetaIndex>,
    /// Its syncs do nothing.
    pub(crate) lying: bool,
    /// The batch of which a bit has flipped, when nothing else was done to the disk.
    pub(crate) hurt: Option<(TopicPartition, Offset)>,
    /// Its data was destroyed, and it is not known to hold everything again.
    pub(crate) tainted: bool,
}

/// One process.
pub(crate) struct Life {
    pub(crate) number: u64,
    pub(crate) process: Process,
    pub(crate) home: Arc<DataDir>,
    pub(crate) flusher: Arc<Flusher>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) registration: Registration,
    /// Its epoch, and the index its watch must pass (N1).
    pub(crate) registered: Option<(BrokerEpoch, MetaIndex)>,
    pub(crate) view: Option<Arc<ClusterState>>,
    pub(crate) watch_due: bool,
    /// Its view has passed its registration: it hosts.
    pub(crate) hosting: bool,
    /// What it must host is open, and what is wrong with it was told.
    pub(crate) ready: bool,
    pub(crate) partitions: BTreeMap<TopicPartition, Arc<Partition>>,
    pub(crate) unopened: BTreeSet<TopicPartition>,
    /// Of the group's positions.
    pub(crate) owners: Owners,
    pub(crate) removing: BTreeSet<TopicId>,
    /// How often mending has failed, of what is damaged.
    pub(crate) unmended: BTreeMap<TopicPartition, u32>,
    /// Replicas it has asked to give up.
    pub(crate) refilling: BTreeSet<TopicPartition>,
    /// Replicas that moved away and are being deleted.
    pub(crate) leaving: BTreeSet<TopicPartition>,
    /// What is said to the quorum until it is answered.
    pub(crate) reports: BTreeMap<u64, Proposal>,
    pub(crate) next_report: u64,
    pub(crate) flush_due: bool,
    pub(crate) flushed_bytes: u64,
    pub(crate) raised_at_bytes: u64,
    pub(crate) exiting: bool,
    /// Until when its leaders may acknowledge (N12).
    pub(crate) lease: AckLease,
    /// It wants to stop, once what it leads is led by others.
    pub(crate) stopping: bool,
}

impl Broker {
    pub(crate) fn new(index: usize, seed: u64, config: LogConfig, cluster: ClusterId) -> Self {
        let id = id_of(index);
        let mut broker = Self {
            id,
            disk: SimDisk::new(seed),
            clock: SimClock::default(),
            config,
            life: None,
            lives: 0,
            paused: None,
            sync_micros_max: SYNC,
            watch_micros_max: WATCH,
            ask_micros_max: 0,
            asks_in_order: false,
            crash_next: None,
            directories: 0,
            excused: false,
            needs_mount: false,
            copy: None,
            lied: false,
            lied_since: None,
            lying: false,
            hurt: None,
            tainted: false,
        };
        broker.format(cluster);
        broker
    }

    /// Makes the data directory.
    pub(crate) fn format(&mut self, cluster: ClusterId) {
        self.directories += 1;
        let mut bytes = [u8::try_from(self.id.0).expect("few brokers"); 16];
        bytes[15] = u8::try_from(self.directories % 256).expect("below 256");
        let latched =
            Latched::new(Arc::new(self.disk.clone()), ROOT, Arc::new(self.clock.clone()) as Arc<dyn Clock>);
        DataDir::format(latched, Path::new(ROOT), cluster, self.id, DirectoryId::from_random(bytes))
            .expect("nothing is wrong with the disk yet");
    }

    /// Opens the data directory for a new process.
    pub(crate) fn open(&mut self, story: &Story) -> (Process, Result<Arc<DataDir>, DataDirError>) {
        self.lives += 1;
        let process = Process::new(Arc::new(self.disk.clone()), story.clone());
        (process.clone(), open_in(&process, self))
    }

    /// Whether a process runs and does something.
    pub(crate) fn is_up(&self) -> bool {
        self.life.is_some() && self.paused.is_none()
    }

    pub(crate) fn advance_to(&self, now: Moment) {
        let behind = now.since(self.clock.now());
        if !behind.is_zero() {
            self.clock.advance(behind);
        }
    }
}

fn open_in(process: &Process, broker: &Broker) -> Result<Arc<DataDir>, DataDirError> {
    let clock: Arc<dyn Clock> = Arc::new(broker.clock.clone());
    let latched = Latched::new(Arc::new(process.clone()), ROOT, Arc::clone(&clock));
    DataDir::open(latched, clock, Path::new(ROOT), Expected::default(), broker.config.clone())
}

impl Life {
    /// Who this process is to its peers, once registered.
    pub(crate) fn incarnate(&self) -> Option<Incarnate> {
        let (epoch, _) = self.registered?;
        Some(Incarnate { broker: self.registration.id, epoch, directory: self.registration.directory })
    }

    /// Lets go of everything a process held. The flusher and its partitions hold each other; a process that ended
    /// writes nothing any more, so closing them is only that.
    pub(crate) fn bury(self) {
        self.process.end();
        for partition in self.partitions.values() {
            let mut closing = Box::pin(partition.close(false));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let _ = closing.as_mut().poll(&mut context);
        }
        for _ in 0..4 {
            if matches!(self.flusher.flush_once(Duration::ZERO), FlushOutcome::Idle) {
                break;
            }
        }
        self.outbox.take();
    }
}

pub(crate) fn id_of(index: usize) -> BrokerId {
    BrokerId(u32::try_from(index).expect("few brokers") + 1)
}

pub(crate) fn index_of(id: BrokerId) -> usize {
    id.0 as usize - 1
}
