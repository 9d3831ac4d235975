//! Tells the quorum which replicas here are damaged, and which are not any more: a damaged one leads only where nobody
//! undamaged lives (N10).
//!
//! The metadata is compared with the logs, again and again, so that nothing need be remembered: what was not accepted,
//! or was said by an earlier process, is said anew.

use std::sync::Arc;
use std::time::Duration;

use fidelog_record::types::{BrokerEpoch, BrokerId, TopicPartition};
use tracing::{debug, info, warn};

use super::housekeeping::every;
use crate::meta::quorum::MetadataQuorum;
use crate::meta::state::{PartitionEntry, Proposal, ReplicaFailure};
use crate::meta::view::MetaView;
use crate::partition::Partitions;

/// How often is compared.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Said at once; the rest follows.
const PARTITIONS_MAX: usize = 1000;

/// What reporting works with.
pub(super) struct DamageReport {
    pub(super) broker: BrokerId,
    pub(super) broker_epoch: BrokerEpoch,
    pub(super) partitions: Arc<Partitions>,
    pub(super) view: Arc<MetaView>,
    pub(super) quorum: Arc<dyn MetadataQuorum>,
}

impl DamageReport {
    /// Reports until the node stops.
    pub(super) async fn run(self) {
        let mut interval = every(LOOK_EVERY);
        loop {
            // Stopping at any of these awaits is safe: the next start compares as well.
            interval.tick().await;
            let (broker, broker_epoch) = (self.broker, self.broker_epoch);
            let damaged = self.differing(|damaged, entry| damaged && !entry.damaged.contains(&broker));
            if !damaged.is_empty() {
                warn!(count = damaged.len(), "replicas are damaged: others shall lead where they can");
                let (partitions, reason) = (damaged, ReplicaFailure::Damaged);
                self.say(Proposal::ReplicasFailed { broker, broker_epoch, partitions, reason }).await;
            }
            // Who also says that its log cannot be used takes that back by itself, and this with it.
            let only_damaged =
                |entry: &PartitionEntry| entry.damaged.contains(&broker) && !entry.unusable.contains(&broker);
            let mended = self.differing(|damaged, entry| !damaged && only_damaged(entry));
            if !mended.is_empty() {
                info!(count = mended.len(), "replicas are not damaged any more");
                let partitions = mended;
                self.say(Proposal::ReplicasRepaired { broker, broker_epoch, partitions }).await;
            }
        }
    }

    /// Replicas here of which the metadata says otherwise, in order.
    fn differing(&self, differs: impl Fn(bool, &PartitionEntry) -> bool) -> Vec<TopicPartition> {
        let Some(state) = self.view.state() else { return Vec::new() };
        let all = self.partitions.all();
        let differing = all.iter().filter(|partition| {
            let entry = state.partition(partition.id());
            let made = entry.filter(|entry| entry.replica(self.broker).is_some_and(|replica| replica.made));
            made.is_some_and(|entry| differs(partition.view().is_damaged(), entry))
        });
        let mut differing: Vec<_> = differing.map(|partition| partition.id()).collect();
        differing.sort_unstable();
        differing.truncate(PARTITIONS_MAX);
        differing
    }

    async fn say(&self, proposal: Proposal) {
        if let Err(error) = self.quorum.propose(proposal).await {
            debug!("the quorum did not take a report of damage, it is said again: {error}");
        }
    }
}
