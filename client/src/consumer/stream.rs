//! One `Consume` stream to one broker, shared by all partitions it leads.
//!
//! What is always true: everything the stream says arrives as [`StreamEvent`]s, and its end as exactly one
//! [`Said::Over`]. What waits in front of the reader is bounded by the credit granted.

use std::sync::Arc;

use fidelog_proto::v1::{self, ConsumeRequest, consume_request, consume_response};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::client::Core;
use crate::error::Refusal;
use crate::fetch::fetch_client;

/// Something a stream said.
#[derive(Debug)]
pub(crate) struct StreamEvent {
    pub(crate) stream: u64,
    pub(crate) said: Said,
}

#[derive(Debug)]
pub(crate) enum Said {
    Records { subscription: u32, answer: v1::FetchResponse },
    Ended { subscription: u32, refusal: Box<Refusal> },
    Over { cause: String },
}

/// Our end of a stream. Dropping it ends the stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: u64,
    requests: mpsc::UnboundedSender<ConsumeRequest>,
    task: AbortHandle,
}

impl Stream {
    /// Opens a stream in the background; what is asked meanwhile is sent once it is open.
    pub(crate) fn open(
        core: Arc<Core>,
        address: String,
        id: u64,
        events: mpsc::UnboundedSender<StreamEvent>,
    ) -> Self {
        let (requests, outbound) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let cause = run(&core, &address, id, outbound, &events).await;
            // A reader that is gone does not mind.
            let _gone = events.send(StreamEvent { stream: id, said: Said::Over { cause } });
        });
        Self { id, requests, task: task.abort_handle() }
    }

    pub(crate) fn subscribe(&self, subscribe: v1::Subscribe) {
        self.request(consume_request::Action::Subscribe(subscribe));
    }

    pub(crate) fn unsubscribe(&self, subscription_id: u32) {
        self.request(consume_request::Action::Unsubscribe(v1::Unsubscribe { subscription_id }));
    }

    pub(crate) fn grant(&self, bytes: u64) {
        self.request(consume_request::Action::CreditBytes(bytes));
    }

    fn request(&self, action: consume_request::Action) {
        // A stream that has ended says so by itself.
        let _over = self.requests.send(ConsumeRequest { action: Some(action) });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    core: &Core,
    address: &str,
    id: u64,
    outbound: mpsc::UnboundedReceiver<ConsumeRequest>,
    events: &mpsc::UnboundedSender<StreamEvent>,
) -> String {
    let channel = match core.connections.any(address).await {
        Ok(channel) => channel,
        Err(error) => return error.to_string(),
    };
    let mut answers = match fetch_client(channel).consume(UnboundedReceiverStream::new(outbound)).await {
        Ok(response) => response.into_inner(),
        Err(status) => return lose(core, address, &status),
    };
    loop {
        let answer = match answers.message().await {
            Ok(Some(answer)) => answer,
            Ok(None) => return "the broker ended the stream".to_owned(),
            Err(status) => return lose(core, address, &status),
        };
        let subscription = answer.subscription_id;
        let said = match answer.event {
            Some(consume_response::Event::Records(answer)) => Said::Records { subscription, answer },
            Some(consume_response::Event::Ended(error)) => {
                Said::Ended { subscription, refusal: Box::new(Refusal::from_wire(error)) }
            }
            None => continue,
        };
        if events.send(StreamEvent { stream: id, said }).is_err() {
            return "the consumer is gone".to_owned();
        }
    }
}

fn lose(core: &Core, address: &str, status: &tonic::Status) -> String {
    let cause = format!("{}: {}", status.code().description(), status.message());
    core.connections.forget_all(address, &cause);
    cause
}
