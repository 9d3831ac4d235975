//! A call that came to the wrong broker goes to the right one, once.
//!
//! ```text
//!   client --> any broker --(fidelog-forwarded: 1, what is left of the deadline)--> leader's peer listener
//! ```
//!
//! Always true: a forwarded call is never forwarded again, so that two brokers that disagree on the leader cannot
//! play ball; an outcome lost on the way is unknown for whatever changes something, unless the connection never was.

use std::collections::HashMap;
use std::time::Duration;

use fidelog_proto::v1::Reason;
use fidelog_record::types::{BrokerId, TopicPartition};
use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::context::Context;
use super::deadline::Deadline;
use super::status::Failure;

/// The metadata key of a forwarded call.
pub(super) const FORWARDED: &str = "fidelog-forwarded";

/// How long a connection to another broker may take.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// After how much silence a leader is asked whether it lives, and how long it may take to say so: whoever forwarded to
/// one that hangs learns it long before the caller's patience ends, and the caller asks again.
const KEEPALIVE: Duration = Duration::from_secs(1);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(2);
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Whether a call changes anything when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only looks: losing its answer loses nothing.
    Reads,
    /// Whether it took effect is unknown when its answer is lost.
    Changes,
}

/// Connections to the other brokers' peer listeners, one each.
#[derive(Debug, Default)]
pub(super) struct Forwarder {
    channels: Mutex<HashMap<String, Channel>>,
}

impl Forwarder {
    /// A connection that was up a moment ago, or a new one.
    async fn channel(&self, address: &str) -> Result<Channel, Failure> {
        if let Some(channel) = self.channels.lock().get(address) {
            return Ok(channel.clone());
        }
        let unreachable = |error: &dyn std::fmt::Display| {
            let message =
                format!("the leader's broker at {address} cannot be reached: {error}; nothing was done");
            Failure::new(Reason::Unavailable, message)
        };
        let endpoint =
            Endpoint::from_shared(format!("http://{address}")).map_err(|error| unreachable(&error))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_WAIT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_ANSWER)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let channel = endpoint.connect().await.map_err(|error| unreachable(&error))?;
        self.channels.lock().insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    /// The next call connects anew, and so knows whether it was sent.
    fn forget(&self, address: &str) {
        self.channels.lock().remove(address);
    }
}

/// A client for another broker, with the limits of both ends.
macro_rules! sized_client {
    ($service:ident, $channel:expr) => {
        $service::new($channel)
            .max_decoding_message_size($crate::rpc::RpcLimits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size($crate::rpc::RpcLimits::MESSAGE_BYTES_MAX)
    };
}

pub(super) use sized_client;

/// Where a call goes.
#[derive(Debug)]
pub(super) enum Way {
    /// It is answered here, whatever the answer.
    Here,
    /// It goes to this broker.
    To(BrokerId, String),
}

impl Context {
    /// Whether a call for a partition is answered here, or goes to its leader.
    pub(super) fn way<T>(&self, call: &Request<T>, at: TopicPartition) -> Way {
        if call.metadata().contains_key(FORWARDED) {
            return Way::Here;
        }
        let Some(state) = self.meta.state() else { return Way::Here };
        let leader = state.partition(at).and_then(|entry| entry.leader).filter(|&leader| leader != self.me);
        match leader.and_then(|leader| state.broker(leader)) {
            Some(broker) => Way::To(broker.id, broker.peer_address.clone()),
            None => Way::Here,
        }
    }

    /// Sends a call on, with what is left of its deadline, and gives the leader's answer.
    pub(super) async fn forward<T, A, F>(
        &self,
        (leader, address): (BrokerId, String),
        (message, effect): (T, Effect),
        (deadline, wait_max): (Deadline, Duration),
        call: impl FnOnce(Channel, Request<T>) -> F,
    ) -> Result<A, Status>
    where
        F: Future<Output = Result<A, Status>>,
    {
        let channel = self.forwarder.channel(&address).await?;
        let wait = deadline.cap(wait_max);
        let mut request = Request::new(message);
        request.set_timeout(wait);
        request.metadata_mut().insert(FORWARDED, tonic::metadata::MetadataValue::from_static("1"));
        // Stopping here is safe: the caller is told that the outcome is unknown, or has gone away itself.
        match tokio::time::timeout(wait, call(channel, request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) if is_answer(&status) => Err(status),
            Ok(Err(status)) => {
                self.forwarder.forget(&address);
                Err(lost(leader, effect, &status, was_never_sent(&status)).into())
            }
            Err(_) => {
                Err(lost(leader, effect, &Status::deadline_exceeded("no answer in time"), false).into())
            }
        }
    }
}

/// Whether the leader said it, rather than the way to it.
fn is_answer(status: &Status) -> bool {
    !status.details().is_empty() || status.code() == Code::Unimplemented
}

fn was_never_sent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn lost(leader: BrokerId, effect: Effect, status: &Status, never_sent: bool) -> Failure {
    let what = status.message();
    match effect {
        Effect::Changes if !never_sent => Failure::new(
            Reason::OutcomeUnknown,
            format!("the answer of broker {leader}, the leader, was lost: {what}; it may have been done"),
        )
        .with("cause", "forwarding"),
        Effect::Reads | Effect::Changes => Failure::new(
            Reason::Unavailable,
            format!("broker {leader}, the leader, could not be asked: {what}; try again"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_answer_is_unknown_for_what_changes_something() {
        let cut = Status::unavailable("connection reset");
        let reason = |effect, never_sent| lost(BrokerId(2), effect, &cut, never_sent).reason();
        assert_eq!(reason(Effect::Changes, false), Reason::OutcomeUnknown);
        assert_eq!(reason(Effect::Changes, true), Reason::Unavailable);
        assert_eq!(reason(Effect::Reads, false), Reason::Unavailable);
    }

    #[test]
    fn only_what_a_broker_says_is_an_answer() {
        assert!(!is_answer(&Status::cancelled("Timeout expired")));
        assert!(is_answer(&Failure::new(Reason::NotLeader, "elsewhere").into()));
    }

    #[tokio::test]
    async fn a_connection_that_never_was_is_definite() {
        let closed = std::net::TcpListener::bind("127.41.0.1:0").unwrap();
        let address = closed.local_addr().unwrap().to_string();
        drop(closed);
        let failure = Forwarder::default().channel(&address).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::Unavailable);
    }
}
