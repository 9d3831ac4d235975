//! Replicas that a committed change took away from this broker, or that were given up because they cannot be mended:
//! they stop, and their data goes (N15).
//!
//! Always true: nothing is deleted but what an entry of the metadata shows to be held by others only; a replica that
//! comes back meanwhile is opened when its former data is gone. What a stop interrupts is found again at the next start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fidelog_record::types::TopicPartition;
use tracing::{info, warn};

use super::hosting::Hosting;
use crate::meta::state::{Changes, ClusterState, ReplicaEntry};

/// How long a removal that was refused waits before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

impl Hosting {
    /// Begins to remove what this broker holds and is to hold no more.
    pub(super) fn leave(self: &Arc<Self>, state: &ClusterState, changes: &Changes) {
        let gone = |at: &TopicPartition| {
            let Some(entry) = state.partition(*at) else { return false };
            let is_given_up = |replica: &ReplicaEntry| !replica.made && self.refilling.lock().contains(at);
            let nobody_counts_on_it = entry.replica(self.me).is_none_or(is_given_up);
            nobody_counts_on_it && (self.partitions.get(*at).is_some() || self.home.holds(*at))
        };
        for at in changes.partitions.iter().copied().filter(gone).collect::<BTreeSet<_>>() {
            if !self.leaving.lock().insert(at) {
                continue;
            }
            let this = Arc::clone(self);
            self.tracker.spawn(async move {
                // Stopping here is safe: the next start finds the data again.
                if this.stop.run_until_cancelled(this.remove_replica(at)).await.is_some() {
                    info!(partition = %at, "this broker holds it no more");
                }
                this.refilling.lock().remove(&at);
                this.leaving.lock().remove(&at);
            });
        }
    }

    async fn remove_replica(&self, at: TopicPartition) {
        self.positions.unhost(at);
        if let Some(partition) = self.partitions.get(at) {
            partition.stopping();
        }
        let mut told = None;
        while let Err(why) = self.try_to_remove_replica(at).await {
            if told.as_ref() != Some(&why) {
                warn!(partition = %at, "its data cannot be deleted yet, trying again: {why}");
                told = Some(why);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_to_remove_replica(&self, at: TopicPartition) -> Result<(), String> {
        if let Some(partition) = self.partitions.get(at) {
            partition.close(true).await.map_err(|failure| failure.to_string())?;
            self.partitions.remove(at);
        }
        let home = Arc::clone(&self.home);
        let removed = tokio::task::spawn_blocking(move || home.remove_partition(at)).await;
        removed.map_err(|panicked| panicked.to_string())?.map_err(|error| error.to_string())
    }
}
