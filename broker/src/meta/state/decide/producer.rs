//! Blocks of producer ids, each given away once.

use fidelog_record::types::BrokerId;

use super::super::{ClusterState, Entry, PRODUCER_IDS_PER_GRANT_MAX, Refusal};

impl ClusterState {
    pub(super) fn decide_producer_ids(&self, broker: BrokerId, count: u32) -> Result<Entry, Refusal> {
        // Any node asks, also one that holds no replicas and is registered as no broker.
        if !(1..=PRODUCER_IDS_PER_GRANT_MAX).contains(&count) {
            return Err(Refusal::ProducerIdCount { given: count });
        }
        let from = self.next_producer_id;
        let to_end = from.checked_add(u64::from(count)).ok_or(Refusal::ProducerIdsExhausted {})?;
        Ok(Entry::ProducerIdsGranted { broker, from, to_end })
    }
}
