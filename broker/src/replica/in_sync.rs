//! Which replicas an acknowledgement waits for, and how that set changes (N7).
//!
//! Only the watch moves the committed set. From the moment a change is sent until the watch shows a later partition
//! epoch, the leader waits for the union of the committed set and every set sent since the last epoch seen: the
//! quorum may have accepted any of them. The minimum is counted on the committed one.

use std::collections::BTreeSet;

use fidelog_log::env::planted::{Planted, is_planted};
use fidelog_record::types::{BrokerId, PartitionEpoch};

use super::followers::Incarnate;

/// A change the leader wants, to be sent to the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The entry it builds on; the quorum refuses it on any other.
    pub partition_epoch: PartitionEpoch,
    /// The set it wants, the leader included.
    pub isr: BTreeSet<BrokerId>,
    /// The lives of those it adds: the quorum adds no other (N8).
    pub added: Vec<Incarnate>,
}

/// The in-sync set of a partition, from its leader's view.
#[derive(Clone, Debug)]
pub struct InSync {
    partition_epoch: PartitionEpoch,
    committed: BTreeSet<BrokerId>,
    sent: Vec<BTreeSet<BrokerId>>,
}

impl InSync {
    /// The set the watch shows.
    #[must_use]
    pub fn new(partition_epoch: PartitionEpoch, committed: BTreeSet<BrokerId>) -> Self {
        Self { partition_epoch, committed, sent: Vec::new() }
    }

    /// The watch shows this entry. Only a later partition epoch settles what was sent.
    pub fn seen(&mut self, partition_epoch: PartitionEpoch, committed: BTreeSet<BrokerId>) {
        if partition_epoch > self.partition_epoch {
            self.partition_epoch = partition_epoch;
            self.committed = committed;
            self.sent.clear();
        }
    }

    /// The committed set.
    #[must_use]
    pub fn committed(&self) -> &BTreeSet<BrokerId> {
        &self.committed
    }

    /// The entry's version.
    #[must_use]
    pub fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
    }

    /// Everyone an acknowledgement waits for.
    pub fn waited_for(&self) -> impl Iterator<Item = BrokerId> + '_ {
        let waits = !is_planted(Planted::UnionNotWaitedFor);
        let more = self.sent.iter().flatten().filter(move |id| waits && !self.committed.contains(id));
        self.committed.iter().copied().chain(more.copied())
    }

    /// Whether a change is on its way.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Takes this for the committed set, whatever the quorum says: only ever planted.
    pub fn settle_alone(&mut self, committed: BTreeSet<BrokerId>) {
        self.committed = committed;
        self.sent.clear();
    }

    /// Notes that `isr`, which adds the lives `added`, is about to be sent; must be called *before* it is.
    pub fn propose(&mut self, isr: BTreeSet<BrokerId>, added: Vec<Incarnate>) -> Proposed {
        if !self.sent.contains(&isr) {
            self.sent.push(isr.clone());
        }
        Proposed { partition_epoch: self.partition_epoch, isr, added }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[u32]) -> BTreeSet<BrokerId> {
        ids.iter().map(|&id| BrokerId(id)).collect()
    }

    #[test]
    fn a_growth_is_waited_for_from_the_moment_it_is_sent_until_a_later_epoch_is_seen() {
        let mut in_sync = InSync::new(PartitionEpoch(3), set(&[1, 2]));
        in_sync.propose(set(&[1, 2, 3]), Vec::new());
        assert_eq!(in_sync.waited_for().collect::<BTreeSet<_>>(), set(&[1, 2, 3]));
        in_sync.seen(PartitionEpoch(3), set(&[1, 2]));
        assert_eq!(
            in_sync.waited_for().collect::<BTreeSet<_>>(),
            set(&[1, 2, 3]),
            "the same epoch settles nothing"
        );
        in_sync.seen(PartitionEpoch(4), set(&[1, 2]));
        assert_eq!(in_sync.waited_for().collect::<BTreeSet<_>>(), set(&[1, 2]));
    }

    #[test]
    fn a_shrink_goes_on_waiting_for_the_laggard_until_the_watch_shows_it_gone() {
        let mut in_sync = InSync::new(PartitionEpoch(3), set(&[1, 2, 3]));
        in_sync.propose(set(&[1, 2]), Vec::new());
        assert_eq!(in_sync.waited_for().collect::<BTreeSet<_>>(), set(&[1, 2, 3]));
        in_sync.seen(PartitionEpoch(4), set(&[1, 2]));
        assert_eq!(in_sync.waited_for().collect::<BTreeSet<_>>(), set(&[1, 2]));
    }
}
