//! Where a broker's logs end: told to the quorum when nobody is believed to hold all that was acknowledged (N10).
//!
//! Always true: an end is told only of an open log, under the present registration, and only while the metadata waits
//! for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use fidelog_record::types::{LeaderEpoch, Offset, TopicPartition};

use super::hosting::Hosting;
use crate::meta::state::{
    ClusterState, OfflineReason, PartitionEntry, Proposal, REPORTED_ENDS_MAX, ReplicaEnd,
};

impl Hosting {
    /// Tells the ends of those of `touched` that wait for this broker's.
    pub(super) fn tell_ends(self: &Arc<Self>, state: &ClusterState, touched: &BTreeSet<TopicPartition>) {
        let waiting = touched.iter().filter(|at| state.partition(**at).is_some_and(|it| self.is_asked(it)));
        let ends: Vec<ReplicaEnd> = waiting.filter_map(|at| self.end_of(*at)).collect();
        for ends in ends.chunks(REPORTED_ENDS_MAX) {
            let (broker, broker_epoch) = (self.me, self.epoch);
            self.propose(Proposal::ReportEnds { broker, broker_epoch, ends: ends.to_vec() });
        }
    }

    fn is_asked(&self, entry: &PartitionEntry) -> bool {
        let Some(OfflineReason::RestartedUncleanly { reports, .. }) = &entry.offline else { return false };
        let told = reports.iter().any(|it| it.broker == self.me && it.broker_epoch == self.epoch);
        entry.is_member(self.me) && !told
    }

    fn end_of(&self, at: TopicPartition) -> Option<ReplicaEnd> {
        let view = self.partitions.get(at)?.view();
        let durable_end = view.durable_end();
        let last = durable_end.0.checked_sub(1).map(Offset);
        // What was refilled from a later start may know no batch below its end: then the end alone speaks.
        let last_epoch = last.and_then(|last| view.epoch_at(last)).unwrap_or(LeaderEpoch(0));
        Some(ReplicaEnd { partition: at, last_epoch, durable_end })
    }
}
