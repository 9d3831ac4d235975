//! Fences, their end, and partitions whose members all restarted uncleanly (N10, N12).

use std::collections::{BTreeMap, BTreeSet};

use fidelog_record::types::{BrokerEpoch, BrokerId, TopicPartition};

use super::super::{ClusterState, Entry, FenceReason, OfflineReason, REPORTED_ENDS_MAX, Refusal, ReplicaEnd};

impl ClusterState {
    pub(super) fn decide_fence(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        reason: FenceReason,
        now_ms: u64,
    ) -> Result<Entry, Refusal> {
        let known = self.current(broker, epoch)?;
        // One that is fenced for a while may still be fenced for good: its process knows best.
        let is_final = known.fence_reason.is_some_and(FenceReason::is_for_good);
        if known.fenced && (is_final || !reason.is_for_good()) {
            return Err(Refusal::FencedAlready { broker, reason: known.fence_reason });
        }
        let fenced_at_ms = if known.fenced { known.fenced_at_ms } else { now_ms };
        Ok(Entry::BrokerFenced { broker, reason, fenced_at_ms })
    }

    pub(super) fn decide_unfence(&self, broker: BrokerId, epoch: BrokerEpoch) -> Result<Entry, Refusal> {
        let known = self.current(broker, epoch)?;
        if !known.fenced {
            return Err(Refusal::NotFenced { broker });
        }
        match known.fence_reason.filter(|reason| reason.is_for_good()) {
            Some(reason) => Err(Refusal::FencedForGood { broker, reason }),
            None => Ok(Entry::BrokerUnfenced { broker }),
        }
    }

    pub(super) fn decide_ends(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
        ends: &[ReplicaEnd],
    ) -> Result<Entry, Refusal> {
        self.current(broker, epoch)?;
        let Some(first) = ends.first() else {
            return Err(Refusal::NothingNamed { what: "ends".to_owned() });
        };
        if ends.len() > REPORTED_ENDS_MAX {
            let (what, given) = ("ends".to_owned(), ends.len());
            return Err(Refusal::TooManyNamed { what, given, max: REPORTED_ENDS_MAX });
        }
        let waits = |at: TopicPartition| {
            self.partition(at).is_some_and(|it| {
                it.is_member(broker) && matches!(it.offline, Some(OfflineReason::RestartedUncleanly { .. }))
            })
        };
        // Of two ends of one partition the later counts, and the list stays as short as what exists.
        let ends: BTreeMap<TopicPartition, ReplicaEnd> =
            ends.iter().filter(|end| waits(end.partition)).map(|end| (end.partition, *end)).collect();
        if ends.is_empty() {
            return Err(Refusal::NotWaitingForEnds { partition: first.partition });
        }
        Ok(Entry::EndsReported { broker, broker_epoch: epoch, ends: ends.into_values().collect() })
    }

    pub(super) fn decide_unclean_election(&self, partitions: &[TopicPartition]) -> Result<Entry, Refusal> {
        let Some(&first) = partitions.first() else {
            return Err(Refusal::NothingNamed { what: "partitions".to_owned() });
        };
        let waits = |at: &TopicPartition| {
            self.partition(*at).is_some_and(|entry| !entry.reports(&self.brokers).is_empty())
        };
        // What has healed since is passed over: it must not keep the others waiting.
        let named: BTreeSet<TopicPartition> = partitions.iter().copied().filter(waits).collect();
        if named.is_empty() {
            return Err(Refusal::NotWaitingForEnds { partition: first });
        }
        Ok(Entry::UncleanElected { partitions: named.into_iter().collect() })
    }
}
