//! Metadata that goes on from one voter's copy after the quorum lost its majority for good (DESIGN §7).
//!
//! ```text
//!   the lost quorum   1 .. index of the copy | decided later, known to brokers at most
//!   the rebuilt one   1 .. the same ........ | index + 1 .. under an incarnation of its own
//! ```
//!
//! Always true: whoever saw no more of the lost quorum than the copy holds goes on; whoever saw more is told apart, as
//! METADATA_LOST, for ever. Nothing that counts up is given twice, whatever was decided and lost: epochs, broker epochs,
//! producer ids and versions leap. Nobody leads a partition before each of its replicas has told where it ends, was proven
//! lost, or an operator has decided: the copy may not know who was in sync last, and the greatest (epoch, end) of all
//! replicas holds all that was acknowledged on any of them.

use std::sync::Arc;

use fidelog_record::types::{BrokerEpoch, Incarnation, LeaderEpoch, MetaIndex, PartitionEpoch};
use serde::{Deserialize, Serialize};

use super::{ClusterState, FenceReason, OfflineReason, PartitionEntry};

/// Leaderships of one partition that may have been decided and lost.
const LEADER_EPOCH_LEAP: u32 = 1 << 20;
/// The same of everything else that counts up.
const LEAP: u64 = 1 << 32;

/// A quorum that another was rebuilt from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ancestor {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The last of its entries that was taken over.
    pub index: MetaIndex,
}

impl Ancestor {
    /// Whether all that was seen of `incarnation`, up to `index`, was taken over from one of `ancestors`.
    #[must_use]
    pub fn any_covers(ancestors: &[Self], incarnation: Incarnation, index: MetaIndex) -> bool {
        ancestors.iter().any(|it| it.incarnation == incarnation && index <= it.index)
    }
}

impl ClusterState {
    /// Whom this quorum was rebuilt from, in order.
    #[must_use]
    pub fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors
    }

    /// This state, gone on with under a new incarnation; see the file. `now_ms`: Unix milliseconds.
    #[must_use]
    pub fn rebuilt(&self, incarnation: Incarnation, now_ms: u64) -> Self {
        let mut next = self.clone();
        next.ancestors.push(Ancestor { incarnation: self.incarnation, index: self.index });
        next.incarnation = incarnation;
        next.index = self.index.next();
        next.last_broker_epoch = BrokerEpoch(self.last_broker_epoch.0.saturating_add(LEAP));
        next.next_producer_id = self.next_producer_id.saturating_add(LEAP);
        for broker in next.brokers.values_mut().map(Arc::make_mut).filter(|it| !it.fenced) {
            broker.fenced = true;
            broker.fence_reason = Some(FenceReason::HeartbeatsMissing);
            broker.fenced_at_ms = now_ms;
        }
        for list in next.partitions.values_mut().map(Arc::make_mut) {
            list.iter_mut().map(Arc::make_mut).for_each(PartitionEntry::rebuild);
        }
        next
    }
}

impl PartitionEntry {
    fn rebuild(&mut self) {
        if !self.is_open() {
            return;
        }
        let others = self.replicas.iter().filter(|it| it.made && !self.is_member(it.broker));
        let others: Vec<_> = others.map(|it| it.broker).collect();
        self.eligible.extend(others);
        self.unproven = self.members().collect();
        self.leader = None;
        self.leader_epoch = LeaderEpoch(self.leader_epoch.0.saturating_add(LEADER_EPOCH_LEAP));
        self.epoch = PartitionEpoch(self.epoch.0.saturating_add(LEAP));
        if !self.unproven.is_empty() {
            self.awaits_all = true;
            self.offline = Some(OfflineReason::RestartedUncleanly { since_ms: 0, reports: Vec::new() });
        }
    }
}

#[cfg(test)]
mod tests {
    use fidelog_record::types::{BrokerId, Offset};

    use super::super::fixture::{
        at, directory, done, next_start, opened, refused, register, registration, start,
    };
    use super::super::{Proposal, Refusal, Registration, ReplicaEnd};
    use super::*;

    const OTHER: Incarnation = Incarnation::from_bytes([0xee; 16]);

    fn leader(state: &ClusterState) -> Option<u32> {
        state.partition(at(0xaa, 0)).unwrap().leader.map(|it| it.0)
    }

    /// Its next start, on the data it had.
    fn back(state: &mut ClusterState, id: u32) {
        let ancestor = state.ancestors()[0];
        let (incarnation_seen, index_seen) = (Some(ancestor.incarnation), ancestor.index);
        start(state, Registration { incarnation_seen, index_seen, ..next_start(id, 2) });
    }

    fn tell(state: &mut ClusterState, id: u32, last_epoch: u32, durable_end: u64) {
        let end = ReplicaEnd {
            partition: at(0xaa, 0),
            last_epoch: LeaderEpoch(last_epoch),
            durable_end: Offset(durable_end),
        };
        let broker_epoch = state.broker(BrokerId(id)).unwrap().epoch;
        done(state, &Proposal::ReportEnds { broker: BrokerId(id), broker_epoch, ends: vec![end] });
    }

    #[test]
    fn the_greatest_of_all_replicas_leads_and_nobody_before_all_have_told() {
        let before = opened(3);
        let mut state = before.rebuilt(OTHER, 1);
        assert_eq!(leader(&state), None);
        for id in [1, 2] {
            back(&mut state, id);
        }
        tell(&mut state, 1, 1, 100);
        tell(&mut state, 2, 7, 90);
        let elect = Proposal::ElectUnclean { partitions: vec![at(0xaa, 0)] };
        done(&mut state, &elect);
        assert_eq!(leader(&state), None, "the third may hold what the copy does not know of");
        back(&mut state, 3);
        tell(&mut state, 3, 1, 200);
        assert_eq!(leader(&state), Some(2), "the last epoch counts before the end");
        let (was, is) = (before.partition(at(0xaa, 0)).unwrap(), state.partition(at(0xaa, 0)).unwrap());
        assert!(is.leader_epoch.0 > was.leader_epoch.0 + LEADER_EPOCH_LEAP && !is.awaits_all, "{is:?}");
    }

    #[test]
    fn who_is_proven_lost_is_not_waited_for() {
        let mut state = opened(3).rebuilt(OTHER, 1);
        back(&mut state, 1);
        assert_eq!(leader(&state), None);
        for id in [2, 3] {
            start(&mut state, Registration { directory: directory(0x70 + id), ..registration(id) });
        }
        assert_eq!(leader(&state), Some(1), "it alone has what there is");
    }

    #[test]
    fn who_saw_more_than_was_taken_over_is_told_apart_for_ever() {
        let before = opened(3);
        let mut state = before.rebuilt(OTHER, 1);
        assert!(state.next_producer_id() > before.next_producer_id());
        let seen = (Some(before.incarnation()), before.index().next());
        let mut newer = Registration { incarnation_seen: seen.0, index_seen: seen.1, ..next_start(2, 2) };
        for count in 1..5 {
            let refusal = refused(&state, &register(newer.clone()));
            assert!(matches!(refusal, Refusal::MetadataLost { .. }), "{refusal}");
            done(&mut state, &Proposal::GrantProducerIds { broker: BrokerId(1), count });
        }
        newer.index_seen = before.index();
        start(&mut state, newer);
    }

    #[test]
    fn a_rebuilt_state_is_stored_and_rebuilt_again() {
        let third = Incarnation::from_bytes([0xdd; 16]);
        let before = opened(3);
        let state = before.rebuilt(OTHER, 1).rebuilt(third, 2);
        assert_eq!(ClusterState::from_snapshot(state.to_snapshot()).unwrap(), state);
        let covers = |index| Ancestor::any_covers(state.ancestors(), before.incarnation(), index);
        assert!(covers(before.index()) && !covers(before.index().next()));
        assert!(Ancestor::any_covers(state.ancestors(), OTHER, before.index().next()));
    }
}
