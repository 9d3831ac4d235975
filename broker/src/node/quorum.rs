//! This node's way to the metadata quorum: as a controller, or as a client of the controllers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fidelog_log::DataDir;
use fidelog_log::env::{Clock, Disk, Entropy, Latched};
use fidelog_record::types::Generation;

use super::config::NodeConfig;
use super::format::minted_node_id;
use super::running::Stopper;
use super::session::Former;
use super::start_error::StartError;
use super::threads::{QuorumThread, RaftOpen};
use crate::meta::quorum::MetadataQuorum;
use crate::meta::raft::{
    Answer, Controller, NodeId, Question, QuorumWire, RaftParts, RaftQuorum, RaftStore, SeatParts,
};
use crate::meta::store::LastStop;
use crate::rpc::peer::{GrpcQuorumWire, RemoteQuorum};

/// The quorum, and what this node runs for it.
pub(super) struct Quorum {
    pub(super) handle: Arc<dyn MetadataQuorum>,
    /// When this node is a controller.
    pub(super) controller: Option<RaftQuorum>,
    /// Its number in the quorum, then.
    pub(super) node_id: Option<NodeId>,
    pub(super) thread: Option<QuorumThread>,
    /// What this directory holds of the quorum is not older than what it was registered with, as far as is known.
    pub(super) believed: Arc<AtomicBool>,
    /// It was found to be older, and emptied.
    pub(super) emptied: bool,
    /// Learns of the node's active controller once there is one.
    pub(super) former: Arc<Former>,
}

/// What a quorum is opened with.
pub(super) struct QuorumParts<'a> {
    pub(super) config: &'a NodeConfig,
    pub(super) home: &'a Arc<DataDir>,
    pub(super) disk: Latched,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) stopper: &'a Stopper,
}

/// To be called inside the brokers' runtime; blocks.
pub(super) fn open_quorum(parts: QuorumParts<'_>) -> Result<Quorum, StartError> {
    let config = parts.config;
    let former = Arc::new(Former::default());
    if !config.is_controller() {
        let controllers = config.controllers();
        let addresses = controllers.iter().map(|it| (it.id, it.peer.as_str()));
        let remote =
            RemoteQuorum::new(config.cluster, config.broker, addresses).map_err(StartError::Config)?;
        return Ok(Quorum {
            handle: Arc::new(remote),
            controller: None,
            node_id: None,
            thread: None,
            believed: Arc::default(),
            emptied: true,
            former,
        });
    }
    let QuorumParts { home, disk, clock, entropy, stopper, .. } = parts;
    let last_stop = if home.found().clean { LastStop::Clean } else { LastStop::Unclean };
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let wire = Arc::new(GrpcQuorumWire::new(config.cluster));
    let rolled_back = rolled_back(config, home, wire.as_ref());
    let emptied = rolled_back.is_some();
    if emptied {
        tracing::warn!(
            "this directory was rolled back: what it holds of the quorum is dropped, and it joins anew"
        );
        let node_id = minted_node_id(entropy.as_ref());
        RaftStore::reset(Arc::clone(&disk), &config.data_dir, config.cluster, last_stop, node_id)?;
    }
    let (log, machine, opened) = RaftStore::open(disk, &config.data_dir, config.cluster, last_stop)?;
    let ballast = Arc::clone(home);
    // Deletions must reach a full disk, so that it does not stay full.
    opened.room_from(move || ballast.release_ballast().unwrap_or(false));
    // Until the registration is judged, what was found counts: raised at every start, it would hide a rolled-back disk.
    let believed = Arc::new(AtomicBool::new(emptied));
    let generation = {
        let (home, believed) = (Arc::clone(home), Arc::clone(&believed));
        let found = home.found().generation;
        // An emptied store may speak at once; the directory's own generation follows when its registration is judged, so
        // that a stop in between does not make its replicas look intact.
        let at_least = rolled_back.unwrap_or_default();
        Arc::new(move || match believed.load(Ordering::Acquire) {
            true => home.identity().generation.max(at_least),
            false => found,
        })
    };
    let seat = SeatParts {
        cluster: config.cluster,
        broker: config.broker,
        node: opened.node_id,
        directory: home.identity().directory_id,
        generation,
        controllers: config.controllers().iter().map(|it| (it.id, it.peer.clone())).collect(),
        may_found: home.identity().quorum_incarnation.is_none(),
    };
    let raft = RaftParts {
        seat,
        wire,
        sessions: Arc::clone(&former) as _,
        topic_defaults: config.topic_defaults.clone(),
        clock,
        entropy,
    };
    let node_id = Some(opened.node_id);
    let (thread, quorum) = QuorumThread::start(raft, RaftOpen { log, machine, opened }, stopper.clone())?;
    let handle = Arc::new(quorum.clone());
    Ok(Quorum { handle, controller: Some(quorum), node_id, thread: Some(thread), believed, emptied, former })
}

/// How long the others may take to say what they know of this directory.
const ASK_MAX: Duration = Duration::from_millis(700);

/// The generation of this directory that another controller knows, when it is higher than the one found in it (N13). Who is
/// not reached says nothing: then the messages of this controller are refused by those who know better.
fn rolled_back(config: &NodeConfig, home: &DataDir, wire: &GrpcQuorumWire) -> Option<Generation> {
    let identity = home.identity();
    let me = |address: &str| Controller {
        broker: config.broker,
        node: 0,
        directory: identity.directory_id,
        generation: home.found().generation,
        address: address.to_owned(),
        incarnation: identity.quorum_incarnation,
    };
    let others = config.controllers().into_iter().filter(|it| it.id != config.broker);
    let asked = others.map(|it| {
        let question = Question::Announce { controller: me(&it.peer) };
        let answer = wire.ask(it.id, &it.peer, question);
        async move {
            match tokio::time::timeout(ASK_MAX, answer).await {
                Ok(Ok(Answer::RolledBack { registered })) => Some(registered),
                _ => None,
            }
        }
    });
    let answers = tokio::runtime::Handle::current().block_on(futures::future::join_all(asked));
    answers.into_iter().flatten().max()
}
