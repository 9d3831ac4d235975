//! Starting a node, in the order of what must be true.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fidelog_log::env::{Clock, Disk, Entropy, Latched, RealClock, RealDisk, RealEntropy};
use fidelog_log::{DataDir, Expected, Flusher};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::broker::BrokerHalf;
use super::config::NodeConfig;
use super::generation::{Written, raise_while_written};
use super::quorum::{Quorum, QuorumParts, open_quorum};
use super::running::{Node, StopReason, Stopper};
use super::seen::SeenInDirectory;
use super::start_error::StartError;
use super::tasks::PeerTasks;
use super::threads::FlushThread;
use super::voter::{UnfencedBrokers, register_voter, voter_registration};
use super::{housekeeping, positions_topic};
use crate::group::state::{PositionLimits, SnapshotSizes};
use crate::group::{Positions, QuorumWitness, RuntimeHands};
use crate::meta::controller::active::{Controller, ControllerParts};
use crate::meta::follower::{Backoff, Follower, HighestSeen};
use crate::meta::quorum::MetadataQuorum;
use crate::meta::state::Proposal;
use crate::meta::view::MetaView;
use crate::partition::Partitions;
use crate::rpc::peer::{
    Internal, MetaServer, PeerLinks, QuorumServer, ReplicationServer, SessionServer, TcpProbe, peer_server,
};
use crate::rpc::{self, Context, Health, ListenLimits, Parts, Reachability};

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
        starting.finish()
    }
}

fn no_role(config: &NodeConfig) -> String {
    format!("node {} has no role: the list of all nodes lacks it", config.broker)
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
    fn finish(self) -> Result<Node, StartError> {
        let Self { config, world, home, stopper, quorum, flusher, flush_thread, clients, peers } = self;
        let tasks = PeerTasks::new(&peers, stopper.clone());
        let (stop_clients, client_tasks) = (CancellationToken::new(), TaskTracker::new());

        let view = MetaView::new(world.clock.as_ref());
        let partitions = Arc::new(Partitions::default());
        let links = tasks.inside(|| {
            let me = (config.cluster, config.broker, home.identity().directory_id);
            PeerLinks::new(me, Arc::clone(&view), Arc::clone(&quorum.handle))
        });
        let positions = Arc::new(Positions::new(
            Arc::clone(&world.clock),
            Arc::new(QuorumWitness::new(config.broker, Arc::clone(&quorum.handle), Arc::clone(&view))),
            Arc::new(RuntimeHands),
            PositionLimits::default(),
            SnapshotSizes::default(),
        ));
        let reachability: Arc<dyn Reachability> = match config.is_broker() {
            true => Arc::clone(&links) as _,
            false => Arc::new(UnfencedBrokers(Arc::clone(&view))),
        };
        let context = Context::new(Parts {
            me: config.broker,
            cluster: config.cluster,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            partitions: Arc::clone(&partitions),
            meta: Arc::clone(&view),
            quorum: Arc::clone(&quorum.handle),
            positions: Arc::clone(&positions),
            reachability,
            clock: Arc::clone(&world.clock),
            entropy: Arc::clone(&world.entropy),
            limits: config.rpc,
            stopping: stop_clients.clone(),
        });
        let controller = active_controller(&config, &world, &quorum, &view);
        if let Some(controller) = controller.clone() {
            tasks.spawn(async move { controller.run().await });
        }
        let watched = quorum.controller.clone().map(|it| Arc::new(it) as Arc<dyn MetadataQuorum>);
        let internal = Internal {
            replication: ReplicationServer::new(Arc::clone(&links), Arc::clone(&partitions)),
            meta: MetaServer::new(config.cluster, watched),
            quorum: QuorumServer::new(config.cluster, quorum.controller.clone()),
            sessions: SessionServer::new(config.cluster, controller),
        };
        // Before anybody registers: the controllers reach each other here, and without them nobody can.
        let peer_listener = listen(&peers, config.peer_listen)?;
        let peer_address = peer_listener.local_addr()?;
        let health = peers.block_on(Health::new());
        let served =
            peer_server(Arc::clone(&context), health.clone(), peer_listener, internal, tasks.stop.clone());
        let failed = stopper.clone();
        tasks.spawn(async move {
            if let Err(error) = served.await {
                failed.stop(StopReason::Listener(error.to_string()));
            }
        });

        // The active controller judges by its own view, of the first registration, too.
        tasks.spawn(follow(&config, &world, &home, &quorum, &view, &stopper));
        let session = match config.is_broker() {
            true => {
                let half = BrokerHalf {
                    config: Arc::clone(&config),
                    home: Arc::clone(&home),
                    disk: world.disk.clone(),
                    clock: Arc::clone(&world.clock),
                    entropy: Arc::clone(&world.entropy),
                    flusher: Arc::clone(&flusher),
                    flushed_bytes: Arc::clone(&flush_thread.flushed_bytes),
                    view: Arc::clone(&view),
                    quorum: Arc::clone(&quorum.handle),
                    links,
                    partitions: Arc::clone(&partitions),
                    positions,
                    peer_address,
                    is_deaf_if_rolled_back: quorum.controller.is_some() && !quorum.emptied,
                    believed: Arc::clone(&quorum.believed),
                    stopper: stopper.clone(),
                    tasks: tasks.clone(),
                    refilling: Arc::default(),
                };
                Some(half.start()?)
            }
            false => {
                let node = quorum.node_id.ok_or_else(|| StartError::Config(no_role(&config)))?;
                let it = (node, quorum.emptied);
                let registration = voter_registration(&config, &home, world.entropy.as_ref(), it);
                let index = tasks.wait_for(register_voter(quorum.handle.as_ref(), registration, &home))??;
                quorum.believed.store(true, Ordering::Release);
                tasks.wait_for(view.wait_for(index))?;
                let written = Written::new(Arc::clone(&flush_thread.flushed_bytes), Some(Arc::clone(&view)));
                let (home, handle) = (Arc::clone(&home), Arc::clone(&quorum.handle));
                let broker = config.broker;
                tasks.spawn(raise_while_written(home, handle, written, move |generation| {
                    Proposal::RaiseControllerGeneration { broker, node_id: node, generation }
                }));
                None
            }
        };
        tasks.spawn(housekeeping::tend_ballast(Arc::clone(&home)));
        if quorum.controller.is_some() {
            let (config, view, handle) = (Arc::clone(&config), Arc::clone(&view), Arc::clone(&quorum.handle));
            tasks.spawn(async move { positions_topic::ensure(&config, &view, handle.as_ref()).await });
        }

        let listener = listen(&clients, config.listen)?;
        let address = listener.local_addr()?;
        peers.block_on(health.serving());
        serve_clients(&clients, (context, health, listener), &client_tasks, &stopper);
        info!(clients = %address, brokers = %peer_address, "serving");
        let PeerTasks { tracker: peer_tasks, stop: stop_peers, .. } = tasks;
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

/// What judges the brokers while this node leads the quorum, on nodes that may.
fn active_controller(
    config: &NodeConfig,
    world: &World,
    quorum: &Quorum,
    view: &Arc<MetaView>,
) -> Option<Arc<Controller>> {
    quorum.controller.as_ref()?;
    let controller = Controller::new(ControllerParts {
        me: config.broker,
        quorum: Arc::clone(&quorum.handle),
        view: Arc::clone(view),
        clock: Arc::clone(&world.clock),
        probe: Arc::new(TcpProbe),
    });
    quorum.former.know(Arc::clone(&controller));
    Some(controller)
}

fn serve_clients(
    runtime: &Runtime,
    (context, health, listener): (Arc<Context>, Health, tokio::net::TcpListener),
    tasks: &TaskTracker,
    stopper: &Stopper,
) {
    let server = rpc::public_server(context, health, listener, ListenLimits::CLIENTS);
    let failed = stopper.clone();
    let served = async move {
        if let Err(error) = server.await {
            failed.stop(StopReason::Listener(error.to_string()));
        }
    };
    tasks.spawn_on(served, runtime.handle());
}

fn listen(runtime: &Runtime, address: SocketAddr) -> Result<tokio::net::TcpListener, StartError> {
    let _inside = runtime.enter();
    rpc::bind(address).map_err(|source| StartError::Listen { address, source })
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
