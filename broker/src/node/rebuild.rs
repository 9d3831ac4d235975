//! The quorum as a stopped controller's directory shows it, and rebuilding it from there when its majority is lost for good.
//!
//! Always true: no daemon uses the directory meanwhile; looking changes nothing that a start would not; what is rebuilt is
//! what the operator was shown, whose hash was given back.

use std::sync::Arc;

use fidelog_log::env::{Clock, Disk, Entropy, Latched, RealClock, RealDisk, RealEntropy};
use fidelog_log::{DataDir, DataDirError, Expected, Flusher, Identity};
use fidelog_record::types::{BrokerId, Incarnation};

use super::config::NodeConfig;
use super::format::minted_node_id;
use crate::meta::raft::{RaftStore, RebuildError, RebuildPlan, Rebuilder, Voter, fnv};
use crate::meta::store::LastStop;

/// Why a quorum was not looked at, or not rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum QuorumError {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] DataDirError),
    /// Its store of the quorum.
    #[error(transparent)]
    Store(#[from] RebuildError),
    /// A controller's store of the quorum would be at odds with it.
    #[error(
        "broker {broker} is a controller, and its store is that of the former quorum: rebuild from it if it holds more, \
         else empty its directory and format it"
    )]
    Controller {
        /// Which.
        broker: BrokerId,
    },
    /// The operator agreed to something else.
    #[error(
        "this is not the plan that was agreed to: its hash is {hash:08x}, {given:08x} was given; read it again"
    )]
    OtherPlan {
        /// What there is.
        hash: u32,
        /// What was given.
        given: u32,
    },
}

/// A stopped node's directory.
pub struct StoppedNode {
    config: NodeConfig,
    disk: Latched,
    home: Arc<DataDir>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for StoppedNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StoppedNode").field(&self.home).finish()
    }
}

impl StoppedNode {
    /// Takes the directory of `config` for this process.
    ///
    /// # Errors
    /// [`QuorumError::Directory`], among others when its daemon runs.
    pub fn open(config: NodeConfig) -> Result<Self, QuorumError> {
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let disk = Latched::new(Arc::new(RealDisk), config.data_dir.clone(), Arc::clone(&clock));
        let expected = Expected { cluster_id: Some(config.cluster), broker_id: Some(config.broker) };
        let log = config.log.clone();
        let home = DataDir::open(disk.clone(), Arc::clone(&clock), &config.data_dir, expected, log)?;
        Ok(Self { config, disk, home, clock })
    }

    /// Whose it is, and the newest metadata it has seen.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.home.identity()
    }

    /// What a quorum rebuilt from it would begin with; none when it is no controller's.
    ///
    /// # Errors
    /// [`QuorumError::Store`].
    pub fn plan(&self) -> Result<Option<RebuildPlan>, QuorumError> {
        if !self.config.is_controller() {
            return Ok(None);
        }
        let last_stop = if self.home.found().clean { LastStop::Clean } else { LastStop::Unclean };
        let read = RaftStore::read(self.disk(), &self.config.data_dir, self.config.cluster, last_stop);
        let contents = read.map_err(RebuildError::from)?;
        Ok(Some(contents.rebuild_plan(self.config.cluster)?))
    }

    /// Makes it the one voter of a new quorum that goes on from `plan`, whose hash is `agreed`.
    ///
    /// # Errors
    /// [`QuorumError`]; unless the disk failed, nothing is changed then.
    pub fn rebuild(&self, plan: &RebuildPlan, agreed: u32) -> Result<Incarnation, QuorumError> {
        let hash = plan.hash();
        if hash != agreed {
            return Err(QuorumError::OtherPlan { hash, given: agreed });
        }
        let entropy = RealEntropy;
        let incarnation = Incarnation::from_random(entropy.id_bytes());
        let rebuilder = Rebuilder {
            node_id: minted_node_id(&entropy),
            voter: Voter { broker: self.config.broker, address: self.config.peer_advertise.clone() },
            incarnation,
            now_ms: self.clock.wall_ms(),
        };
        RaftStore::rebuild(self.disk(), &self.config.data_dir, self.config.cluster, plan, rebuilder)?;
        Ok(incarnation)
    }

    /// The hash of what it has seen.
    #[must_use]
    pub fn seen_hash(&self) -> u32 {
        let Identity { directory_id, quorum_incarnation, meta_index_seen, .. } = self.identity();
        let incarnation = quorum_incarnation.unwrap_or(Incarnation::NIL);
        let bytes = directory_id.as_bytes().iter().chain(incarnation.as_bytes()).copied();
        fnv(bytes.chain(meta_index_seen.0.to_be_bytes()))
    }

    /// Lets a broker follow a quorum that was rebuilt from less than it has seen. Its records stay: what it registers with
    /// says where they end, and the replica with the greatest (epoch, end) leads. `agreed` is the hash of what it has seen.
    ///
    /// # Errors
    /// [`QuorumError`].
    pub fn accept(&self, agreed: u32) -> Result<(), QuorumError> {
        if self.config.is_controller() {
            return Err(QuorumError::Controller { broker: self.config.broker });
        }
        let hash = self.seen_hash();
        if hash != agreed {
            return Err(QuorumError::OtherPlan { hash, given: agreed });
        }
        Ok(self.home.forget_metadata().map_err(DataDirError::from)?)
    }

    /// Gives the directory back as it was found: after a clean stop its next start finds one.
    #[must_use = "an unclean stop is worth telling"]
    pub fn close(self) -> bool {
        let found_clean = self.home.found().clean;
        found_clean && Flusher::new(self.home).shutdown().unwrap_or(false)
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }
}
