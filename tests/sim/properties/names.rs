//! (epoch, offset) names one batch for ever (DESIGN §3).

use std::collections::BTreeMap;

use fidelog_record::PlacedBatch;
use fidelog_record::types::{LeaderEpoch, Offset, TopicPartition};

/// What every name stands for: the checksums of a batch, which cover all of it.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<(TopicPartition, LeaderEpoch, Offset), (u32, u32)>);

impl Names {
    /// Some replica has synced this batch.
    pub(crate) fn held(&mut self, at: TopicPartition, batch: &PlacedBatch) {
        let header = batch.header();
        let sums = (header.head_crc, header.body_crc);
        let name = (at, header.leader_epoch, header.base_offset);
        let known = *self.0.entry(name).or_insert(sums);
        assert_eq!(
            known, sums,
            "{at}: two batches are named offset {} of epoch {}",
            header.base_offset, header.leader_epoch
        );
    }
}
