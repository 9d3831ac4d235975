//! This node's way to the metadata quorum: as a controller, or as a client of the controllers.

use std::sync::Arc;

use fidelog_log::DataDir;
use fidelog_log::env::{Clock, Disk, Entropy, Latched};

use super::config::NodeConfig;
use super::running::Stopper;
use super::session::Former;
use super::start::StartError;
use super::threads::{QuorumThread, RaftOpen};
use crate::meta::quorum::MetadataQuorum;
use crate::meta::raft::{RaftParts, RaftQuorum, RaftStore, SeatParts};
use crate::meta::store::LastStop;
use crate::rpc::peer::{GrpcQuorumWire, RemoteQuorum};

/// The quorum, and what this node runs for it.
pub(super) struct Quorum {
    pub(super) handle: Arc<dyn MetadataQuorum>,
    /// When this node is a controller.
    pub(super) controller: Option<RaftQuorum>,
    pub(super) thread: Option<QuorumThread>,
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
        return Ok(Quorum { handle: Arc::new(remote), controller: None, thread: None, former });
    }
    let QuorumParts { home, disk, clock, entropy, stopper, .. } = parts;
    let last_stop = if home.found().clean { LastStop::Clean } else { LastStop::Unclean };
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let (log, machine, opened) = RaftStore::open(disk, &config.data_dir, config.cluster, last_stop)?;
    let generation = {
        let home = Arc::clone(home);
        Arc::new(move || home.identity().generation)
    };
    let seat = SeatParts {
        cluster: config.cluster,
        broker: config.broker,
        node: opened.node_id,
        directory: home.identity().directory_id,
        generation,
        controllers: config.controllers().iter().map(|it| (it.id, it.peer.clone())).collect(),
    };
    let raft = RaftParts {
        seat,
        wire: Arc::new(GrpcQuorumWire::new(config.cluster)),
        sessions: Arc::clone(&former) as _,
        topic_defaults: config.topic_defaults.clone(),
        clock,
        entropy,
    };
    let (thread, quorum) = QuorumThread::start(raft, RaftOpen { log, machine, opened }, stopper.clone())?;
    let handle = Arc::new(quorum.clone());
    Ok(Quorum { handle, controller: Some(quorum), thread: Some(thread), former })
}
