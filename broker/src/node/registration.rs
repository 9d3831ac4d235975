//! Registers this process start with the quorum (N1, N13).
//!
//! ```text
//!   as found --propose--> not yet: a former process, no quorum      --> again
//!                         believed: GenerationNotRaised             --> raised and synced, proposed as raised
//!                         rolled back: taken at once                --> raised beyond all its clones
//! ```
//!
//! Always true: what was found is raised only once the quorum believes it. Starts that end before that leave a rolled-back
//! directory as low as they found it, however many they are. Two copies of one generation that start together may both be
//! believed; the one that registers later looks intact if its start ends before the other has registered the next one.

use std::time::Duration;

use fidelog_log::env::Entropy;
use fidelog_log::{DataDir, DiskError};
use fidelog_record::types::{BrokerEpoch, MetaIndex};
use tracing::{info, warn};

use super::config::NodeConfig;
use super::start_error::StartError;
use crate::meta::quorum::{Accepted, MetadataQuorum, ProposeError};
use crate::meta::state::{DataFound, FEATURE_LEVEL, Outcome, Proposal, Refusal, Registration, StartId};

const PAUSE: Duration = Duration::from_millis(250);

/// What registering gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registered {
    pub(super) epoch: BrokerEpoch,
    /// The watch must pass this before anything is led or followed.
    pub(super) index: MetaIndex,
}

/// What this process start says of itself: its generation is the one found.
pub(super) fn registration(config: &NodeConfig, home: &DataDir, entropy: &dyn Entropy) -> Registration {
    let found = home.found();
    let identity = home.identity();
    Registration {
        cluster: config.cluster,
        id: config.broker,
        start: StartId::from_random(entropy.id_bytes()),
        directory: identity.directory_id,
        generation_found: found.generation,
        generation_new: found.generation,
        clean: found.clean,
        client_address: config.advertise.clone(),
        peer_address: config.peer_advertise.clone(),
        rack: config.rack.clone(),
        feature_level: FEATURE_LEVEL,
        incarnation_seen: identity.quorum_incarnation,
        index_seen: identity.meta_index_seen,
        former_session_alive: false,
        replaces: None,
    }
}

/// Registers, for as long as it takes to reach the quorum.
pub(super) async fn register(
    quorum: &dyn MetadataQuorum,
    registration: Registration,
    home: &DataDir,
    is_deaf_if_rolled_back: bool,
) -> Result<Registered, StartError> {
    let accepted = accepted(quorum, Proposal::RegisterBroker { registration }, home).await?;
    let Outcome::BrokerRegistered { broker_epoch, data, generation } = accepted.outcome else {
        return Err(StartError::Protocol(format!("registering gave {:?}", accepted.outcome)));
    };
    if data == DataFound::RolledBack && is_deaf_if_rolled_back {
        // Before the generation is raised, so that the next start finds it low as well, and begins anew.
        return Err(StartError::RolledBack);
    }
    // A directory that was rolled back must not be found so again.
    home.raise_generation_to(generation)?;
    info!(epoch = %broker_epoch, ?data, "registered");
    Ok(Registered { epoch: broker_epoch, index: accepted.index })
}

/// What the quorum made of a registration, for as long as it takes to reach it; raised once what was found is believed.
pub(super) async fn accepted(
    quorum: &dyn MetadataQuorum,
    mut proposal: Proposal,
    home: &DataDir,
) -> Result<Accepted, StartError> {
    let mut told = false;
    loop {
        match quorum.propose(proposal.clone()).await {
            Ok(accepted) => return Ok(accepted),
            // The process before this one has not been missed yet; its session ends with its connection.
            Err(ProposeError::Refused { refusal: Refusal::FormerSessionAlive { .. } }) => {
                info!("waiting for the session of the former process of this broker to end");
            }
            // It is this process that says so, now, and no message of a former one.
            Err(ProposeError::Refused { refusal: Refusal::OtherDataRegistered { registered, .. } }) => {
                if let Proposal::RegisterBroker { registration } = &mut proposal {
                    registration.replaces = Some(registered);
                }
                continue;
            }
            Err(ProposeError::Refused { refusal: Refusal::GenerationNotRaised { .. } }) => {
                raise(&mut proposal, home)?;
                continue;
            }
            Err(ProposeError::Refused { refusal }) => return Err(StartError::Refused(refusal)),
            Err(error) => {
                if !told {
                    warn!("{error}; trying again until it can be reached");
                    told = true;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Raised and synced before it is proposed.
fn raise(proposal: &mut Proposal, home: &DataDir) -> Result<(), DiskError> {
    let raised = home.raise_generation()?;
    match proposal {
        Proposal::RegisterBroker { registration } => registration.generation_new = raised,
        Proposal::RegisterController { registration } => registration.generation_new = raised,
        other => unreachable!("no registration: {other:?}"),
    }
    Ok(())
}
