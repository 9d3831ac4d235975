//! Tells the quorum how the replicas here are: which cannot be used, and which are damaged, so that others lead where
//! they can (N10, N11).
//!
//! The metadata is compared with the logs, again and again, so that nothing need be remembered: what was not accepted,
//! or was said by an earlier process, is said anew. One task says all of it, one thing after the other, each by the
//! version of the entry it saw: what arrives late, or twice, is refused and undoes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fidelog_record::types::{BrokerEpoch, BrokerId, MetaIndex, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

use crate::meta::quorum::MetadataQuorum;
use crate::meta::state::{ClusterState, PartitionEntry, Proposal, SeenPartition};
use crate::meta::view::MetaView;
use crate::partition::{Condition, Partitions, Telling};

/// How often is compared when nobody says that something has happened.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same after something was said: the view has moved since, or it was not accepted.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Said at once; the rest follows.
const PARTITIONS_MAX: usize = 1000;

/// What reporting works with.
pub(super) struct ReplicaReport {
    pub(super) broker: BrokerId,
    pub(super) broker_epoch: BrokerEpoch,
    pub(super) partitions: Arc<Partitions>,
    /// Logs that could not be opened.
    pub(super) unopened: Arc<Mutex<BTreeSet<TopicPartition>>>,
    pub(super) view: Arc<MetaView>,
    pub(super) quorum: Arc<dyn MetadataQuorum>,
    /// Something has happened to a log.
    pub(super) failures: Arc<Notify>,
}

/// Replicas here of which the metadata says that something is wrong.
#[derive(Default)]
struct Said {
    /// Of which state; looked at again when there is another.
    index: Option<MetaIndex>,
    partitions: Vec<TopicPartition>,
}

impl Said {
    fn see(&mut self, state: &ClusterState, broker: BrokerId) {
        if self.index.replace(state.index()) != Some(state.index()) {
            let wrong =
                |entry: &PartitionEntry| entry.unusable.contains(&broker) || entry.damaged.contains(&broker);
            self.partitions =
                state.partitions().filter(|(_, entry)| wrong(entry)).map(|(at, _)| at).collect();
        }
    }
}

impl ReplicaReport {
    /// Reports until the node stops; `told` hears when the quorum knows of all that has failed.
    pub(super) async fn run(self, told: watch::Sender<bool>) {
        let mut said = Said::default();
        loop {
            let differing = self.differing(&mut said);
            if !differing.keys().any(|telling| matches!(telling, Telling::Failed(_))) {
                told.send_replace(true);
            }
            let pause = if differing.is_empty() { LOOK_EVERY } else { LOOK_AGAIN };
            for (telling, partitions) in differing {
                self.say(telling, partitions).await;
            }
            // Stopping at any of these awaits is safe: the next start compares as well.
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.failures.notified() => {}
            }
        }
    }

    /// What the metadata does not say of replicas here; partitions in order.
    fn differing(&self, said: &mut Said) -> BTreeMap<Telling, Vec<SeenPartition>> {
        let mut differing: BTreeMap<Telling, Vec<SeenPartition>> = BTreeMap::new();
        let Some(state) = self.view.state() else { return differing };
        said.see(&state, self.broker);
        let hosted = said.partitions.iter().filter_map(|at| self.partitions.get(*at));
        let hosted = hosted.chain(self.partitions.unwell());
        let hosted = hosted.map(|partition| (partition.id(), Condition::of(&partition)));
        let unopened = self.unopened.lock().clone();
        let unopened = unopened.into_iter().map(|at| (at, Condition::UNOPENED));
        let all: BTreeMap<_, _> = hosted.chain(unopened).collect();
        for (partition, condition) in all {
            let Some(entry) = state.partition(partition) else { continue };
            let Some(telling) = condition.to_tell(entry, self.broker) else { continue };
            let told = differing.entry(telling).or_default();
            if told.len() < PARTITIONS_MAX {
                told.push(SeenPartition { partition, epoch: entry.epoch });
            }
        }
        differing
    }

    async fn say(&self, telling: Telling, partitions: Vec<SeenPartition>) {
        let (broker, broker_epoch, count) = (self.broker, self.broker_epoch, partitions.len());
        let proposal = match telling {
            Telling::Failed(reason) => Proposal::ReplicasFailed { broker, broker_epoch, partitions, reason },
            Telling::Repaired(reason) => {
                Proposal::ReplicasRepaired { broker, broker_epoch, partitions, reason }
            }
        };
        match (self.quorum.propose(proposal).await, telling) {
            (Ok(_), Telling::Failed(reason)) => {
                warn!(count, ?reason, "replicas have failed: others shall lead where they can");
            }
            (Ok(_), Telling::Repaired(reason)) => info!(count, ?reason, "replicas are well again"),
            (Err(error), _) => {
                debug!("the quorum did not take a report on replicas, it is said again: {error}");
            }
        }
    }
}
