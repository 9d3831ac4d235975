//! The half of a node that holds replicas: registered, heard, hosting, linked to the others, kept in order.
//!
//! Always true: nothing is hosted before the quorum has registered this process and the watch has passed that (N1,
//! N13); clients are let in only when the quorum has found it alive. A node without the role broker has none of this.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicBool, Ordering};

use fidelog_log::env::{Clock, Entropy, Latched};
use fidelog_log::{DataDir, Flusher, ProducerLimits};
use fidelog_record::types::BrokerEpoch;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::config::NodeConfig;
use super::generation::{Written, raise_while_written};
use super::hosting::Hosting;
use super::housekeeping;
use super::registration::{register, registration};
use super::reopening::Reopening;
use super::repair::{Refilling, Repair};
use super::replica_report::ReplicaReport;
use super::running::Stopper;
use super::scrub::Scrub;
use super::session::{Session, SessionOf};
use super::start_error::StartError;
use super::tasks::PeerTasks;
use crate::group::Positions;
use crate::meta::lease::AckLease;
use crate::meta::quorum::MetadataQuorum;
use crate::meta::state::Proposal;
use crate::meta::view::MetaView;
use crate::partition::{MachineLimits, Partitions};
use crate::rpc::peer::{LinkSettings, PeerLinks, run_links};

/// What holding replicas works with.
pub(super) struct BrokerHalf {
    pub(super) config: Arc<NodeConfig>,
    pub(super) home: Arc<DataDir>,
    pub(super) disk: Latched,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) flusher: Arc<Flusher>,
    pub(super) flushed_bytes: Arc<AtomicU64>,
    pub(super) view: Arc<MetaView>,
    pub(super) quorum: Arc<dyn MetadataQuorum>,
    pub(super) links: Arc<PeerLinks>,
    pub(super) partitions: Arc<Partitions>,
    pub(super) positions: Arc<Positions>,
    /// Where this node listens for the others.
    pub(super) peer_address: SocketAddr,
    /// Whether the quorum's store in this directory would count for nothing if the directory proves to be rolled back.
    pub(super) is_deaf_if_rolled_back: bool,
    /// Set once the directory is known not to be.
    pub(super) believed: Arc<AtomicBool>,
    pub(super) stopper: Stopper,
    pub(super) tasks: PeerTasks,
    /// Replicas it has asked to give up.
    pub(super) refilling: Refilling,
}

impl BrokerHalf {
    /// Registers, opens the logs, and waits until the quorum has found this broker alive. Blocking.
    ///
    /// # Errors
    /// [`StartError`].
    pub(super) fn start(self) -> Result<Session, StartError> {
        let tasks = &self.tasks;
        let registration = registration(&self.config, &self.home, self.entropy.as_ref());
        // Giving up is safe: a registration that was made is the session of a process that is gone.
        let registering =
            register(self.quorum.as_ref(), registration, &self.home, self.is_deaf_if_rolled_back);
        let registered = tasks.wait_for(registering)??;
        self.believed.store(true, Ordering::Release);
        let epoch = registered.epoch;
        self.links.registered(epoch);
        // The watch must pass this process's registration (N1).
        tasks.wait_for(self.view.wait_for(registered.index))?;
        let lease = AckLease::default();
        let (session, heartbeats) = Session::new(SessionOf {
            config: &self.config,
            epoch,
            peer_address: self.peer_address,
            lease: lease.clone(),
            view: Arc::clone(&self.view),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            stopper: self.stopper.clone(),
        });
        tasks.spawn(heartbeats);
        tasks.spawn(session.tell_free(Arc::new(self.disk.clone()), self.config.data_dir.clone()));
        // Logs that must be opened are open before clients are let in; replication begins with them.
        let mut told = self.host(epoch, lease.clone())?;
        self.link();
        // Before it may lead: who is damaged leads only where nobody else can (N10).
        drop(tasks.wait_for(told.wait_for(|&told| told))?);
        // From now on it may lead and follow; what clients ask for before the quorum knows that would be refused.
        session.ready();
        tasks.wait_for(session.alive())?;
        self.keep_in_order(epoch, lease);
        Ok(session)
    }

    /// What it answers becomes true when the quorum knows what is wrong with the logs here.
    fn host(&self, epoch: BrokerEpoch, lease: AckLease) -> Result<watch::Receiver<bool>, StartError> {
        let unopened = Arc::new(Mutex::default());
        let hosting = Arc::new(Hosting {
            me: self.config.broker,
            epoch,
            directory: self.home.identity().directory_id,
            home: Arc::clone(&self.home),
            flusher: Arc::clone(&self.flusher),
            clock: Arc::clone(&self.clock),
            view: Arc::clone(&self.view),
            quorum: Arc::clone(&self.quorum),
            links: Arc::clone(&self.links),
            partitions: Arc::clone(&self.partitions),
            positions: Arc::clone(&self.positions),
            limits: machine_limits(&self.config),
            lease,
            unopened: Arc::clone(&unopened),
            refilling: Arc::clone(&self.refilling),
            barred: Mutex::default(),
            removing: Mutex::default(),
            leaving: Mutex::default(),
            stopper: self.stopper.clone(),
            tracker: self.tasks.tracker.clone(),
            stop: self.tasks.stop.clone(),
        });
        let report = ReplicaReport {
            broker: self.config.broker,
            broker_epoch: epoch,
            partitions: Arc::clone(&self.partitions),
            unopened,
            view: Arc::clone(&self.view),
            quorum: Arc::clone(&self.quorum),
            failures: self.links.failures(),
        };
        let (hosted_sender, mut hosted) = watch::channel(false);
        self.tasks.spawn(hosting.run(hosted_sender));
        // That the sender is gone means that the node stops; that is told first.
        let hosted = async {
            if hosted.wait_for(|&hosted| hosted).await.is_err() {
                std::future::pending().await
            }
        };
        self.tasks.wait_for(hosted)?;
        let (told_sender, told) = watch::channel(false);
        self.tasks.spawn(report.run(told_sender));
        Ok(told)
    }

    /// Links to all who hold replicas.
    fn link(&self) {
        let config = &self.config;
        let settings =
            LinkSettings { catch_up_bytes_per_s: config.catch_up_bytes_per_s, ..Default::default() };
        let (links, partitions) = (Arc::clone(&self.links), Arc::clone(&self.partitions));
        let (tracker, stop) = (self.tasks.tracker.clone(), self.tasks.stop.clone());
        self.tasks.spawn(run_links(links, partitions, Arc::clone(&self.clock), settings, tracker, stop));
    }

    /// What is done now and then, and what mends.
    fn keep_in_order(&self, epoch: BrokerEpoch, lease: AckLease) {
        let (me, tasks) = (self.config.broker, &self.tasks);
        let (partitions, view) = (|| Arc::clone(&self.partitions), || Arc::clone(&self.view));
        let clock = || Arc::clone(&self.clock);
        tasks.spawn(housekeeping::tick(partitions(), lease, clock()));
        tasks.spawn(housekeeping::retain(partitions(), view(), clock(), self.config.retention_every));
        let (quorum, refilling) = (Arc::clone(&self.quorum), Arc::clone(&self.refilling));
        tasks.spawn(Repair::new((me, epoch), partitions(), view(), clock(), quorum, refilling).run());
        let (home, failures) = (Arc::clone(&self.home), self.links.failures());
        tasks.spawn(Reopening { home, partitions: partitions(), clock: clock(), failures }.run());
        if let Some(bytes_per_s) = self.config.scrub_bytes_per_s {
            tasks.spawn(Scrub::new(me, partitions(), view(), clock(), bytes_per_s.get()).run());
        }
        let decided = self.config.is_controller().then(view);
        let written = Written::new(Arc::clone(&self.flushed_bytes), decided);
        let (home, quorum) = (Arc::clone(&self.home), Arc::clone(&self.quorum));
        tasks.spawn(raise_while_written(home, quorum, written, move |generation| {
            Proposal::RaiseGeneration { broker: me, broker_epoch: epoch, generation }
        }));
    }
}

fn machine_limits(config: &NodeConfig) -> MachineLimits {
    MachineLimits {
        pending_bytes_max: config.partition_pending_bytes_max,
        follower_credit_bytes: 16 << 20,
        replica_lag_ms_max: u64::try_from(config.replica_lag_max.as_millis()).unwrap_or(u64::MAX),
        replica_down_ms_max: 1_500,
        retry_ms: 200,
        producers: ProducerLimits {
            count_max: config.log.producer_count_max,
            idle_ms: config.log.producer_idle_ms,
        },
    }
}
