//! Administration: topics, groups, the cluster. Answers are the wire's own messages, re-exported as [`crate::wire`].
//!
//! Reads are repeated elsewhere until the client's request timeout. Changes are repeated only after an attempt that
//! surely changed nothing; when the outcome is unknown the error says so, and reading tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use fidelog_proto::v1::position_service_client::PositionServiceClient;
use fidelog_proto::v1::topic_service_client::TopicServiceClient;
use fidelog_proto::v1::{self, ConfigChange};
use fidelog_record::types::limits::MESSAGE_BYTES_MAX;
use fidelog_record::types::{GroupName, TopicId, TopicName};
use tonic::transport::Channel;

use crate::calls::Repeat;
use crate::client::{Core, check_topic, cluster_client};
use crate::error::RequestError;

mod events;
mod operations;
mod orders;

pub use events::ClusterEvents;
pub use operations::ListPartitions;

/// What a new topic is to be. Zero, and `None`, mean the cluster's default.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    /// Its name: 1 to 249 of `A-Z a-z 0-9 . _ -`, not beginning with `__`.
    pub name: String,
    /// 0: 3. At most 10,000.
    pub partitions: u32,
    /// 0: 3.
    pub replication_factor: u32,
    /// Settings; keys are those of `ConfigChange`.
    pub configs: BTreeMap<String, String>,
    /// Must be true for a replication factor, or a `min_insync_replicas`, of 1.
    pub allow_unreplicated: bool,
    /// Check only.
    pub dry_run: bool,
}

impl NewTopic {
    /// A topic of this name with every default.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// Topics, groups and the cluster.
#[derive(Clone, Debug)]
pub struct Admin {
    core: Arc<Core>,
}

/// Sends one request through a service's client; the request is cloned for every attempt.
macro_rules! call {
    ($self:ident, $repeat:expr, $client:expr, $method:ident, $request:expr) => {{
        let request = $request;
        $self
            .core
            .call($repeat, |channel| {
                let request = request.clone();
                async move { $client(channel).$method(request).await }
            })
            .await
    }};
}

use call;

impl Admin {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Creates a topic; answers once enough replicas have synced their directories.
    ///
    /// # Errors
    /// When the name is no name, or the cluster refused; see [`RequestError::certainty`] for what may have happened.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<v1::TopicDescription, RequestError> {
        TopicName::new(&topic.name).map_err(|error| RequestError::Invalid(error.to_string()))?;
        let configs = topic.configs.into_iter().map(|(key, value)| ConfigChange { key, value: Some(value) });
        let request = v1::CreateTopicRequest {
            name: topic.name,
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            configs: configs.collect(),
            allow_unreplicated: topic.allow_unreplicated,
            dry_run: topic.dry_run,
            timeout_ms: 0,
        };
        let answer = call!(self, Repeat::IfDefinite, topics, create_topic, request)?;
        answer.topic.ok_or(RequestError::Malformed("a created topic without its description"))
    }

    /// Every topic, by name.
    ///
    /// # Errors
    /// When no broker answered, or the cluster refused.
    pub async fn list_topics(&self, include_internal: bool) -> Result<Vec<v1::TopicSummary>, RequestError> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListTopicsRequest { page_size: 1_000, page_token, include_internal };
            let page = call!(self, Repeat::Always, topics, list_topics, request)?;
            all.extend(page.topics);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Leaders, in-sync sets, epochs and settings of a topic.
    ///
    /// # Errors
    /// When there is no such topic, or no broker answered.
    pub async fn describe_topic(&self, topic: &str) -> Result<v1::TopicDescription, RequestError> {
        check_topic(topic)?;
        let request = v1::DescribeTopicRequest { name: topic.to_owned(), topic_id: Bytes::new() };
        let answer = call!(self, Repeat::Always, topics, describe_topic, request)?;
        answer.topic.ok_or(RequestError::Malformed("a described topic without its description"))
    }

    /// The positions of the topic's partitions as each broker that is up sees its own replicas.
    /// Brokers that do not answer are left out; compare with [`Self::describe_cluster`].
    ///
    /// # Errors
    /// When no broker answered at all, or there is no such topic.
    pub async fn describe_partitions(
        &self,
        topic: &str,
    ) -> Result<Vec<v1::DescribePartitionsResponse>, RequestError> {
        check_topic(topic)?;
        let brokers = self.describe_cluster().await?.brokers;
        let asked = brokers.into_iter().map(|broker| self.describe_partitions_at(broker.address, topic));
        let answers = futures::future::join_all(asked).await;
        let refused = answers.iter().all(Result::is_err);
        match answers.iter().find_map(|answer| answer.as_ref().err()) {
            Some(error) if refused => Err(error.clone()),
            _ => Ok(answers.into_iter().flatten().collect()),
        }
    }

    async fn describe_partitions_at(
        &self,
        address: String,
        topic: &str,
    ) -> Result<v1::DescribePartitionsResponse, RequestError> {
        let request = v1::DescribePartitionsRequest { topic: topic.to_owned(), ..Default::default() };
        self.core
            .call_one(&address, |channel| {
                let request = request.clone();
                async move { topics(channel).describe_partitions(request).await }
            })
            .await
    }

    /// Changes settings; `None` goes back to the cluster's default. `allow_unreplicated` must be true to lower
    /// `min_insync_replicas` to 1.
    ///
    /// # Errors
    /// When there is no such topic or setting, a value is out of range, or the outcome is unknown.
    pub async fn alter_topic(
        &self,
        topic: &str,
        changes: BTreeMap<String, Option<String>>,
        allow_unreplicated: bool,
        dry_run: bool,
    ) -> Result<v1::TopicDescription, RequestError> {
        check_topic(topic)?;
        let configs = changes.into_iter().map(|(key, value)| ConfigChange { key, value }).collect();
        let name = topic.to_owned();
        let topic_id = Bytes::new();
        let request = v1::AlterTopicRequest { name, topic_id, configs, dry_run, allow_unreplicated };
        let answer = call!(self, Repeat::IfDefinite, topics, alter_topic, request)?;
        answer.topic.ok_or(RequestError::Malformed("an altered topic without its description"))
    }

    /// Deletes a topic and its records on every replica. With an id, only a topic that has it. Returns the id deleted.
    ///
    /// # Errors
    /// When there is no such topic, or the outcome is unknown.
    pub async fn delete_topic(&self, topic: &str, id: Option<TopicId>) -> Result<TopicId, RequestError> {
        check_topic(topic)?;
        let topic_id = id.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default();
        let request = v1::DeleteTopicRequest { name: topic.to_owned(), topic_id };
        let answer = call!(self, Repeat::IfDefinite, topics, delete_topic, request)?;
        TopicId::try_from(&answer.topic_id[..]).map_err(|_| RequestError::Malformed("a topic id of 16 bytes"))
    }

    /// Brokers, controller, and how many partitions are in trouble, as the answering broker sees it.
    ///
    /// # Errors
    /// When no broker answered.
    pub async fn describe_cluster(&self) -> Result<v1::DescribeClusterResponse, RequestError> {
        call!(self, Repeat::Always, cluster_client, describe_cluster, v1::DescribeClusterRequest {})
    }

    /// As [`Self::describe_cluster`], by one broker.
    ///
    /// # Errors
    /// When it did not answer.
    pub async fn describe_cluster_at(
        &self,
        address: &str,
    ) -> Result<v1::DescribeClusterResponse, RequestError> {
        self.core
            .call_one(address, |channel| async move {
                cluster_client(channel).describe_cluster(v1::DescribeClusterRequest {}).await
            })
            .await
    }

    /// Every group with its positions.
    ///
    /// # Errors
    /// When no broker answered, or the cluster refused.
    pub async fn list_groups(&self) -> Result<Vec<v1::GroupDescription>, RequestError> {
        self.groups(String::new()).await
    }

    /// One group with its positions; `None` when it has none.
    ///
    /// # Errors
    /// When the name is no name, or no broker answered.
    pub async fn describe_group(&self, group: &str) -> Result<Option<v1::GroupDescription>, RequestError> {
        check_group(group)?;
        Ok(self.groups(group.to_owned()).await?.into_iter().find(|found| found.group == group))
    }

    async fn groups(&self, group: String) -> Result<Vec<v1::GroupDescription>, RequestError> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListGroupsRequest { page_size: 1_000, page_token, group: group.clone() };
            let page = call!(self, Repeat::Always, positions, list_groups, request)?;
            all.extend(page.groups);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Forgets a group's positions, all or those on one topic; tells how many.
    ///
    /// # Errors
    /// When the group has none, or the outcome is unknown.
    pub async fn delete_group(&self, group: &str, topic: Option<&str>) -> Result<u32, RequestError> {
        check_group(group)?;
        let topic = topic.unwrap_or_default().to_owned();
        let request = v1::DeleteGroupRequest { group: group.to_owned(), topic, ..Default::default() };
        Ok(call!(self, Repeat::IfDefinite, positions, delete_group, request)?.positions)
    }

    /// As [`Self::delete_group`], only those on the topic with this id: the one way to name a topic that was deleted.
    ///
    /// # Errors
    /// When the group has none there, or the outcome is unknown.
    pub async fn delete_group_on(&self, group: &str, topic: TopicId) -> Result<u32, RequestError> {
        check_group(group)?;
        let topic_id = Bytes::copy_from_slice(topic.as_bytes());
        let request = v1::DeleteGroupRequest { group: group.to_owned(), topic_id, ..Default::default() };
        Ok(call!(self, Repeat::IfDefinite, positions, delete_group, request)?.positions)
    }

    /// A group's positions on a topic, without taking them over.
    ///
    /// # Errors
    /// When there is no such topic, or no broker answered.
    pub async fn fetch_positions(&self, group: &str, topic: &str) -> Result<Vec<v1::Position>, RequestError> {
        check_group(group)?;
        check_topic(topic)?;
        let request = v1::FetchPositionsRequest {
            group: group.to_owned(),
            topic: topic.to_owned(),
            topic_id: Bytes::new(),
        };
        Ok(call!(self, Repeat::Always, positions, fetch_positions, request)?.positions)
    }

    /// Moves a group's positions anywhere, also backwards, and fences whoever reads with them. Keys are partitions.
    ///
    /// # Errors
    /// When there is no such topic or partition, or the outcome is unknown.
    pub async fn reset_positions(
        &self,
        group: &str,
        topic: &str,
        offsets: BTreeMap<u32, u64>,
    ) -> Result<Vec<v1::Position>, RequestError> {
        check_group(group)?;
        check_topic(topic)?;
        let resets =
            offsets.into_iter().map(|(partition, offset)| v1::PositionReset { partition, offset }).collect();
        let request = v1::ResetPositionsRequest {
            group: group.to_owned(),
            topic: topic.to_owned(),
            topic_id: Bytes::new(),
            resets,
        };
        Ok(call!(self, Repeat::IfDefinite, positions, reset_positions, request)?.positions)
    }
}

fn topics(channel: Channel) -> TopicServiceClient<Channel> {
    TopicServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

pub(crate) fn positions(channel: Channel) -> PositionServiceClient<Channel> {
    PositionServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

pub(crate) fn check_group(group: &str) -> Result<(), RequestError> {
    GroupName::new(group).map(drop).map_err(|error| RequestError::Invalid(error.to_string()))
}
