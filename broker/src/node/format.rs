//! Makes a directory this broker's data directory, once, and the store of a controller in it. `serve` never does (N13).

use std::sync::Arc;

use fidelog_log::env::{Clock, Disk, Entropy, Latched, RealClock, RealDisk, RealEntropy};
use fidelog_log::{DataDir, DataDirError, Identity};
use fidelog_record::types::{DirectoryId, Generation};

use super::config::NodeConfig;
use crate::meta::raft::{NodeId, RaftStore};
use crate::meta::state::ConfigError;
use crate::meta::store::StoreError;

/// Why a directory was not formatted.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] DataDirError),
    /// The metadata store in it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The defaults for topics.
    #[error(transparent)]
    Defaults(#[from] ConfigError),
}

/// Formats the data directory of `config`; on a controller, its store of the quorum too.
///
/// # Errors
/// [`FormatError`]; what is there is left as it is.
pub fn format(config: &NodeConfig) -> Result<Identity, FormatError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let entropy = RealEntropy;
    config.topic_defaults.check()?;
    let root = config.data_dir.as_path();
    let latched = Latched::new(disk, root, clock);
    let directory_id = DirectoryId::from_random(entropy.id_bytes());
    let formatted = DataDir::format(latched.clone(), root, config.cluster, config.broker, directory_id);
    let identity = match &formatted {
        Ok(identity) => identity.clone(),
        Err(DataDirError::Formatted { identity, .. })
            if may_get_store(config, identity)
                && identity.cluster_id == config.cluster
                && identity.broker_id == config.broker =>
        {
            Identity::clone(identity)
        }
        Err(_) => return Ok(formatted?),
    };
    if config.is_controller() {
        match RaftStore::format(&latched, root, config.cluster, minted_node_id(&entropy)) {
            // It was not: there is nothing left to make, and what is wrong is that the directory is formatted already.
            Err(StoreError::Exists { .. }) if formatted.is_err() => return Ok(formatted?),
            made => made?,
        }
    }
    Ok(identity)
}

/// Whether a formatted directory may lack a store of the quorum that it is to have: an earlier format was cut short between
/// the two, or its broker did not vote before. A voter that lost its store may get another as well: under its new number it
/// is a new learner. Not where there would be nobody to learn from; and of a node that only votes the whole directory
/// goes, so that its registration tells it from the former.
fn may_get_store(config: &NodeConfig, identity: &Identity) -> bool {
    let was_used = identity.generation != Generation(0);
    let has_others = config.controllers().iter().any(|it| it.id != config.broker);
    config.is_controller() && (!was_used || (config.is_broker() && has_others))
}

/// A number that no other directory has or will have in the quorum; 0 is nobody's.
pub(super) fn minted_node_id(entropy: &dyn Entropy) -> NodeId {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    // Within the integers that any JSON reader takes.
    (u64::from_be_bytes(bytes) >> 11).max(1)
}
