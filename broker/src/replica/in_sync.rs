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

impl Proposed {
    /// Each member by its life (N8): whoever is added by the one whose report justified it, whoever stays as it is
    /// `registered`; none when one of them is not.
    pub fn lives(
        &self,
        me: Incarnate,
        registered: impl Fn(BrokerId) -> Option<Incarnate>,
    ) -> Option<Vec<Incarnate>> {
        let added = |broker: BrokerId| self.added.iter().find(|added| added.broker == broker).copied();
        let life = |broker: BrokerId| {
            if broker == me.broker { Some(me) } else { added(broker).or_else(|| registered(broker)) }
        };
        self.isr.iter().map(|&broker| life(broker)).collect()
    }
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
    use fidelog_record::types::{BrokerEpoch, DirectoryId};

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

    /// A follower reported on one of its streams, restarted, and was known by its new life on the other and in the
    /// metadata before the proposal went out: the new life was added on the word of the old one.
    #[test]
    fn n8_whoever_is_added_is_named_by_the_life_that_reported() {
        let life = |broker: u32, epoch| Incarnate {
            broker: BrokerId(broker),
            epoch: BrokerEpoch(epoch),
            directory: DirectoryId::NIL,
        };
        let proposed =
            Proposed { partition_epoch: PartitionEpoch(4), isr: set(&[1, 2, 3]), added: vec![life(3, 5)] };
        let lives = proposed.lives(life(1, 9), |broker| Some(life(broker.0, 7))).unwrap();
        let named: Vec<_> = lives.iter().map(|it| (it.broker.0, it.epoch.0)).collect();
        assert_eq!(named, [(1, 9), (2, 7), (3, 5)]);
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
