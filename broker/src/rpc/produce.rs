//! Producing: one request, one batch, one receipt. Streams are [`super::produce_stream`].

use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::Moment;
use fidelog_proto::v1::{
    self, Reason, produce_request::Payload, produce_service_client::ProduceServiceClient,
};
use fidelog_record::door::DoorLimits;
use fidelog_record::types::limits::{ACK_WAIT_MS_DEFAULT, ACK_WAIT_MS_MAX, PRODUCER_WINDOW_BATCHES};
use fidelog_record::types::{LeaderEpoch, ProducerId, TopicPartition};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::admission::{Admission, admit};
use super::budget::Reserved;
use super::context::Context;
use super::deadline::{self, Deadline};
use super::forward::{Effect, Way, sized_client};
use super::mapping::{produce_failure, unknown_failure};
use super::produce_stream::ProduceAnswers;
use super::receipt::receipt;
use super::route::{self, Named};
use super::status::Failure;
use crate::meta::state::{ClusterState, PRODUCER_IDS_PER_GRANT_MAX, TopicEntry};
use crate::partition::{Partition, Produce, ProduceAnswer, Unknown, Waiter};

/// The produce service.
#[derive(Clone, Debug)]
pub(super) struct ProduceServer {
    context: Arc<Context>,
}

/// A produce on its way through the door.
pub(super) struct Entering {
    pub(super) partition: Arc<Partition>,
    pub(super) admission: Admission,
    pub(super) epoch: LeaderEpoch,
    pub(super) wait: Duration,
    pub(super) arrived: Moment,
}

impl ProduceServer {
    /// The service over this context.
    #[must_use]
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    async fn forwarded(
        &self,
        to: (fidelog_record::types::BrokerId, String),
        request: v1::ProduceRequest,
        deadline: Deadline,
    ) -> Result<Response<v1::ProduceResponse>, Status> {
        let wait = ack_wait(request.ack_timeout_ms);
        let call = |channel, request| async move {
            let mut client = sized_client!(ProduceServiceClient, channel);
            client.produce(request).await
        };
        let answer = self.context.forward(to, (request, Effect::Changes), (deadline, wait), call).await?;
        Ok(Response::new(answer.into_inner()))
    }
}

#[tonic::async_trait]
impl v1::produce_service_server::ProduceService for ProduceServer {
    async fn produce(
        &self,
        call: Request<v1::ProduceRequest>,
    ) -> Result<Response<v1::ProduceResponse>, Status> {
        let arrived = self.context.clock.now();
        let deadline = deadline::of_call(&call);
        // Held until the answer is known: its bytes are in memory for as long.
        let _held = call.extensions().get::<Arc<Reserved>>().cloned();
        let state = self.context.state()?;
        let topic = producible(&state, call.get_ref())?;
        let index = partition_index(&self.context, &state, &topic, call.get_ref())?;
        let at = route::partition(&topic, index)?;
        if let Way::To(leader, address) = self.context.way(&call, at) {
            // The leader must not choose again.
            let request = v1::ProduceRequest { partition: Some(index), ..call.into_inner() };
            return self.forwarded((leader, address), request, deadline).await;
        }
        let entering = enter(&self.context, &state, (&topic, at), call.into_inner(), arrived)?;
        drop(state);
        let receipt = finish(&self.context, entering, deadline).await?;
        Ok(Response::new(v1::ProduceResponse { receipt: Some(receipt) }))
    }

    type ProduceStreamStream = ProduceAnswers;

    async fn produce_stream(
        &self,
        call: Request<tonic::Streaming<v1::ProduceStreamRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        let reserved = call.extensions().get::<Arc<Reserved>>().cloned();
        Ok(Response::new(ProduceAnswers::new(Arc::clone(&self.context), call.into_inner(), reserved)))
    }

    async fn open_producer(
        &self,
        _: Request<v1::OpenProducerRequest>,
    ) -> Result<Response<v1::OpenProducerResponse>, Status> {
        let id = self.context.producer_ids.next().await?;
        let batches_in_flight_max = u32::try_from(PRODUCER_WINDOW_BATCHES).unwrap_or(u32::MAX);
        Ok(Response::new(v1::OpenProducerResponse {
            producer_id: id.0,
            producer_epoch: 0,
            batches_in_flight_max,
        }))
    }
}

/// The topic a produce names, when clients may produce to it.
pub(super) fn producible(
    state: &ClusterState,
    request: &v1::ProduceRequest,
) -> Result<Arc<TopicEntry>, Failure> {
    let named = Named { name: &request.topic, id: &request.topic_id, field: "topic" };
    let topic = route::topic(state, named)?;
    if topic.internal {
        let message = format!("topic {} belongs to Fidelog itself; only Fidelog produces to it", topic.name);
        return Err(Failure::new(Reason::NotPermitted, message).with("topic", &topic.name));
    }
    Ok(topic)
}

/// The partition a produce goes to.
pub(super) fn partition_index(
    context: &Context,
    state: &ClusterState,
    topic: &TopicEntry,
    request: &v1::ProduceRequest,
) -> Result<u32, Failure> {
    match (request.partition, &request.payload) {
        (Some(index), _) => Ok(index),
        (None, Some(Payload::Records(list))) => {
            context.sticky.place(&list.records, state.partitions_of(topic.id))
        }
        (None, _) => Err(Failure::invalid("partition", "partition must be set with an encoded batch")),
    }
}

/// Brings a produce before the door.
pub(super) fn enter(
    context: &Context,
    state: &ClusterState,
    (topic, at): (&TopicEntry, TopicPartition),
    request: v1::ProduceRequest,
    arrived: Moment,
) -> Result<Entering, Failure> {
    let partition = context.hosted(at)?;
    let record_bytes_max = topic.config.record_bytes_max.unwrap_or(state.defaults().record_bytes_max);
    let limits = DoorLimits {
        record_bytes_max: usize::try_from(record_bytes_max).unwrap_or(usize::MAX),
        now_ms: context.clock.wall_ms(),
    };
    let wait = ack_wait(request.ack_timeout_ms);
    // This broker may not have heard of the latest grants: an id a little above what it knows may be good.
    let ids_end = state.next_producer_id().saturating_add(PRODUCER_IDS_PER_GRANT_MAX.into());
    let admission = admit(request.payload, request.producer, limits, ProducerId(ids_end));
    Ok(Entering { partition, admission, epoch: LeaderEpoch(request.leader_epoch), wait, arrived })
}

fn ack_wait(asked_ms: u32) -> Duration {
    let ms = if asked_ms == 0 { ACK_WAIT_MS_DEFAULT } else { asked_ms.min(ACK_WAIT_MS_MAX) };
    Duration::from_millis(ms.into())
}

async fn finish(context: &Context, entering: Entering, deadline: Deadline) -> Result<v1::Receipt, Failure> {
    let Entering { partition, admission, epoch, wait, arrived } = entering;
    let batch = admission.await?;
    let wait = deadline.cap(wait);
    if wait.is_zero() {
        let message = "the deadline passed before the records were placed; nothing was stored";
        return Err(Failure::new(Reason::DeadlineExceeded, message));
    }
    let (sender, answer) = oneshot::channel();
    partition.produce(Produce { batch, arrived, wait, epoch, waiter: Waiter::One(sender) });
    // Stopping here is safe: what was placed stays placed, its sender hears that nobody knows.
    let answer = match deadline.left() {
        Some(left) => {
            tokio::time::timeout(left, answer).await.unwrap_or(Ok(ProduceAnswer::Unknown(Unknown::TimedOut)))
        }
        None => answer.await,
    };
    told(context, &partition, answer.unwrap_or(ProduceAnswer::Unknown(Unknown::Stopping)))
}

/// What a produce is told.
pub(super) fn told(
    context: &Context,
    partition: &Partition,
    answer: ProduceAnswer,
) -> Result<v1::Receipt, Failure> {
    match answer {
        ProduceAnswer::Stored(stored) => Ok(receipt(partition, stored)),
        ProduceAnswer::Refused(refusal) => {
            let at = partition.id();
            let name = context.name_of(at);
            let hint = |leader, epoch| context.led_elsewhere(at, leader, epoch);
            Err(produce_failure(refusal, &name, context.me, hint))
        }
        ProduceAnswer::Unknown(unknown) => Err(unknown_failure(unknown, &context.name_of(partition.id()))),
    }
}
