//! In one epoch one process acknowledges (D10, N1).

use std::collections::BTreeMap;

use fidelog_record::types::{LeaderEpoch, TopicPartition};

/// Who acknowledged in which epoch: a broker, and which of its processes.
#[derive(Debug, Default)]
pub(crate) struct Leaders(BTreeMap<(TopicPartition, LeaderEpoch), (usize, u64)>);

impl Leaders {
    pub(crate) fn acknowledged(&mut self, at: TopicPartition, epoch: LeaderEpoch, by: (usize, u64)) {
        let known = *self.0.entry((at, epoch)).or_insert(by);
        assert_eq!(known, by, "{at}: two processes acknowledge in epoch {epoch}: (broker, life)");
    }
}
