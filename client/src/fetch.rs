//! Single requests about a partition's records: fetch, offsets, lag. For standing reading use a consumer.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fidelog_proto::v1::fetch_service_client::FetchServiceClient;
use fidelog_proto::v1::{self, list_offsets_request};
use fidelog_record::types::limits::MESSAGE_BYTES_MAX;
use fidelog_record::types::{LeaderEpoch, PartitionIndex, TopicId, TopicPartition};
use tonic::transport::Channel;

use crate::admin::Admin;
use crate::calls::Repeat;
use crate::client::{Client, Core, check_topic};
use crate::consumer::{ConsumeError, ConsumedBatch};
use crate::error::RequestError;
use crate::producer::unix_ms;

/// Which offset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAt {
    /// The first still kept.
    Start,
    /// The first not yet committed.
    End,
    /// That of the first record whose timestamp is at or after this, Unix milliseconds; the end when there is none.
    Timestamp(u64),
}

/// An offset, and the bounds of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: u32,
    /// What was asked for.
    pub offset: u64,
    /// Of the record found by time; 0 otherwise.
    pub timestamp_ms: u64,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The first offset still kept.
    pub start_offset: u64,
    /// The first offset not yet committed.
    pub committed_end: u64,
}

/// One fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The first offset wanted.
    pub offset: u64,
    /// About how much, bytes; 0: 1 MiB, at most 8 MiB. At least one whole batch comes.
    pub bytes_max: u32,
    /// How long to wait when nothing is there; at most 30 s.
    pub wait: Duration,
}

impl Fetch {
    /// About 1 MiB from `offset` on, waiting up to 500 ms.
    pub fn new(topic: impl Into<String>, partition: u32, offset: u64) -> Self {
        Self { topic: topic.into(), partition, offset, bytes_max: 0, wait: Duration::from_millis(500) }
    }
}

/// How far a group is behind on one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    /// The partition.
    pub partition: u32,
    /// Where the group stands; `None`: it has never committed, and everything kept counts as unread.
    pub position: Option<u64>,
    /// The first offset not yet committed.
    pub committed_end: u64,
    /// Records not yet processed.
    pub records: u64,
    /// Age of the oldest of them, milliseconds by this machine's clock; 0 when there is none.
    pub behind_ms: u64,
}

impl PartitionLag {
    /// Age of the oldest record not yet processed.
    #[must_use]
    pub fn behind(&self) -> Duration {
        Duration::from_millis(self.behind_ms)
    }
}

impl Client {
    /// Fetches records once, through any broker.
    ///
    /// # Errors
    /// As a consumer's: the offset is out of range, the answer is damaged, or no broker could answer.
    pub async fn fetch(&self, fetch: Fetch) -> Result<ConsumedBatch, ConsumeError> {
        self.core.fetch(fetch).await
    }

    /// Asks for one offset of a partition, through any broker.
    ///
    /// # Errors
    /// When there is no such topic or partition, or no broker could answer.
    pub async fn list_offsets(
        &self,
        topic: &str,
        partition: u32,
        at: OffsetAt,
    ) -> Result<ListedOffset, RequestError> {
        self.core.list_offsets(topic, partition, at).await
    }

    /// Asks for one offset of each of these partitions, all at once, through any broker. Every partition has its own
    /// answer: a leader that is away does not hide what the others say. Each is waited for no longer than a third of
    /// the client's request timeout.
    pub async fn list_offsets_each(
        &self,
        topic: &str,
        partitions: &[u32],
        at: OffsetAt,
    ) -> BTreeMap<u32, Result<ListedOffset, RequestError>> {
        let patience = self.core.patience();
        let asked = partitions.iter().map(|&partition| async move {
            (partition, self.core.list_offsets_within(topic, partition, at, patience).await)
        });
        futures::future::join_all(asked).await.into_iter().collect()
    }

    /// The topic's id and how many partitions it has.
    ///
    /// # Errors
    /// When there is no such topic, or no broker could answer.
    pub async fn partitions(&self, topic: &str) -> Result<(TopicId, u32), RequestError> {
        check_topic(topic)?;
        let routes = self.core.routes(topic).await?;
        Ok((routes.id, routes.partition_count()))
    }
}

impl Admin {
    /// How far a group is behind on a topic, in records and in time, by partition. Every partition has its own
    /// answer: a leader that is away does not hide what the others say. Each is waited for no longer than a third of
    /// the client's request timeout.
    ///
    /// Time is the age of the next unread record, whose timestamp its producer chose.
    ///
    /// # Errors
    /// When there is no such topic, or the group's positions cannot be had.
    pub async fn lag(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<u32, Result<PartitionLag, ConsumeError>>, RequestError> {
        let positions = self.fetch_positions(group, topic).await?;
        let partitions = self.core().routes(topic).await?.partition_count();
        let position_of =
            |partition| positions.iter().find(|position| position.partition == partition)?.offset;
        let lags = (0..partitions).map(|partition| async move {
            (partition, self.core().lag(topic, partition, position_of(partition)).await)
        });
        Ok(futures::future::join_all(lags).await.into_iter().collect())
    }
}

impl Core {
    /// How long one partition of many is waited for.
    pub(crate) fn patience(&self) -> Duration {
        self.request_timeout / 3
    }

    pub(crate) async fn fetch(&self, fetch: Fetch) -> Result<ConsumedBatch, ConsumeError> {
        self.fetch_within(fetch, self.request_timeout).await
    }

    async fn fetch_within(&self, fetch: Fetch, budget: Duration) -> Result<ConsumedBatch, ConsumeError> {
        check_topic(&fetch.topic)?;
        let topic_id = self.routes(&fetch.topic).await?.id;
        let at = TopicPartition { topic: topic_id, partition: PartitionIndex(fetch.partition) };
        let request = v1::FetchRequest {
            topic: fetch.topic,
            topic_id: Bytes::copy_from_slice(topic_id.as_bytes()),
            partition: fetch.partition,
            offset: fetch.offset,
            max_bytes: fetch.bytes_max,
            max_wait_ms: Some(u32::try_from(fetch.wait.as_millis()).unwrap_or(u32::MAX)),
            format: v1::RecordFormat::Batches.into(),
            leader_epoch: 0,
        };
        let answer = self
            .call_within(budget, Repeat::AlwaysAfter(fetch.wait), |channel| {
                let request = request.clone();
                async move { fetch_client(channel).fetch(request).await }
            })
            .await?;
        ConsumedBatch::verify(at, fetch.offset, answer).map_err(|cause| ConsumeError::Unfit {
            partition: fetch.partition,
            offset: fetch.offset,
            cause,
        })
    }

    pub(crate) async fn list_offsets(
        &self,
        topic: &str,
        partition: u32,
        at: OffsetAt,
    ) -> Result<ListedOffset, RequestError> {
        self.list_offsets_within(topic, partition, at, self.request_timeout).await
    }

    pub(crate) async fn list_offsets_within(
        &self,
        topic: &str,
        partition: u32,
        at: OffsetAt,
        budget: Duration,
    ) -> Result<ListedOffset, RequestError> {
        check_topic(topic)?;
        let at = match at {
            OffsetAt::Start => list_offsets_request::At::Start(true),
            OffsetAt::End => list_offsets_request::At::End(true),
            OffsetAt::Timestamp(timestamp_ms) => list_offsets_request::At::TimestampMs(timestamp_ms),
        };
        let request = v1::ListOffsetsRequest {
            topic: topic.to_owned(),
            topic_id: Bytes::new(),
            partition,
            at: Some(at),
        };
        let answer = self
            .call_within(budget, Repeat::Always, |channel| {
                let request = request.clone();
                async move { fetch_client(channel).list_offsets(request).await }
            })
            .await?;
        Ok(ListedOffset {
            topic_id: TopicId::try_from(&answer.topic_id[..])
                .map_err(|_| RequestError::Malformed("a topic id of 16 bytes"))?,
            partition,
            offset: answer.offset,
            timestamp_ms: answer.timestamp_ms,
            leader_epoch: LeaderEpoch(answer.leader_epoch),
            start_offset: answer.start_offset,
            committed_end: answer.committed_end,
        })
    }

    async fn lag(
        &self,
        topic: &str,
        partition: u32,
        position: Option<u64>,
    ) -> Result<PartitionLag, ConsumeError> {
        let bounds = self.list_offsets_within(topic, partition, OffsetAt::End, self.patience()).await?;
        let committed_end = bounds.committed_end;
        // What retention took is unread too, but can be read no more.
        let next = position.unwrap_or(bounds.start_offset).max(bounds.start_offset);
        let records = committed_end.saturating_sub(next);
        let behind_ms = match records {
            0 => 0,
            _ => self.age_ms(topic, partition, next).await?,
        };
        Ok(PartitionLag { partition, position, committed_end, records, behind_ms })
    }

    async fn age_ms(&self, topic: &str, partition: u32, offset: u64) -> Result<u64, ConsumeError> {
        let fetch = Fetch { bytes_max: 1, wait: Duration::ZERO, ..Fetch::new(topic, partition, offset) };
        let first = self.fetch_within(fetch, self.patience()).await?.records().next().transpose();
        let first = first.map_err(|cause| ConsumeError::Unreadable { partition, cause })?;
        Ok(first.map_or(0, |record| unix_ms().saturating_sub(record.timestamp_ms)))
    }
}

pub(crate) fn fetch_client(channel: Channel) -> FetchServiceClient<Channel> {
    FetchServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}
