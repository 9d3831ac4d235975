//! What an accepted proposal gave its proposer.
//!
//! It tells numbers and ids only; what follows from them is believed when the watch shows it (N7).

use fidelog_record::types::{BrokerEpoch, BrokerId, Generation, TopicId};
use serde::{Deserialize, Serialize};

use super::{DataFound, Entry};

/// What an accepted proposal gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Registered.
    BrokerRegistered {
        /// The epoch of this process start.
        broker_epoch: BrokerEpoch,
        /// What the quorum makes of its data.
        data: DataFound,
        /// The generation registered for its directory. Above its own (rolled back), the broker raises its own to
        /// it, synced, before it does anything else; or its next start is found rolled back again.
        generation: Generation,
    },
    /// Registered as a controller.
    ControllerRegistered {
        /// The generation registered for its directory; as above.
        generation: Generation,
    },
    /// Created, and not open yet.
    TopicCreated {
        /// Its id.
        topic: TopicId,
    },
    /// A block of producer ids.
    ProducerIdsGranted {
        /// First id of the block.
        from: u64,
        /// End of the block, exclusive.
        to_end: u64,
    },
    /// Another broker leads. To a proposal of an in-sync set below the minimum this says that the set stays, and that
    /// the asker, whom so many have failed at once, is the likelier one to be cut off (N11): it waits longer and
    /// longer before it asks so again.
    LeaderMoved {
        /// Who leads from now on.
        leader: BrokerId,
    },
    /// Done, with nothing to tell.
    Done,
}

impl Outcome {
    /// What `entry` gives the one whose proposal it was.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        match entry {
            Entry::BrokerRegistered { broker, data } => Self::BrokerRegistered {
                broker_epoch: broker.epoch,
                data: *data,
                generation: broker.generation,
            },
            Entry::ControllerRegistered { controller } => {
                Self::ControllerRegistered { generation: controller.generation }
            }
            Entry::TopicCreated { topic, .. } => Self::TopicCreated { topic: topic.id },
            Entry::ProducerIdsGranted { from, to_end, .. } => {
                Self::ProducerIdsGranted { from: *from, to_end: *to_end }
            }
            Entry::LeaderMoved { leader, .. } => Self::LeaderMoved { leader: *leader },
            Entry::GenerationRaised { .. }
            | Entry::TopicDefaultsSet { .. }
            | Entry::BrokerFenced { .. }
            | Entry::BrokerUnfenced { .. }
            | Entry::BrokerDraining { .. }
            | Entry::BrokerResumed { .. }
            | Entry::ControllerGenerationRaised { .. }
            | Entry::ControllerRemoved { .. }
            | Entry::FeatureLevelRaised { .. }
            | Entry::MoveStarted { .. }
            | Entry::MoveCancelled { .. }
            | Entry::PartitionRecovered { .. }
            | Entry::PartitionsAdded { .. }
            | Entry::ReplicationFactorSet { .. }
            | Entry::ReplicasFailed { .. }
            | Entry::ReplicasRepaired { .. }
            | Entry::EndsReported { .. }
            | Entry::UncleanElected { .. }
            | Entry::ReplicasReady { .. }
            | Entry::ReplicasLost { .. }
            | Entry::IsrChanged { .. }
            | Entry::TopicAltered { .. }
            | Entry::TopicDeleted { .. }
            | Entry::ReplicaDeleted { .. } => Self::Done,
        }
    }
}
