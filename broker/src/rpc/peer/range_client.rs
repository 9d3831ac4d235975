//! Asks another replica for committed batches, or for what they look like.

use std::ops::Range;

use bytes::Bytes;
use fidelog_proto::internal::v1::replication_service_client::ReplicationServiceClient;
use fidelog_proto::internal::v1::{DigestRangeRequest, ReadRangeRequest};
use fidelog_record::types::limits::MESSAGE_BYTES_MAX;
use fidelog_record::types::{Offset, TopicPartition};
use tonic::transport::Channel;

use super::way::one_off;

/// What committed batches look like on another replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RangeDigest {
    /// Over all heads.
    pub(crate) digest: u32,
    /// How many there are.
    pub(crate) batch_count: u32,
    /// Where the last one ends.
    pub(crate) end: Offset,
}

/// A connection to another broker; made when it is first used.
#[derive(Clone, Debug)]
pub(crate) struct RangeClient {
    client: ReplicationServiceClient<Channel>,
}

impl RangeClient {
    /// To the broker whose listener for brokers is at `address`.
    ///
    /// # Errors
    /// When that is no address.
    pub(crate) fn new(address: &str) -> Result<Self, String> {
        let channel = one_off(address)?.connect_lazy();
        let client = ReplicationServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { client })
    }

    /// Some batches from the start of `range` on, as they came: nothing is verified yet.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) async fn read(&self, at: TopicPartition, range: Range<Offset>) -> Result<Bytes, String> {
        let request = ReadRangeRequest {
            topic_id: Bytes::copy_from_slice(at.topic.as_bytes()),
            partition: at.partition.0,
            from_offset: range.start.0,
            end_offset: range.end.0,
        };
        let answer = self.client.clone().read_range(request).await;
        answer.map(|answer| answer.into_inner().batches).map_err(|status| status.message().to_owned())
    }

    /// What the batches of `range` look like there.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub(crate) async fn digest(
        &self,
        at: TopicPartition,
        range: Range<Offset>,
    ) -> Result<RangeDigest, String> {
        let request = DigestRangeRequest {
            topic_id: Bytes::copy_from_slice(at.topic.as_bytes()),
            partition: at.partition.0,
            from_offset: range.start.0,
            end_offset: range.end.0,
        };
        let answer = self.client.clone().digest_range(request).await;
        let answer = answer.map_err(|status| status.message().to_owned())?.into_inner();
        let end = Offset(answer.end_offset);
        Ok(RangeDigest { digest: answer.digest, batch_count: answer.batch_count, end })
    }
}
