//! The incoming side: a leader's stream reaches its followers here.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use fidelog_proto::internal::v1 as wire;
use fidelog_proto::internal::v1::replication_service_server::ReplicationService;
use fidelog_record::types::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition};
use futures::Stream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, warn};

use super::codec;
use super::links::PeerLinks;
use super::range_reads::RangeReads;
use super::reply_outbox::{Replies, ReplyOutbox};
use crate::partition::{Partition, Partitions};
use crate::replica::StreamId;
use crate::replica::message::{FollowerMessage, LeaderMessage, RefusalCause};

/// Read at once for a leader that copies our tail.
const TAIL_READ_BYTES: usize = 4 << 20;
/// One part of what is remembered of producers.
const PRODUCERS_PART_BYTES: usize = 1 << 20;

/// `fidelog.internal.v1.ReplicationService`.
#[derive(Debug, Clone)]
pub struct ReplicationServer {
    links: Arc<PeerLinks>,
    partitions: Arc<Partitions>,
    ranges: RangeReads,
}

impl ReplicationServer {
    /// A service over these streams and partitions.
    #[must_use]
    pub fn new(links: Arc<PeerLinks>, partitions: Arc<Partitions>) -> Self {
        Self { links, partitions, ranges: RangeReads::default() }
    }

    fn hosted(&self, topic_id: &[u8], partition: u32) -> Result<Arc<Partition>, Status> {
        let topic = TopicId::try_from(topic_id)
            .map_err(|error| Status::invalid_argument(format!("topic_id: {error}")))?;
        let at = TopicPartition { topic, partition: PartitionIndex(partition) };
        self.partitions.get(at).ok_or_else(|| Status::not_found(format!("{at} is not hosted here")))
    }

    async fn follow(
        self,
        stream: StreamId,
        lane: wire::Lane,
        mut frames: Streaming<wire::LeaderFrame>,
        replies: Arc<ReplyOutbox>,
    ) {
        let why = loop {
            self.links.inflow.room(lane).await;
            // Stopping here is safe: what was taken into a partition is in its log's queue already.
            match frames.message().await {
                Ok(Some(frame)) => {
                    if let Err(why) = self.take(stream, frame, &replies) {
                        break why;
                    }
                }
                Ok(None) => break "the leader hung up".to_owned(),
                Err(status) => break status.to_string(),
            }
        };
        debug!(?stream, "a leader's stream ended: {why}");
        replies.close();
        self.links.remove_incoming(stream);
        for partition in self.partitions.all() {
            partition.leader_stream_down(stream);
        }
    }

    fn take(&self, stream: StreamId, frame: wire::LeaderFrame, replies: &ReplyOutbox) -> Result<(), String> {
        for message in frame.messages {
            let (at, epoch, message) = codec::decode_leader(message).map_err(|error| error.to_string())?;
            let Some(partition) = self.partitions.get(at) else {
                let refused = FollowerMessage::Refused {
                    cause: RefusalCause::NotAReplica,
                    message: format!("{at} is not hosted here (yet)"),
                    epoch: LeaderEpoch(0),
                };
                replies.push(at, epoch, refused).into_iter().for_each(Waker::wake);
                continue;
            };
            match verify(&partition, &message) {
                Ok(()) => partition.led(stream, epoch, message),
                Err(why) => {
                    warn!(partition = %at, "a pushed batch arrived damaged: {why}");
                    let refused =
                        FollowerMessage::Refused { cause: RefusalCause::Corrupt, message: why, epoch };
                    replies.push(at, epoch, refused).into_iter().for_each(Waker::wake);
                }
            }
        }
        Ok(())
    }
}

/// Both checksums of everything pushed, before it goes anywhere (D13).
fn verify(partition: &Partition, message: &LeaderMessage) -> Result<(), String> {
    let LeaderMessage::Push(push) = message else { return Ok(()) };
    push.batches
        .iter()
        .try_for_each(|batch| batch.verify(partition.id()).map_err(|misfit| misfit.to_string()))
}

#[tonic::async_trait]
impl ReplicationService for ReplicationServer {
    type ReplicateStream = Replies;

    async fn replicate(
        &self,
        request: Request<Streaming<wire::LeaderFrame>>,
    ) -> Result<Response<Replies>, Status> {
        let mut frames = request.into_inner();
        let first =
            frames.message().await?.ok_or_else(|| Status::invalid_argument("the stream said nothing"))?;
        let hello =
            first.hello.as_ref().ok_or_else(|| Status::invalid_argument("the first frame has no hello"))?;
        let identity = self
            .links
            .identity()
            .ok_or_else(|| Status::unavailable("this node has not registered yet, or holds no replicas"))?;
        if hello.cluster_id != identity.cluster.as_bytes().as_slice() {
            return Err(Status::failed_precondition(format!(
                "broker {} belongs to another cluster than broker {}; check the addresses",
                hello.broker_id, identity.broker
            )));
        }
        let stream = self.links.mint();
        let lane = hello.lane();
        let replies = ReplyOutbox::new(identity.hello(lane));
        self.links.add_incoming(stream, Arc::clone(&replies));
        self.take(stream, first, &replies).map_err(Status::invalid_argument)?;
        tokio::spawn(self.clone().follow(stream, lane, frames, Arc::clone(&replies)));
        Ok(Response::new(Replies(replies)))
    }

    async fn read_range(
        &self,
        request: Request<wire::ReadRangeRequest>,
    ) -> Result<Response<wire::ReadRangeResponse>, Status> {
        let wire::ReadRangeRequest { topic_id, partition, from_offset, end_offset } = request.into_inner();
        let range = Offset(from_offset)..Offset(end_offset);
        self.ranges.read(self.hosted(&topic_id, partition)?, range).await.map(Response::new)
    }

    async fn digest_range(
        &self,
        request: Request<wire::DigestRangeRequest>,
    ) -> Result<Response<wire::DigestRangeResponse>, Status> {
        let wire::DigestRangeRequest { topic_id, partition, from_offset, end_offset } = request.into_inner();
        let range = Offset(from_offset)..Offset(end_offset);
        self.ranges.digest(self.hosted(&topic_id, partition)?, range).await.map(Response::new)
    }

    type ReadProducersStream =
        Pin<Box<dyn Stream<Item = Result<wire::ReadProducersResponse, Status>> + Send>>;

    async fn read_producers(
        &self,
        request: Request<wire::ReadProducersRequest>,
    ) -> Result<Response<Self::ReadProducersStream>, Status> {
        let request = request.into_inner();
        let partition = self.hosted(&request.topic_id, request.partition)?;
        let (at, epoch) = (Offset(request.offset), LeaderEpoch(request.leader_epoch));
        let told = tokio::task::spawn_blocking(move || partition.producers_below(at, epoch))
            .await
            .map_err(|error| Status::internal(error.to_string()))?
            .map_err(Status::failed_precondition)?;
        let mut rest = Bytes::from(told);
        let parts = std::iter::from_fn(move || {
            let part = rest.split_to(rest.len().min(PRODUCERS_PART_BYTES));
            (!part.is_empty()).then_some(Ok(wire::ReadProducersResponse { part }))
        });
        Ok(Response::new(Box::pin(futures::stream::iter(parts))))
    }

    type ReadTailStream = Pin<Box<dyn Stream<Item = Result<wire::ReadTailResponse, Status>> + Send>>;

    async fn read_tail(
        &self,
        request: Request<wire::ReadTailRequest>,
    ) -> Result<Response<Self::ReadTailStream>, Status> {
        let request = request.into_inner();
        let partition = self.hosted(&request.topic_id, request.partition)?;
        let seen = partition.inspect(|machine| machine.assignment().map(|it| it.leader_epoch));
        if seen != Some(LeaderEpoch(request.leader_epoch)) {
            let message = format!("epoch {} was asked for; {seen:?} is known here", request.leader_epoch);
            return Err(Status::failed_precondition(message));
        }
        let end = Offset(request.end_offset);
        let parts = futures::stream::try_unfold(Offset(request.from_offset), move |from| {
            let partition = Arc::clone(&partition);
            async move {
                if from >= end {
                    return Ok(None);
                }
                let read =
                    tokio::task::spawn_blocking(move || partition.view().read(from, TAIL_READ_BYTES, end))
                        .await
                        .map_err(|error| Status::internal(error.to_string()))?
                        .map_err(|error| Status::failed_precondition(error.to_string()))?;
                if read.next_offset <= from {
                    return Err(Status::failed_precondition(format!("nothing is stored at {from}")));
                }
                Ok(Some((wire::ReadTailResponse { batches: read.batches }, read.next_offset)))
            }
        });
        Ok(Response::new(Box::pin(parts)))
    }
}
