//! Recovery of a partition by hand: only where nobody leads, and nobody else can acknowledge or hold everything (N9).

use fidelog_record::types::BrokerId;

use super::super::{ClusterState, Entry, KnownFor, PartitionEntry, RECOVERY_WAIT_MS, RecoveryPlan, Refusal};

impl ClusterState {
    /// `known`: what the decider has seen by its own monotonic clock; without it the wall clock alone tells, which is
    /// enough to show a plan.
    pub(super) fn decide_recovery(
        &self,
        (plan, hash): (&RecoveryPlan, u32),
        known: Option<&[KnownFor]>,
        now_ms: u64,
    ) -> Result<Entry, Refusal> {
        let (at, leader) = (plan.partition, plan.leader);
        if plan.hash() != hash {
            return Err(Refusal::OtherPlan { partition: at, given: hash, expected: plan.hash() });
        }
        let partition = self.open_partition(at)?;
        if partition.epoch != plan.partition_epoch {
            let (given, current) = (plan.partition_epoch, partition.epoch);
            return Err(Refusal::StalePartitionEpoch { partition: at, given, current });
        }
        if let Some(leader) = partition.leader {
            return Err(Refusal::RecoveryNotNeeded { partition: at, leader });
        }
        self.current(leader, plan.leader_broker_epoch)?;
        if !partition.has_replica(leader) {
            return Err(Refusal::NotAReplica { broker: leader, partition: at });
        }
        if !partition.is_usable(leader, &self.brokers) {
            let reason = "its replica is not made, its log cannot be used, or it is fenced".to_owned();
            return Err(Refusal::CannotLead { partition: at, broker: leader, reason });
        }
        for broker in partition.replicas.iter().map(|replica| replica.broker) {
            let silent_ms = self.silent_ms(partition, broker, known, now_ms)?;
            if silent_ms < RECOVERY_WAIT_MS {
                return Err(Refusal::RecoveryTooEarly { partition: at, broker, silent_ms });
            }
        }
        Ok(Entry::PartitionRecovered { partition: at, leader, cut_end: plan.cut_end })
    }

    /// For how long nobody who speaks for `broker` can have begun to acknowledge here: since it was fenced, or, where
    /// its present registration cannot have led, because it is no member or not believed, since that registration.
    fn silent_ms(
        &self,
        partition: &PartitionEntry,
        broker: BrokerId,
        known: Option<&[KnownFor]>,
        now_ms: u64,
    ) -> Result<u64, Refusal> {
        let entry = self.registered(broker)?;
        let never_led = !partition.is_member(broker) || partition.unproven.contains(&broker);
        let silent = |registered_ms: u64, fenced_ms: Option<u64>| {
            fenced_ms.filter(|_| entry.fenced).max(never_led.then_some(registered_ms)).unwrap_or(0)
        };
        let since = |at_ms| now_ms.saturating_sub(at_ms);
        let by_wall = silent(since(entry.registered_at_ms), Some(since(entry.fenced_at_ms)));
        let Some(known) = known else { return Ok(by_wall) };
        let seen = known.iter().find(|it| it.broker == broker && it.broker_epoch == entry.epoch);
        let by_sight = seen.map_or(0, |it| silent(it.registered_ms, it.fenced_ms));
        Ok(by_wall.min(by_sight))
    }
}
