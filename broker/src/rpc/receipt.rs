//! A receipt as sent (G2).

use fidelog_proto::v1;

use crate::partition::{Partition, Stored};

/// The receipt of what `partition` stored.
pub(super) fn receipt(partition: &Partition, stored: Stored) -> v1::Receipt {
    let Stored { base, end, epoch, synced_by, append_time_ms, stages, duplicate, already_stored } = stored;
    v1::Receipt {
        topic_id: partition.topic_bytes(),
        partition: partition.id().partition.0,
        base_offset: base.0,
        end_offset: end.0,
        leader_epoch: epoch.0,
        replicas: u32::try_from(synced_by.len()).unwrap_or(u32::MAX),
        synced_by: synced_by.iter().map(|broker| broker.0).collect(),
        append_time_ms,
        queue_us: stages.queue_us,
        append_us: stages.append_us,
        sync_us: stages.sync_us,
        replication_us: stages.replication_us,
        duplicate,
        already_stored,
    }
}
