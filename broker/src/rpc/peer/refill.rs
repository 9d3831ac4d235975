//! Reading what a leader remembers of producers, for a replica that begins anew where its log begins.

use super::way::one_off;
use bytes::Bytes;
use fidelog_log::ProducerTable;
use fidelog_proto::internal::v1::ReadProducersRequest;
use fidelog_proto::internal::v1::replication_service_client::ReplicationServiceClient;
use fidelog_record::types::{LeaderEpoch, Offset, TopicPartition};

/// More than any table within the limits of producers and their windows that is met in practice; a leader that sends
/// more is not believed.
const TABLE_BYTES_MAX: usize = 256 << 20;

/// The table below `at` as the leader at `address` has it.
pub(super) async fn read(
    address: &str,
    partition: TopicPartition,
    epoch: LeaderEpoch,
    at: Offset,
) -> Result<ProducerTable, String> {
    let channel = one_off(address)?.connect().await.map_err(|error| error.to_string())?;
    let request = ReadProducersRequest {
        topic_id: Bytes::copy_from_slice(partition.topic.as_bytes()),
        partition: partition.partition.0,
        leader_epoch: epoch.0,
        offset: at.0,
    };
    let mut client = ReplicationServiceClient::new(channel);
    let mut parts = client.read_producers(request).await.map_err(|status| status.to_string())?.into_inner();
    let mut bytes = Vec::new();
    while let Some(next) = parts.message().await.map_err(|status| status.to_string())? {
        if bytes.len() + next.part.len() > TABLE_BYTES_MAX {
            return Err(format!("the leader sends more than {TABLE_BYTES_MAX} bytes"));
        }
        bytes.extend_from_slice(&next.part);
    }
    ProducerTable::from_bytes(&bytes, at)
}
