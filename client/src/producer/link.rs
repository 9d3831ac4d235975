//! One pipelined `ProduceStream` to one broker: requests go out in order, answers find their way back by request id.
//!
//! What is always true: every request that was taken gets exactly one answer, [`Answer::Lost`] when the stream ends
//! first. The queue in front of the stream holds at most what the lanes have in flight: batches in flight per
//! partition times partitions; nothing else bounds it, and nothing else fills it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fidelog_proto::v1::produce_service_client::ProduceServiceClient;
use fidelog_proto::v1::{
    ProduceRequest, ProduceStreamRequest, ProduceStreamResponse, produce_stream_response,
};
use fidelog_record::types::limits::MESSAGE_BYTES_MAX;
use parking_lot::Mutex;
use tokio::sync::{Notify, OnceCell, mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;

use crate::client::Core;
use crate::connection::{ConnectError, never_connected};
use crate::error::Refusal;

use super::lane::Answer;

/// Where a driver hears the answers to its attempts.
pub(crate) type Answers = mpsc::UnboundedSender<(u64, Answer)>;

/// A stream to a broker. It ends when the last reference does.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) address: String,
    pending: Arc<Pending>,
    outbound: mpsc::UnboundedSender<ProduceStreamRequest>,
    next_id: AtomicU64,
}

#[derive(Debug)]
struct Pending {
    /// `None`: the stream has ended.
    waiting: Mutex<Option<HashMap<u64, (Answers, u64)>>>,
    give_up: Notify,
}

/// How a stream ended.
enum End {
    /// Nothing was sent.
    NeverConnected(String),
    Broken(String),
    /// By either side, in order.
    Closed,
}

impl Link {
    fn open(core: Arc<Core>, address: String, index: usize, channel: Channel) -> Arc<Self> {
        let (outbound, requests) = mpsc::unbounded_channel();
        let pending = Arc::new(Pending { waiting: Mutex::new(Some(HashMap::new())), give_up: Notify::new() });
        let task = pending.clone();
        let to = address.clone();
        tokio::spawn(async move {
            let end = tokio::select! {
                end = task.run(channel, requests) => end,
                () = task.give_up.notified() => End::Broken("no answer in time".to_owned()),
            };
            if let End::Broken(cause) | End::NeverConnected(cause) = &end {
                core.connections.forget(&to, index, cause);
            }
            task.end(&end);
        });
        Arc::new(Self { address, pending, outbound, next_id: AtomicU64::new(0) })
    }

    /// Sends an attempt. Its answer, or its loss, comes to `answers`; false: it was not sent, and nothing will come.
    pub(crate) fn send(&self, request: ProduceRequest, attempt: u64, answers: &Answers) -> bool {
        let request_id = self.next_id.fetch_add(1, Ordering::Relaxed);
        {
            let mut waiting = self.pending.waiting.lock();
            let Some(waiting) = waiting.as_mut() else { return false };
            waiting.insert(request_id, (answers.clone(), attempt));
        }
        // When the stream has just ended its end finds the attempt among the waiting ones and calls it lost.
        let sent = self.outbound.send(ProduceStreamRequest { request_id, request: Some(request) });
        if sent.is_ok() {
            return true;
        }
        let mut waiting = self.pending.waiting.lock();
        waiting.as_mut().and_then(|waiting| waiting.remove(&request_id)).is_none()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.pending.waiting.lock().is_none()
    }

    /// Ends the stream: what it carries is lost.
    pub(crate) fn give_up(&self) {
        self.pending.give_up.notify_one();
    }
}

impl Pending {
    /// Until the stream ends.
    async fn run(&self, channel: Channel, requests: mpsc::UnboundedReceiver<ProduceStreamRequest>) -> End {
        let mut client = ProduceServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let mut answers = match client.produce_stream(UnboundedReceiverStream::new(requests)).await {
            Ok(response) => response.into_inner(),
            Err(status) if never_connected(&status) => return End::NeverConnected(describe(&status)),
            Err(status) => return End::Broken(describe(&status)),
        };
        loop {
            match answers.message().await {
                Ok(Some(answer)) => self.dispatch(answer),
                Ok(None) => return End::Closed,
                Err(status) => return End::Broken(describe(&status)),
            }
        }
    }

    fn dispatch(&self, answer: ProduceStreamResponse) {
        use produce_stream_response::Result::{Error, Receipt};
        let mut waiting = self.waiting.lock();
        let waiting = waiting.as_mut().and_then(|waiting| waiting.remove(&answer.request_id));
        let Some((answers, attempt)) = waiting else {
            tracing::warn!(request_id = answer.request_id, "an answer to a request that was not made");
            return;
        };
        let answer = match answer.result {
            Some(Receipt(receipt)) => Answer::Stored(Box::new(receipt)),
            Some(Error(error)) => Answer::Refused(Arc::new(Refusal::from_wire(error))),
            None => Answer::Lost,
        };
        // A driver that is gone waits for nothing.
        let _gone = answers.send((attempt, answer));
    }

    fn end(&self, end: &End) {
        let answer = if let End::NeverConnected(_) = end { Answer::Unsent } else { Answer::Lost };
        let waiting = self.waiting.lock().take();
        for (answers, attempt) in waiting.into_iter().flat_map(HashMap::into_values) {
            let _gone = answers.send((attempt, answer.clone()));
        }
    }
}

fn describe(status: &tonic::Status) -> String {
    format!("{}: {}", status.code().description(), status.message())
}

/// The streams of one producer, one per broker connection; partitions are spread over them.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: Mutex<HashMap<(String, usize), LinkCell>>,
}

/// A stream, or the attempt to open it, for which all its partitions wait together.
type LinkCell = Arc<OnceCell<Arc<Link>>>;

impl Links {
    /// The stream that carries `partition` to the broker at `address`, opened if need be.
    pub(crate) async fn get(
        &self,
        core: &Arc<Core>,
        address: &str,
        partition: u32,
    ) -> Result<Arc<Link>, ConnectError> {
        let index = partition as usize % core.connections.per_broker();
        let cell = self.cell(address, index);
        let open = async || {
            let channel = core.connections.get(address, index).await?;
            Ok(Link::open(core.clone(), address.to_owned(), index, channel))
        };
        cell.get_or_try_init(open).await.cloned()
    }

    fn cell(&self, address: &str, index: usize) -> LinkCell {
        let mut links = self.links.lock();
        let cell = links.entry((address.to_owned(), index)).or_default();
        if cell.get().is_some_and(|link| link.is_over()) {
            *cell = Arc::default();
        }
        cell.clone()
    }
}
