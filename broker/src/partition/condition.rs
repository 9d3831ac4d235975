//! How a replica here is, and what of that the metadata does not say yet (N10, N11).
//!
//! Always true: what is to be told follows from the present condition and the entry seen, never from what was told
//! before; together with the entry's version, which the quorum compares, that keeps late reports from undoing later ones.

use fidelog_record::types::BrokerId;

use super::machine::Machine;
use super::shell::Partition;
use crate::meta::state::{PartitionEntry, ReplicaFailure};

/// How a replica is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Its log has stopped, or could not be opened.
    pub unusable: bool,
    /// Some of what it stores is damaged and not mended.
    pub damaged: bool,
    /// It is to lead in an epoch in which its log failed.
    pub wants_epoch: bool,
}

/// What the quorum is to be told of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Telling {
    /// This is wrong with it.
    Failed(ReplicaFailure),
    /// This is wrong with it no more.
    Repaired(ReplicaFailure),
}

impl Condition {
    /// Of a log that cannot be opened.
    pub const UNOPENED: Self = Self { unusable: true, damaged: false, wants_epoch: false };

    /// Of a replica that is hosted.
    #[must_use]
    pub fn of(partition: &Partition) -> Self {
        let of = |machine: &Machine<_>| Self {
            unusable: machine.is_stopped(),
            // Until it knows what was mended it does not know what that says of producers either (N17).
            damaged: machine.is_damaged(),
            wants_epoch: machine.wants_epoch(),
        };
        let told = partition.inspect(of);
        Self { damaged: told.damaged || partition.view().is_damaged(), ..told }
    }

    /// What `entry` does not say of the replica on `broker`, the most urgent first.
    #[must_use]
    pub fn to_tell(self, entry: &PartitionEntry, broker: BrokerId) -> Option<Telling> {
        // Nobody counts on one that was never made.
        entry.replica(broker).filter(|replica| replica.made)?;
        let said_unusable = entry.unusable.contains(&broker);
        let said_damaged = entry.damaged.contains(&broker);
        if self.unusable && !said_unusable {
            Some(Telling::Failed(ReplicaFailure::Unusable))
        } else if self.damaged && !said_damaged {
            Some(Telling::Failed(ReplicaFailure::Damaged))
        } else if !self.unusable && said_unusable {
            Some(Telling::Repaired(ReplicaFailure::Unusable))
        } else if !self.unusable && !self.damaged && said_damaged {
            // Of a log that is not open nobody knows that it is not damaged.
            Some(Telling::Repaired(ReplicaFailure::Damaged))
        } else if self.wants_epoch && !self.unusable && entry.leader == Some(broker) {
            Some(Telling::Failed(ReplicaFailure::Stopped))
        } else {
            None
        }
    }
}
