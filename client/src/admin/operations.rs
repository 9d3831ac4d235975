//! Operations: brokers, partitions, the quorum, health, and what happens.

use fidelog_proto::v1::operations_service_client::OperationsServiceClient;
use fidelog_proto::v1::{self, PartitionFilter};
use fidelog_record::types::limits::MESSAGE_BYTES_MAX;
use tonic::transport::Channel;

use crate::calls::Repeat;
use crate::client::check_topic;
use crate::error::RequestError;

use super::{Admin, ClusterEvents, call};

/// Which partitions [`Admin::list_partitions`] lists. The default: all of them, those of internal topics left out.
#[derive(Clone, Debug, Default)]
pub struct ListPartitions {
    /// Only those of this topic; it may be an internal one.
    pub topic: Option<String>,
    /// Only those it applies to.
    pub filter: PartitionFilter,
    /// Only those with a replica on this broker.
    pub broker: Option<u32>,
    /// Also those of topics whose names begin with `__`.
    pub include_internal: bool,
}

impl Admin {
    /// Who votes on the metadata, and who leads that.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn describe_quorum(&self) -> Result<v1::DescribeQuorumResponse, RequestError> {
        call!(self, Repeat::Always, operations, describe_quorum, v1::DescribeQuorumRequest {})
    }

    /// The level of features the cluster is at, and which every node knows.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn describe_features(&self) -> Result<v1::DescribeFeaturesResponse, RequestError> {
        call!(self, Repeat::Always, operations, describe_features, v1::DescribeFeaturesRequest {})
    }

    /// Every broker, with what it holds and leads, and whether it takes part.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn list_brokers(&self) -> Result<Vec<v1::BrokerDescription>, RequestError> {
        Ok(call!(self, Repeat::Always, operations, list_brokers, v1::ListBrokersRequest {})?.brokers)
    }

    /// Partitions with their replicas, sets and leaders, by topic and number.
    ///
    /// # Errors
    /// When there is no such topic, or no broker answered.
    pub async fn list_partitions(
        &self,
        wish: ListPartitions,
    ) -> Result<Vec<v1::PartitionState>, RequestError> {
        wish.topic.as_deref().map_or(Ok(()), check_topic)?;
        let mut request = v1::ListPartitionsRequest {
            topic: wish.topic.unwrap_or_default(),
            filter: wish.filter.into(),
            broker_id: wish.broker.unwrap_or_default(),
            include_internal: wish.include_internal,
            page_size: 1_000,
            page_token: String::new(),
        };
        let mut all = Vec::new();
        loop {
            let page = call!(self, Repeat::Always, operations, list_partitions, request.clone())?;
            all.extend(page.partitions);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// What is wrong with the cluster and what to do about it, the worst first, as one broker sees it.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn check_health(&self) -> Result<v1::CheckHealthResponse, RequestError> {
        call!(self, Repeat::Always, operations, check_health, v1::CheckHealthRequest {})
    }

    /// What happens to brokers, topics and partitions: from now on, or after this metadata index.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn watch_events(&self, after_index: Option<u64>) -> Result<ClusterEvents, RequestError> {
        ClusterEvents::open(self.core.clone(), after_index).await
    }
}

pub(super) fn operations(channel: Channel) -> OperationsServiceClient<Channel> {
    OperationsServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}
