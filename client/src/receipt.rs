//! The receipt of one record: proof of what an acknowledgement stands for (G2).

use std::sync::Arc;
use std::time::Instant;

use fidelog_proto::v1;
use fidelog_record::types::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicId};

/// Where the time of a record went, microseconds. The six parts add up to `client_us`, except for a duplicate, whose
/// stages are those of an earlier attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// In the SDK: from the hand-over until its batch was sent, the last time it was.
    pub gather_us: u64,
    /// At the leader: from arrival until the offset was assigned.
    pub queue_us: u64,
    /// From then until the leader had written the bytes.
    pub append_us: u64,
    /// From then until the leader's sync had returned.
    pub sync_us: u64,
    /// From then until every other in-sync replica had reported its own sync.
    pub replication_us: u64,
    /// The rest of the last round trip: both ways over the network, and the work at both ends of it.
    pub network_us: u64,
    /// All of it: from the hand-over until the answer was here.
    pub client_us: u64,
}

/// What a broker has promised about one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The record's own offset; `None` only when `already_stored`.
    pub offset: Option<Offset>,
    /// Offset of the first record of its batch; `None` only when `already_stored`.
    pub base_offset: Option<Offset>,
    /// Epoch of the leader that placed it.
    pub leader_epoch: LeaderEpoch,
    /// The brokers that had synced it when the acknowledgement left; the leader comes first.
    pub synced_by: Arc<[BrokerId]>,
    /// How many brokers that are.
    pub replicas: u32,
    /// The leader's clock when it placed the batch, Unix milliseconds.
    pub append_time_ms: u64,
    /// Where the time went.
    pub stages: Stages,
    /// An earlier attempt had stored it; the offset is that of the earlier attempt.
    pub duplicate: bool,
    /// An earlier attempt had stored it, too long ago for its offset to be known.
    pub already_stored: bool,
}

/// The answer to one batch, from which each of its records takes its receipt.
#[derive(Debug)]
pub(crate) struct BatchReceipt {
    receipt: Receipt,
    sent_at: Instant,
    answered_at: Instant,
}

impl BatchReceipt {
    pub(crate) fn new(wire: v1::Receipt, sent_at: Instant, answered_at: Instant) -> Option<Self> {
        let known = !wire.already_stored;
        let base_offset = known.then_some(Offset(wire.base_offset));
        let stages = Stages {
            queue_us: wire.queue_us,
            append_us: wire.append_us,
            sync_us: wire.sync_us,
            replication_us: wire.replication_us,
            ..Stages::default()
        };
        let receipt = Receipt {
            topic_id: TopicId::try_from(&wire.topic_id[..]).ok()?,
            partition: PartitionIndex(wire.partition),
            offset: base_offset,
            base_offset,
            leader_epoch: LeaderEpoch(wire.leader_epoch),
            synced_by: wire.synced_by.into_iter().map(BrokerId).collect(),
            replicas: wire.replicas,
            append_time_ms: wire.append_time_ms,
            stages,
            duplicate: wire.duplicate,
            already_stored: wire.already_stored,
        };
        Some(Self { receipt, sent_at, answered_at })
    }

    /// The receipt of record number `index`, which was handed over at `handed_at`.
    pub(crate) fn record(&self, index: u32, handed_at: Instant) -> Receipt {
        let mut receipt = self.receipt.clone();
        receipt.offset = receipt.base_offset.and_then(|base| base.0.checked_add(index.into())).map(Offset);
        let stages = &mut receipt.stages;
        let broker_us = [stages.queue_us, stages.append_us, stages.sync_us, stages.replication_us];
        let broker_us = broker_us.into_iter().fold(0, u64::saturating_add);
        stages.gather_us = micros(handed_at, self.sent_at);
        stages.client_us = micros(handed_at, self.answered_at);
        stages.network_us = stages.client_us.saturating_sub(stages.gather_us).saturating_sub(broker_us);
        receipt
    }
}

fn micros(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_stages_of_a_record_add_up() {
        let handed = Instant::now();
        let (sent, answered) = (handed + Duration::from_micros(40), handed + Duration::from_micros(1_000));
        let wire = v1::Receipt {
            topic_id: bytes::Bytes::from_static(&[1; 16]),
            base_offset: 10,
            end_offset: 20,
            queue_us: 1,
            append_us: 2,
            sync_us: 300,
            replication_us: 400,
            ..Default::default()
        };
        let receipt = BatchReceipt::new(wire, sent, answered).unwrap().record(3, handed);
        let s = receipt.stages;
        assert_eq!(receipt.offset, Some(Offset(13)));
        let sum = s.gather_us + s.queue_us + s.append_us + s.sync_us + s.replication_us + s.network_us;
        assert_eq!((s.client_us, sum), (1_000, 1_000));
    }
}
