//! The internal topic that holds consumer positions: made once, by whichever controller is first, as soon as
//! enough brokers have registered.

use std::sync::Arc;

use fidelog_record::types::TopicName;
use tracing::{info, warn};

use super::config::NodeConfig;
use crate::group::{POSITIONS_PARTITIONS, POSITIONS_TOPIC};
use crate::meta::quorum::{MetadataQuorum, ProposeError};
use crate::meta::state::{ClusterState, Proposal, Refusal, TopicConfig};
use crate::meta::view::MetaView;

/// Sees to it that the topic exists; returns when it does.
pub(super) async fn ensure(config: &NodeConfig, view: &Arc<MetaView>, quorum: &dyn MetadataQuorum) {
    let mut subscription = view.subscribe();
    loop {
        // Stopping here is safe: nothing is under way.
        let (state, _) = subscription.next().await;
        if state.topic_by_name(POSITIONS_TOPIC).is_some() {
            return;
        }
        let Some(replicas) = replication_factor(config, &state) else { continue };
        let minimum = min_insync_replicas(config, replicas);
        let proposal = Proposal::CreateTopic {
            name: TopicName::internal(POSITIONS_TOPIC).expect("a constant that is a valid name"),
            partition_count: Some(POSITIONS_PARTITIONS),
            replication_factor: Some(replicas),
            config: TopicConfig { min_insync_replicas: Some(minimum), ..TopicConfig::default() },
            allow_unreplicated: minimum == 1,
            internal: true,
            assignment: None,
        };
        match quorum.propose(proposal).await {
            Ok(_) => info!(replicas, "creating {POSITIONS_TOPIC}"),
            // Every controller sees to it; one of them was first.
            Err(ProposeError::Refused { refusal: Refusal::TopicExists { .. } }) => {}
            Err(ProposeError::Refused { refusal }) => warn!("{POSITIONS_TOPIC} cannot be created: {refusal}"),
            Err(error) => warn!("{POSITIONS_TOPIC} is not created yet: {error}"),
        }
    }
}

/// 3 replicas; 2 on two brokers; 1 only on one, where that is allowed. `None` while brokers are missing.
fn replication_factor(config: &NodeConfig, state: &ClusterState) -> Option<u16> {
    let brokers = config.brokers.iter().filter(|it| it.role.is_broker()).count();
    let wanted = u16::try_from(brokers.min(3)).expect("at most 3");
    if wanted == 1 && !config.allow_unreplicated {
        return None;
    }
    (state.brokers().count() >= usize::from(wanted)).then_some(wanted)
}

/// 2, unless there are at most two brokers and going on with one is what was asked for (N19).
fn min_insync_replicas(config: &NodeConfig, replicas: u16) -> u16 {
    if config.allow_unreplicated && replicas <= 2 { 1 } else { replicas.min(2) }
}
