//! A produce stream: requests in, in the order sent; answers out, as they are known.
//!
//! ```text
//!   polled by the connection:  answers waiting?  --> send them, all that there are
//!                              else room?        --> read a request, through the door, to its partition
//!   any partition, any thread: answer(number)    --> into the queue, wake
//! ```
//!
//! Always true: one task for the whole stream and nothing spawned, boxed or sent a channel through for one request
//! (a large batch's check apart); requests that are unanswered are bounded in bytes and in number, beyond which the
//! stream is not read and flow control stops its sender; every request taken is answered exactly once, also when the
//! sender has finished sending, or the broker stops.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use fidelog_proto::v1::{self, Reason, produce_stream_response::Result as Answered};
use futures::Stream;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tonic::{Status, Streaming};

use super::budget::{Held, Reserved};
use super::context::Context;
use super::produce::{Entering, enter, partition_index, producible, told};
use super::route;
use super::status::Failure;
use super::wire;
use crate::partition::{AnswerSink, Partition, Produce, ProduceAnswer, Waiter};

/// The answers of a produce stream; reading them is what reads its requests.
pub(super) struct ProduceAnswers {
    context: Arc<Context>,
    requests: Streaming<v1::ProduceStreamRequest>,
    reserved: Option<Arc<Reserved>>,
    queue: Arc<AnswerQueue>,
    /// The request at the door, when its check takes a while: those behind it wait, to stay in order.
    at_door: Option<(Taken, Entering)>,
    ending: Ending,
    stopping: BoxFuture<'static, ()>,
}

/// Why no more requests are read.
enum Ending {
    /// They are.
    Open,
    /// The sender has finished, or failed; the answers that are due go out first.
    Closed(Option<Status>),
    /// Over.
    Over,
}

/// What is kept of a request until it is answered.
struct Taken {
    request_id: u64,
    bytes: usize,
    _held: Option<Held>,
}

impl std::fmt::Debug for ProduceAnswers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProduceAnswers").finish_non_exhaustive()
    }
}

impl ProduceAnswers {
    pub(super) fn new(
        context: Arc<Context>,
        requests: Streaming<v1::ProduceStreamRequest>,
        reserved: Option<Arc<Reserved>>,
    ) -> Self {
        let stopping = Box::pin(context.stopping.clone().cancelled_owned());
        let queue = Arc::new(AnswerQueue { context: Arc::clone(&context), state: Mutex::default() });
        Self { context, requests, reserved, queue, at_door: None, ending: Ending::Open, stopping }
    }

    /// Reads on until there is nothing to read or no room for it. Answers given meanwhile are in the queue.
    fn poll_requests(&mut self, cx: &mut TaskContext<'_>) {
        if matches!(self.ending, Ending::Open) && self.stopping.as_mut().poll(cx).is_ready() {
            let message = "this broker stops; send what is unanswered to another one";
            self.ending = Ending::Closed(Some(Failure::new(Reason::Unavailable, message).into()));
        }
        loop {
            if !self.poll_door(cx) || !matches!(self.ending, Ending::Open) || !self.has_room() {
                return;
            }
            match Pin::new(&mut self.requests).poll_next(cx) {
                Poll::Ready(Some(Ok(request))) => self.take(request),
                Poll::Ready(Some(Err(status))) => self.ending = Ending::Closed(Some(wire::refined(status))),
                Poll::Ready(None) => self.ending = Ending::Closed(None),
                Poll::Pending => return,
            }
        }
    }

    /// Whether to read another request now: there is room for it, and no answer waits to be sent first.
    fn has_room(&self) -> bool {
        let limits = &self.context.limits;
        let state = self.queue.state.lock();
        let room =
            state.unanswered_bytes < limits.stream_bytes_max && state.unanswered < limits.stream_requests_max;
        room && state.answers.is_empty()
    }

    fn take(&mut self, request: v1::ProduceStreamRequest) {
        let (bytes, held) = self.reserved.as_ref().map_or((0, None), |reserved| reserved.take_message());
        let taken = Taken { request_id: request.request_id, bytes, _held: held };
        let entering = request
            .request
            .ok_or_else(|| Failure::invalid("request", "request is not set"))
            .and_then(|request| self.enter(request));
        match entering {
            Ok(entering) => self.at_door = Some((taken, entering)),
            Err(failure) => self.queue.refuse(taken.request_id, failure),
        }
    }

    fn enter(&self, request: v1::ProduceRequest) -> Result<Entering, Failure> {
        let arrived = self.context.clock.now();
        let state = self.context.state()?;
        let topic = producible(&state, &request)?;
        let index = partition_index(&self.context, &state, &topic, &request)?;
        let at = route::partition(&topic, index)?;
        enter(&self.context, &state, (&topic, at), request, arrived)
    }

    /// Lets the request at the door in once it is checked; tells whether the door is free.
    fn poll_door(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let Some((_, entering)) = &mut self.at_door else { return true };
        let Poll::Ready(admitted) = Pin::new(&mut entering.admission).poll(cx) else { return false };
        let Some((taken, entering)) = self.at_door.take() else { return true };
        let Entering { partition, epoch, wait, arrived, .. } = entering;
        match admitted {
            Err(failure) => self.queue.refuse(taken.request_id, failure),
            Ok(batch) => {
                let number = self.queue.expect(taken, Arc::clone(&partition));
                let waiter = Waiter::Of(Arc::clone(&self.queue) as Arc<dyn AnswerSink>, number);
                partition.produce(Produce { batch, arrived, wait, epoch, waiter });
            }
        }
        true
    }
}

impl Stream for ProduceAnswers {
    type Item = Result<v1::ProduceStreamResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(answer) = this.queue.next(cx.waker()) {
            return Poll::Ready(Some(Ok(answer)));
        }
        this.poll_requests(cx);
        if let Some(answer) = this.queue.next(cx.waker()) {
            return Poll::Ready(Some(Ok(answer)));
        }
        if matches!(this.ending, Ending::Open) || this.at_door.is_some() || this.queue.is_expecting() {
            return Poll::Pending;
        }
        match std::mem::replace(&mut this.ending, Ending::Over) {
            Ending::Closed(Some(status)) => Poll::Ready(Some(Err(status))),
            Ending::Closed(None) | Ending::Open | Ending::Over => Poll::Ready(None),
        }
    }
}

/// Where partitions put a stream's answers.
struct AnswerQueue {
    context: Arc<Context>,
    state: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Unanswered requests by number, from `first` on; those answered out of turn leave a gap until the front goes.
    expected: VecDeque<Option<Expected>>,
    first: u64,
    unanswered: usize,
    unanswered_bytes: usize,
    answers: VecDeque<v1::ProduceStreamResponse>,
    waker: Option<Waker>,
}

struct Expected {
    taken: Taken,
    partition: Arc<Partition>,
}

impl Queue {
    fn expect(&mut self, expected: Expected) -> u64 {
        self.unanswered += 1;
        self.unanswered_bytes += expected.taken.bytes;
        self.expected.push_back(Some(expected));
        self.first + self.expected.len() as u64 - 1
    }

    /// The request of this number, once.
    fn answered(&mut self, number: u64) -> Option<Expected> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let expected = self.expected.get_mut(index)?.take()?;
        while matches!(self.expected.front(), Some(None)) {
            self.expected.pop_front();
            self.first += 1;
        }
        self.unanswered -= 1;
        self.unanswered_bytes -= expected.taken.bytes;
        Some(expected)
    }
}

impl AnswerQueue {
    /// Numbers a request before it is placed: its answer may come at once, on any thread.
    fn expect(&self, taken: Taken, partition: Arc<Partition>) -> u64 {
        self.state.lock().expect(Expected { taken, partition })
    }

    fn is_expecting(&self) -> bool {
        self.state.lock().unanswered > 0
    }

    fn refuse(&self, request_id: u64, failure: Failure) {
        let result = Some(Answered::Error(failure.into()));
        self.state.lock().answers.push_back(v1::ProduceStreamResponse { request_id, result });
    }

    /// The next answer; when there is none, whoever asks is woken by it.
    fn next(&self, waker: &Waker) -> Option<v1::ProduceStreamResponse> {
        let mut state = self.state.lock();
        let answer = state.answers.pop_front();
        if answer.is_none() && !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        answer
    }
}

impl AnswerSink for AnswerQueue {
    fn answer(&self, number: u64, answer: ProduceAnswer) -> Option<Waker> {
        let mut state = self.state.lock();
        let Expected { taken, partition } = state.answered(number)?;
        let result = Some(match told(&self.context, &partition, answer) {
            Ok(receipt) => Answered::Receipt(receipt),
            Err(failure) => Answered::Error(failure.into()),
        });
        let was_empty = state.answers.is_empty();
        state.answers.push_back(v1::ProduceStreamResponse { request_id: taken.request_id, result });
        if was_empty { state.waker.clone() } else { None }
    }
}
