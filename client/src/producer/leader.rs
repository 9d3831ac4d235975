//! Finding the broker that leads a partition, and a stream to it.
//!
//! What is always true: a broker that neither takes nor refuses a connection holds nobody up for longer than
//! [`DOUBT_AFTER`] beyond the moment the others know a new leader.

use std::sync::Arc;
use std::time::Duration;

use fidelog_record::types::LeaderEpoch;

use crate::error::Leader;

use super::ProducerShared;
use super::link::Link;

/// After how much silence a leader is doubted: the others are asked whether somebody else leads by now. One that hangs,
/// or is cut off, says nothing, and its connection stays up.
pub(super) const DOUBT_AFTER: Duration = Duration::from_millis(500);

/// A stream to the leader.
pub(super) struct Found {
    pub(super) link: Arc<Link>,
    /// The epoch it leads in, as the routes tell.
    pub(super) epoch: LeaderEpoch,
}

enum Attempt {
    Linked(Arc<Link>),
    /// Somebody else leads by now.
    Moved(Leader),
}

/// The stream to whoever leads the partition; with `ask_routes` what is known of that is not believed.
pub(super) async fn find(
    shared: Arc<ProducerShared>,
    partition: u32,
    ask_routes: bool,
) -> Result<Found, String> {
    if ask_routes {
        refresh(&shared).await?;
    }
    let mut leader = known(&shared, partition);
    if leader.is_none() {
        refresh(&shared).await?;
        leader = known(&shared, partition);
    }
    let mut leader = leader.ok_or_else(|| format!("nobody leads partition {partition}"))?;
    loop {
        match link(&shared, partition, &leader).await? {
            Attempt::Linked(link) => return Ok(Found { link, epoch: leader.epoch }),
            Attempt::Moved(newer) => leader = newer,
        }
    }
}

async fn link(shared: &ProducerShared, partition: u32, leader: &Leader) -> Result<Attempt, String> {
    let mut linking = std::pin::pin!(shared.links.get(&shared.core, &leader.address, partition));
    loop {
        if let Ok(linked) = tokio::time::timeout(DOUBT_AFTER, &mut linking).await {
            return linked.map(Attempt::Linked).map_err(|error| error.to_string());
        }
        refresh(shared).await?;
        match known(shared, partition) {
            Some(newer) if newer.epoch > leader.epoch => return Ok(Attempt::Moved(newer)),
            _ => {}
        }
    }
}

async fn refresh(shared: &ProducerShared) -> Result<(), String> {
    shared.core.refresh_routes(&shared.topic).await.map(drop).map_err(|error| error.to_string())
}

fn known(shared: &ProducerShared, partition: u32) -> Option<Leader> {
    shared.core.routes.leader(&shared.topic, partition)
}
