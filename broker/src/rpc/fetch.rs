//! Fetching: records from an offset on, waiting for them a while if need be. Streams are [`super::consume`].

use std::sync::Arc;
use std::time::Duration;

use fidelog_proto::v1::{self, fetch_service_client::FetchServiceClient};
use fidelog_record::types::limits::{
    FETCH_BYTES_DEFAULT, FETCH_BYTES_MAX, FETCH_WAIT_MS_DEFAULT, FETCH_WAIT_MS_MAX,
};
use fidelog_record::types::{LeaderEpoch, Offset, TopicPartition};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::budget::{Held, Reserved};
use super::consume::Consuming;
use super::context::Context;
use super::deadline;
use super::forward::{Effect, Way, sized_client};
use super::reading::{self, Found, Reading};
use super::route::{self, Named};
use super::status::Failure;
use crate::partition::Published;

/// Beyond a fetch's own wait, for the way there and back.
const FORWARD_EXTRA: Duration = Duration::from_secs(5);
/// How often a waiting reader looks whether this broker still is in touch with the quorum.
const TOUCH_INTERVAL: Duration = Duration::from_millis(250);

/// The fetch service.
#[derive(Clone, Debug)]
pub(super) struct FetchServer {
    context: Arc<Context>,
}

impl FetchServer {
    /// The service over this context.
    #[must_use]
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    fn partition_of(&self, topic: &str, topic_id: &[u8], index: u32) -> Result<TopicPartition, Failure> {
        let state = self.context.state()?;
        let topic = route::topic(&state, Named { name: topic, id: topic_id, field: "topic" })?;
        route::partition(&topic, index)
    }
}

#[tonic::async_trait]
impl v1::fetch_service_server::FetchService for FetchServer {
    async fn fetch(&self, call: Request<v1::FetchRequest>) -> Result<Response<v1::FetchResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let request = call.get_ref();
        let at = self.partition_of(&request.topic, &request.topic_id, request.partition)?;
        let wait_ms = request.max_wait_ms.unwrap_or(FETCH_WAIT_MS_DEFAULT).min(FETCH_WAIT_MS_MAX);
        let wait = deadline.cap(Duration::from_millis(wait_ms.into()));
        if let Way::To(leader, address) = self.context.way(&call, at) {
            let ask = |channel, request| async move {
                sized_client!(FetchServiceClient, channel).fetch(request).await
            };
            let message = (call.into_inner(), Effect::Reads);
            let wait = (deadline, wait + FORWARD_EXTRA);
            let answer = self.context.forward((leader, address), message, wait, ask).await?;
            return Ok(Response::new(answer.into_inner()));
        }
        let request = call.into_inner();
        let reading = Reading {
            offset: Offset(request.offset),
            bytes_max: bytes_max(request.max_bytes),
            format: reading::format(request.format)?,
        };
        let (response, held) =
            fetch(&self.context, at, reading, LeaderEpoch(request.leader_epoch), wait).await?;
        let mut response = Response::new(response);
        if let Some(held) = held {
            // Its bytes are in memory until the last of them is sent.
            response.extensions_mut().insert(Arc::new(held));
        }
        Ok(response)
    }

    type ConsumeStream = Consuming;

    async fn consume(
        &self,
        call: Request<tonic::Streaming<v1::ConsumeRequest>>,
    ) -> Result<Response<Self::ConsumeStream>, Status> {
        let reserved = call.extensions().get::<Arc<Reserved>>().cloned();
        Ok(Response::new(Consuming::new(Arc::clone(&self.context), call.into_inner(), reserved)))
    }

    async fn list_offsets(
        &self,
        call: Request<v1::ListOffsetsRequest>,
    ) -> Result<Response<v1::ListOffsetsResponse>, Status> {
        let deadline = deadline::of_call(&call);
        let request = call.get_ref();
        let at = self.partition_of(&request.topic, &request.topic_id, request.partition)?;
        if let Way::To(leader, address) = self.context.way(&call, at) {
            let ask = |channel, request| async move {
                sized_client!(FetchServiceClient, channel).list_offsets(request).await
            };
            let message = (call.into_inner(), Effect::Reads);
            let answer =
                self.context.forward((leader, address), message, (deadline, FORWARD_EXTRA), ask).await?;
            return Ok(Response::new(answer.into_inner()));
        }
        Ok(Response::new(super::list_offsets::list_offsets(&self.context, at, call.get_ref().at).await?))
    }
}

/// How much to read for a wish.
pub(super) fn bytes_max(asked: u32) -> usize {
    match usize::try_from(asked).unwrap_or(usize::MAX) {
        0 => FETCH_BYTES_DEFAULT,
        bytes => bytes.min(FETCH_BYTES_MAX),
    }
}

/// Reads, waiting for something to read for at most `wait`.
async fn fetch(
    context: &Context,
    at: TopicPartition,
    reading: Reading,
    believed: LeaderEpoch,
    wait: Duration,
) -> Result<(v1::FetchResponse, Option<Held>), Failure> {
    let partition = context.hosted(at)?;
    let mut published = partition.published();
    let until = Instant::now() + wait;
    loop {
        let epoch = reading::readable(context, &partition, &published.borrow_and_update(), believed)?;
        if let Some(Found { response, held, .. }) = context.read(&partition, &published, reading).await? {
            return Ok((response, Some(held)));
        }
        reading::worth_waiting(context, &partition, &published.borrow())?;
        let pause = until.min(Instant::now() + TOUCH_INTERVAL);
        let change = changed(&mut published, reading.offset, epoch);
        // Stopping here is safe: nothing was taken.
        tokio::select! {
            () = change => {}
            () = context.stopping.cancelled() => {
                let message = "this broker stops; ask another one";
                return Err(Failure::new(v1::Reason::Unavailable, message));
            }
            () = tokio::time::sleep_until(pause) => {
                if Instant::now() >= until {
                    let published = published.borrow();
                    reading::readable(context, &partition, &published, believed)?;
                    return Ok((reading::answer(&partition, &published), None));
                }
            }
        }
    }
}

/// Waits until there is something at `offset`, or `epoch` is over, or may be.
pub(super) async fn changed(published: &mut watch::Receiver<Published>, offset: Offset, epoch: LeaderEpoch) {
    let news =
        |now: &Published| now.positions.committed_end > offset || now.leading != Some(epoch) || !now.in_touch;
    // Its sender is gone with the partition: whoever waits looks for it again.
    drop(published.wait_for(news).await);
}
