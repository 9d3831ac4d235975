//! Committed deletes: the data goes, then that is confirmed (N14).
//!
//! Always true: each topic has one task of its own, which goes on until the disk has let go of everything: a disk that
//! refuses keeps one delete waiting, and nothing else. What a stop interrupts is found again at the next start.

use std::sync::Arc;
use std::time::Duration;

use fidelog_record::types::TopicId;
use tracing::{info, warn};

use super::hosting::Hosting;
use crate::meta::state::{ClusterState, Proposal};

/// How long a delete that was refused waits before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

impl Hosting {
    /// Begins to remove what this broker holds of a deleted topic, unless that is under way.
    pub(super) fn remove_deleted(self: &Arc<Self>, state: &ClusterState, topic: TopicId) {
        let Some(tombstone) = state.tombstone(topic) else { return };
        if !tombstone.pending.contains(&self.me) || !self.removing.lock().insert(topic) {
            return;
        }
        let (this, name) = (Arc::clone(self), tombstone.name.to_string());
        self.tracker.spawn(async move {
            // Stopping here is safe: the next start finds the tombstone again.
            if this.stop.run_until_cancelled(this.remove(topic, &name)).await.is_some() {
                info!(%topic, name, "deleted");
                let (broker, broker_epoch) = (this.me, this.epoch);
                this.propose(Proposal::ReplicaDeleted { broker, broker_epoch, topic });
            }
            this.removing.lock().remove(&topic);
        });
    }

    async fn remove(&self, topic: TopicId, name: &str) {
        for partition in self.partitions.of_topic(topic) {
            self.positions.unhost(partition.id());
            partition.stopping();
        }
        let mut told = None;
        while let Err(why) = self.try_to_remove(topic).await {
            if told.as_ref() != Some(&why) {
                warn!(%topic, name, "its data cannot be deleted yet, trying again: {why}");
                told = Some(why);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_to_remove(&self, topic: TopicId) -> Result<(), String> {
        // All at once: what one flush deletes shares one write.
        let partitions = self.partitions.of_topic(topic);
        let closed =
            futures::future::join_all(partitions.iter().map(|partition| partition.close(true))).await;
        for (partition, closed) in partitions.iter().zip(closed) {
            closed.map_err(|failure| failure.to_string())?;
            self.partitions.remove(partition.id());
        }
        // Also what was never hosted by this process: the delete may have come while it was down.
        let home = Arc::clone(&self.home);
        let removed = tokio::task::spawn_blocking(move || home.remove_topic(topic)).await;
        removed.map_err(|panicked| panicked.to_string())?.map_err(|error| error.to_string())
    }
}
