//! Starting a node, in the order of what must be true.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fidelog_log::env::{Clock, Disk, Entropy, Latched, RealClock, RealDisk, RealEntropy};
use fidelog_log::{DataDir, DataDirError, DiskError, Expected, Flusher, ProducerLimits};
use fidelog_record::types::{BrokerId, MetaIndex};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::config::NodeConfig;
use super::damage_report::DamageReport;
use super::hosting::Hosting;
use super::quorum::{Quorum, QuorumParts, open_quorum};
use super::registration::{register, registration};
use super::repair::Repair;
use super::running::{Node, StopReason, Stopper};
use super::scrub::Scrub;
use super::seen::SeenInDirectory;
use super::session::{Session, SessionOf};
use super::threads::FlushThread;
use super::{housekeeping, positions_topic};
use crate::group::state::{PositionLimits, SnapshotSizes};
use crate::group::{Positions, QuorumWitness};
use crate::meta::controller::active::{Controller, ControllerParts};
use crate::meta::follower::{Backoff, Follower, HighestSeen};
use crate::meta::lease::AckLease;
use crate::meta::quorum::MetadataQuorum;
use crate::meta::raft::RaftStartError;
use crate::meta::state::Refusal;
use crate::meta::store::StoreError;
use crate::meta::view::MetaView;
use crate::partition::{MachineLimits, Partitions};
use crate::rpc::peer::{
    Internal, LinkSettings, MetaServer, PeerLinks, QuorumServer, ReplicationServer, SessionServer, TcpProbe,
    peer_server, run_links,
};
use crate::rpc::{self, Context, Health, ListenLimits, Parts, Reachability};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    Directory(#[from] DataDirError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The metadata store.
    #[error(
        "the metadata store cannot be used, so that this cluster's metadata may be lost (METADATA_LOST): {0}"
    )]
    Store(#[from] StoreError),
    /// The controller in this node.
    #[error(transparent)]
    Quorum(#[from] RaftStartError),
    /// The quorum refused the registration.
    #[error("the metadata quorum refused this broker: {0}")]
    Refused(Refusal),
    /// The controller in a directory that was rolled back, found out late.
    #[error(
        "this directory was rolled back, and no other controller could say so when the quorum's store was opened; start \
         it again: it then joins the quorum anew, and its replicas are refilled"
    )]
    RolledBack,
    /// The quorum said what it cannot say.
    #[error("the metadata quorum speaks wrongly: {0}")]
    Protocol(String),
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A thread or runtime.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
    /// It was told to stop, or failed, while starting.
    #[error("{0}")]
    Stopped(StopReason),
}

struct World {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    disk: Latched,
}

impl Node {
    /// Starts a node. Returns when it serves. Blocking; not to be called on an async runtime's thread.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: NodeConfig) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let real: Arc<dyn Disk> = Arc::new(RealDisk);
        let disk = Latched::new(real, config.data_dir.clone(), Arc::clone(&clock));
        let world = World { clock, entropy: Arc::new(RealEntropy), disk };
        let expected = Expected { cluster_id: Some(config.cluster), broker_id: Some(config.broker) };
        let home = DataDir::open(
            world.disk.clone(),
            Arc::clone(&world.clock),
            &config.data_dir,
            expected,
            config.log.clone(),
        )?;
        let found = home.found();
        info!(directory = %config.data_dir.display(), clean = found.clean, generation = %found.generation, "opened");
        for stray in &found.strays {
            tracing::warn!("not ours, left alone: {}", stray.display());
        }
        let stopper = Stopper::new();
        let clients = runtime("clients", config.client_threads)?;
        let peers = runtime("peers", config.peer_threads)?;
        let registration = registration(&config, &home, world.entropy.as_ref())?;
        let quorum = {
            let _inside = peers.enter();
            open_quorum(QuorumParts {
                config: &config,
                home: &home,
                disk: world.disk.clone(),
                clock: Arc::clone(&world.clock),
                entropy: Arc::clone(&world.entropy),
                stopper: &stopper,
            })?
        };
        let flusher = Arc::new(Flusher::new(Arc::clone(&home)));
        let flush_thread = FlushThread::start(Arc::clone(&flusher), stopper.clone())?;
        let starting =
            Starting { config, world, home, stopper, quorum, flusher, flush_thread, clients, peers };
        starting.finish(registration)
    }
}

fn runtime(name: &str, threads: usize) -> Result<Runtime, io::Error> {
    Builder::new_multi_thread().worker_threads(threads.max(1)).thread_name(name).enable_all().build()
}

/// A node whose threads run and which has not registered yet.
struct Starting {
    config: Arc<NodeConfig>,
    world: World,
    home: Arc<DataDir>,
    stopper: Stopper,
    quorum: Quorum,
    flusher: Arc<Flusher>,
    flush_thread: FlushThread,
    clients: Runtime,
    peers: Runtime,
}

impl Starting {
    fn finish(self, registration: crate::meta::state::Registration) -> Result<Node, StartError> {
        let Self { config, world, home, stopper, quorum, flusher, flush_thread, clients, peers } = self;
        let (stop_clients, stop_peers) = (CancellationToken::new(), CancellationToken::new());
        let (client_tasks, peer_tasks) = (TaskTracker::new(), TaskTracker::new());
        let spawn = |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let stop = stop_peers.clone();
            peer_tasks.spawn_on(
                async move {
                    stop.run_until_cancelled(task).await;
                },
                peers.handle(),
            );
        };

        let view = MetaView::new(world.clock.as_ref());
        let identity = home.identity();
        let partitions = Arc::new(Partitions::default());
        let links = {
            let _inside = peers.enter();
            let me = (config.cluster, config.broker, identity.directory_id);
            PeerLinks::new(me, Arc::clone(&view), Arc::clone(&quorum.handle))
        };
        let positions = Arc::new(Positions::new(
            Arc::clone(&world.clock),
            Arc::new(QuorumWitness::new(config.broker, Arc::clone(&quorum.handle), Arc::clone(&view))),
            PositionLimits::default(),
            SnapshotSizes::default(),
        ));
        let context = Context::new(Parts {
            me: config.broker,
            cluster: config.cluster,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            partitions: Arc::clone(&partitions),
            meta: Arc::clone(&view),
            quorum: Arc::clone(&quorum.handle),
            positions: Arc::clone(&positions),
            reachability: Arc::clone(&links) as Arc<dyn Reachability>,
            clock: Arc::clone(&world.clock),
            entropy: Arc::clone(&world.entropy),
            limits: config.rpc,
            stopping: stop_clients.clone(),
        });
        let replication = ReplicationServer::new(Arc::clone(&links), Arc::clone(&partitions));
        let watched = quorum.controller.clone().map(|it| Arc::new(it) as Arc<dyn MetadataQuorum>);
        let meta = MetaServer::new(config.cluster, watched);
        let controller = quorum.controller.as_ref().map(|_| {
            let controller = Controller::new(ControllerParts {
                me: config.broker,
                quorum: Arc::clone(&quorum.handle),
                view: Arc::clone(&view),
                clock: Arc::clone(&world.clock),
                probe: Arc::new(TcpProbe),
            });
            quorum.former.know(Arc::clone(&controller));
            controller
        });
        if let Some(controller) = controller.clone() {
            spawn(Box::pin(async move { controller.run().await }));
        }
        let sessions = SessionServer::new(config.cluster, controller);
        let quorum_server = QuorumServer::new(config.cluster, quorum.controller.clone());
        // Before anybody registers: the controllers reach each other here, and without them nobody can.
        let peer_listener = listen(&peers, config.peer_listen)?;
        let peer_address = peer_listener.local_addr()?;
        let health = peers.block_on(Health::new());
        let served = peer_server(
            Arc::clone(&context),
            health.clone(),
            peer_listener,
            Internal { replication, meta, quorum: quorum_server, sessions },
            stop_peers.clone(),
        );
        let failed = stopper.clone();
        spawn(Box::pin(async move {
            if let Err(error) = served.await {
                failed.stop(StopReason::Listener(error.to_string()));
            }
        }));

        // The active controller judges by its own view, of the first registration, too.
        spawn(Box::pin(follow(&config, &world, &home, &quorum, &view, &stopper)));
        let registering = register(
            quorum.handle.as_ref(),
            registration,
            &home,
            quorum.controller.is_some() && !quorum.emptied,
        );
        let registered = peers.block_on(async {
            // Stopping it is safe: a registration that was made is the session of a process that is gone.
            tokio::select! {
                registered = registering => registered,
                reason = stopper.wait() => Err(StartError::Stopped(reason)),
            }
        })?;
        quorum.believed.store(true, Ordering::Release);
        links.registered(registered.epoch);
        peers.block_on(pass(&view, registered.index, &stopper))?;
        let lease = AckLease::default();
        let (session, heartbeats) = Session::new(SessionOf {
            config: &config,
            epoch: registered.epoch,
            peer_address,
            lease: lease.clone(),
            view: Arc::clone(&view),
            clock: Arc::clone(&world.clock),
            entropy: Arc::clone(&world.entropy),
            stopper: stopper.clone(),
        });
        spawn(Box::pin(heartbeats));
        spawn(Box::pin(session.tell_free(Arc::new(world.disk.clone()), config.data_dir.clone())));

        let hosting = Arc::new(Hosting {
            me: config.broker,
            epoch: registered.epoch,
            directory: identity.directory_id,
            home: Arc::clone(&home),
            flusher: Arc::clone(&flusher),
            clock: Arc::clone(&world.clock),
            view: Arc::clone(&view),
            quorum: Arc::clone(&quorum.handle),
            links: Arc::clone(&links),
            partitions: Arc::clone(&partitions),
            positions,
            limits: machine_limits(&config),
            lease,
            removing: Mutex::default(),
            leaving: Mutex::default(),
            stopper: stopper.clone(),
            tracker: peer_tasks.clone(),
            stop: stop_peers.clone(),
        });
        let (hosted_sender, mut hosted) = watch::channel(false);
        spawn(Box::pin(hosting.run(hosted_sender)));

        // Logs that must be opened are open before clients are let in; replication begins with them.
        peers.block_on(async {
            tokio::select! {
                _ = hosted.wait_for(|&hosted| hosted) => Ok(()),
                reason = stopper.wait() => Err(StartError::Stopped(reason)),
            }
        })?;
        {
            let _inside = peers.enter();
            let settings =
                LinkSettings { catch_up_bytes_per_s: config.catch_up_bytes_per_s, ..Default::default() };
            let others: Vec<BrokerId> =
                config.brokers.iter().map(|it| it.id).filter(|&id| id != config.broker).collect();
            run_links(&links, &partitions, &world.clock, &others, settings, &peer_tasks, &stop_peers);
        }
        // From now on it may lead and follow; what clients ask for before the quorum knows that would be refused.
        session.ready();
        peers.block_on(async {
            tokio::select! {
                () = session.alive() => Ok(()),
                reason = stopper.wait() => Err(StartError::Stopped(reason)),
            }
        })?;
        spawn(Box::pin(housekeeping::tick(Arc::clone(&partitions))));
        spawn(Box::pin(housekeeping::retain(
            Arc::clone(&partitions),
            Arc::clone(&view),
            Arc::clone(&world.clock),
            config.retention_every,
        )));
        let (me, clock) = (config.broker, &world.clock);
        let repair = Repair::new(me, Arc::clone(&partitions), Arc::clone(&view), Arc::clone(clock));
        spawn(Box::pin(repair.run()));
        let report = DamageReport {
            broker: me,
            broker_epoch: registered.epoch,
            partitions: Arc::clone(&partitions),
            view: Arc::clone(&view),
            quorum: Arc::clone(&quorum.handle),
        };
        spawn(Box::pin(report.run()));
        if let Some(bytes_per_s) = config.scrub_bytes_per_s {
            let (hosted, view) = (Arc::clone(&partitions), Arc::clone(&view));
            spawn(Box::pin(Scrub::new(me, hosted, view, Arc::clone(clock), bytes_per_s.get()).run()));
        }
        spawn(Box::pin(housekeeping::tend_ballast(Arc::clone(&home))));
        spawn(Box::pin(housekeeping::raise_generation(
            Arc::clone(&home),
            Arc::clone(&quorum.handle),
            (config.broker, registered.epoch),
            Arc::clone(&flush_thread.flushed_bytes),
        )));
        if quorum.controller.is_some() {
            let (config, view, handle) = (Arc::clone(&config), Arc::clone(&view), Arc::clone(&quorum.handle));
            spawn(Box::pin(async move { positions_topic::ensure(&config, &view, handle.as_ref()).await }));
        }

        let listener = listen(&clients, config.listen)?;
        let address = listener.local_addr()?;
        peers.block_on(health.serving());
        let server = rpc::public_server(context, health, listener, ListenLimits::CLIENTS);
        let failed = stopper.clone();
        client_tasks.spawn_on(
            async move {
                if let Err(error) = server.await {
                    failed.stop(StopReason::Listener(error.to_string()));
                }
            },
            clients.handle(),
        );
        info!(clients = %address, brokers = %peer_address, "serving");
        Ok(Node {
            clients: Some(clients),
            peers: Some(peers),
            home,
            flusher,
            flush_thread,
            quorum_thread: quorum.thread,
            session,
            partitions,
            view,
            stopper,
            stop_clients,
            stop_peers,
            client_tasks,
            peer_tasks,
            listen: address,
            peer_listen: peer_address,
        })
    }
}

fn listen(runtime: &Runtime, address: std::net::SocketAddr) -> Result<tokio::net::TcpListener, StartError> {
    let _inside = runtime.enter();
    rpc::bind(address).map_err(|source| StartError::Listen { address, source })
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

fn follow(
    config: &NodeConfig,
    world: &World,
    home: &Arc<DataDir>,
    quorum: &Quorum,
    view: &Arc<MetaView>,
    stopper: &Stopper,
) -> impl Future<Output = ()> + Send + 'static {
    let identity = home.identity();
    let follower = Follower {
        view: Arc::clone(view),
        quorum: Arc::clone(&quorum.handle),
        cluster: config.cluster,
        seen: HighestSeen { incarnation: identity.quorum_incarnation, index: identity.meta_index_seen },
        persist: Arc::new(SeenInDirectory(Arc::clone(home))),
        backoff: Backoff::default(),
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
    };
    let stopper = stopper.clone();
    async move {
        let Err(error) = follower.run().await;
        stopper.stop(StopReason::Metadata(error.to_string()));
    }
}

/// Waits until the watch has passed this process's registration (N1).
async fn pass(view: &Arc<MetaView>, index: MetaIndex, stopper: &Stopper) -> Result<(), StartError> {
    tokio::select! {
        _ = view.wait_for(index) => Ok(()),
        reason = stopper.wait() => Err(StartError::Stopped(reason)),
    }
}
