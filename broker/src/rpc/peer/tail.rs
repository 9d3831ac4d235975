//! Reading a follower's tail: what it holds beyond a leader that stopped uncleanly.

use super::way::one_off;
use bytes::{Bytes, BytesMut};
use fidelog_proto::internal::v1::ReadTailRequest;
use fidelog_proto::internal::v1::replication_service_client::ReplicationServiceClient;
use fidelog_record::types::limits::MESSAGE_BYTES_MAX;
use fidelog_record::types::{LeaderEpoch, Offset};
use fidelog_record::{Batches, PlacedBatch};

use crate::partition::Partition;

/// Copied at once; what is left of a longer tail comes with the next reading.
const TAIL_BYTES: usize = 16 << 20;

/// The verified batches of `start..end`, or as many of them as are copied at once, from the follower at `address`.
pub(super) async fn read(
    address: &str,
    partition: &Partition,
    epoch: LeaderEpoch,
    start: Offset,
    end: Offset,
) -> Result<Vec<PlacedBatch>, String> {
    let channel = one_off(address)?.connect().await.map_err(|error| error.to_string())?;
    let mut client = ReplicationServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let request = ReadTailRequest {
        topic_id: Bytes::copy_from_slice(partition.id().topic.as_bytes()),
        partition: partition.id().partition.0,
        leader_epoch: epoch.0,
        from_offset: start.0,
        end_offset: end.0,
    };
    let mut stream = client.read_tail(request).await.map_err(|status| status.to_string())?.into_inner();
    let mut bytes = BytesMut::new();
    while let Some(part) = stream.message().await.map_err(|status| status.to_string())? {
        bytes.extend_from_slice(&part.batches);
        if bytes.len() >= TAIL_BYTES {
            break;
        }
    }
    Batches::new(bytes.freeze(), partition.id())
        .collect::<Result<_, _>>()
        .map_err(|misfit| misfit.to_string())
}
