//! A node that votes and holds no replicas.
//!
//! It registers as a controller, so that a data directory that was rolled back or cloned is found out (N13), and is no
//! broker: it has no session, no lease and no links. It serves the metadata and sends everything else on to whoever
//! leads.

use std::sync::Arc;

use fidelog_log::DataDir;
use fidelog_log::env::Entropy;
use fidelog_record::types::{BrokerId, MetaIndex};
use tracing::info;

use super::config::NodeConfig;
use super::registration::accepted;
use super::start_error::StartError;
use crate::meta::quorum::MetadataQuorum;
use crate::meta::raft::NodeId;
use crate::meta::state::{ControllerRegistration, FEATURE_LEVEL, Outcome, Proposal, Refusal, StartId};
use crate::meta::view::MetaView;
use crate::rpc::Reachability;

/// What this process start says of itself: its generation is the one found.
pub(super) fn voter_registration(
    config: &NodeConfig,
    home: &DataDir,
    entropy: &dyn Entropy,
    (node_id, emptied): (NodeId, bool),
) -> ControllerRegistration {
    let (found, identity) = (home.found(), home.identity());
    ControllerRegistration {
        broker: config.broker,
        start: StartId::from_random(entropy.id_bytes()),
        node_id,
        directory: identity.directory_id,
        generation_found: found.generation,
        generation_new: found.generation,
        address: config.peer_advertise.clone(),
        feature_level: FEATURE_LEVEL,
        emptied,
    }
}

/// Registers, for as long as it takes to reach the quorum; yields the index that shows it.
pub(super) async fn register_voter(
    quorum: &dyn MetadataQuorum,
    registration: ControllerRegistration,
    home: &DataDir,
) -> Result<MetaIndex, StartError> {
    let accepted = accepted(quorum, Proposal::RegisterController { registration }, home).await;
    let accepted = accepted.map_err(|error| match error {
        // Nobody who knows better answered when its store was opened; by now somebody does.
        StartError::Refused(Refusal::ControllerRolledBack { .. }) => StartError::RolledBack,
        error => error,
    })?;
    let Outcome::ControllerRegistered { generation } = accepted.outcome else {
        return Err(StartError::Protocol(format!("registering gave {:?}", accepted.outcome)));
    };
    // The others believe no message of a lower one from now on.
    home.raise_generation_to(generation)?;
    info!("registered as a voter that holds no replicas");
    Ok(accepted.index)
}

/// Without links of its own it believes the quorum: whoever is registered and not fenced can be reached.
#[derive(Debug)]
pub(super) struct UnfencedBrokers(pub(super) Arc<MetaView>);

impl Reachability for UnfencedBrokers {
    fn is_reachable(&self, broker: BrokerId) -> bool {
        self.0.state().is_some_and(|state| state.broker(broker).is_some_and(|entry| !entry.fenced))
    }
}
