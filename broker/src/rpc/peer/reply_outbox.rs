//! What a follower says back on one stream: pulled by the stream, reports merged per partition.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use fidelog_proto::internal::v1 as wire;
use fidelog_record::types::{LeaderEpoch, TopicPartition};
use futures::Stream;
use parking_lot::Mutex;

use super::codec;
use crate::replica::message::FollowerMessage;

/// The most messages in one frame.
const MESSAGES_PER_FRAME_MAX: usize = 4096;

/// Replies that wait to be sent. Bounded: reports by the number of partitions, the rest by what the leader asked.
#[derive(Debug, Default)]
pub(super) struct ReplyOutbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    hello: Option<wire::Hello>,
    ordered: VecDeque<(TopicPartition, LeaderEpoch, FollowerMessage)>,
    /// The latest report of each partition; a later one says all that an earlier one did.
    reports: BTreeMap<TopicPartition, (LeaderEpoch, FollowerMessage)>,
    waker: Option<Waker>,
    closed: bool,
}

impl ReplyOutbox {
    /// An outbox whose first frame says hello.
    pub(super) fn new(hello: wire::Hello) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { hello: Some(hello), ..State::default() }) })
    }

    /// Says `message`. Whoever is returned must be woken.
    #[must_use]
    pub(super) fn push(
        &self,
        at: TopicPartition,
        epoch: LeaderEpoch,
        message: FollowerMessage,
    ) -> Option<Waker> {
        let mut state = self.state.lock();
        if matches!(message, FollowerMessage::Report { .. }) {
            state.reports.insert(at, (epoch, message));
        } else {
            // What was synced before this message must not be said after it under another meaning.
            if let Some((epoch, report)) = state.reports.remove(&at) {
                state.ordered.push_back((at, epoch, report));
            }
            state.ordered.push_back((at, epoch, message));
        }
        state.waker.take()
    }

    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

/// An outbox as the response stream of a call.
pub struct Replies(pub(super) Arc<ReplyOutbox>);

impl Stream for Replies {
    type Item = Result<wire::FollowerFrame, tonic::Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.state.lock();
        if state.closed {
            return Poll::Ready(None);
        }
        let mut messages = Vec::new();
        while messages.len() < MESSAGES_PER_FRAME_MAX
            && let Some((at, epoch, message)) = state.ordered.pop_front()
        {
            messages.push(codec::encode_follower(at, epoch, message));
        }
        while messages.len() < MESSAGES_PER_FRAME_MAX
            && let Some((at, (epoch, message))) = state.reports.pop_first()
        {
            messages.push(codec::encode_follower(at, epoch, message));
        }
        let hello = state.hello.take();
        if hello.is_none() && messages.is_empty() {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(wire::FollowerFrame { hello, messages })))
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        self.0.close();
    }
}
