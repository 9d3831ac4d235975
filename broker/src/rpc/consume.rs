//! A consume stream: standing fetches of many partitions, as many bytes as the client gave credit for.
//!
//! ```text
//!             +-- committed_end moved, or the epoch is over --+
//!             v                                               |
//!   ready (in turn) --credit? read--> answer           waiting (one watch each)
//!             |                         |  nothing there      ^
//!             +-------------------------+---------------------+
//! ```
//!
//! Always true: one task for the whole stream: the connection polls the driver, the driver reads and hands over; a
//! record that becomes committed wakes exactly that task. Nothing is read without credit, and at most two answers are
//! in memory: the one on its way, and the next in turn, read ahead. A subscription that ends says why; the stream
//! goes on.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use fidelog_proto::v1::{self, Reason, consume_request::Action, consume_response::Event};
use fidelog_record::types::{LeaderEpoch, Offset};
use futures::future::BoxFuture;
use futures::future::{AbortHandle, Abortable};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::watch;
use tonic::{Status, Streaming};

use super::budget::{Held, Reserved};
use super::co_stream::{CoStream, Out};
use super::context::Context;
use super::fetch::{bytes_max, changed};
use super::reading::{self, Begun, Found, Reading};
use super::route::{self, Named};
use super::status::Failure;
use super::wire;
use crate::partition::{Partition, Published};

type Answer = Result<v1::ConsumeResponse, Status>;

/// The answers of a consume stream.
pub(super) struct Consuming {
    stream: CoStream<(Answer, Option<Held>)>,
    /// What the answer handed over last holds of the read budget, until the next is asked for: by then it is encoded.
    held: Option<Held>,
}

impl std::fmt::Debug for Consuming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consuming").finish_non_exhaustive()
    }
}

impl Consuming {
    pub(super) fn new(
        context: Arc<Context>,
        requests: Streaming<v1::ConsumeRequest>,
        reserved: Option<Arc<Reserved>>,
    ) -> Self {
        let stream = CoStream::new(|out| {
            let driver = Driver {
                context,
                requests,
                reserved,
                out,
                credit: Credit::default(),
                subscriptions: HashMap::new(),
                ready: VecDeque::new(),
                ahead: None,
                waiting: FuturesUnordered::new(),
                next_serial: 0,
            };
            driver.run()
        });
        Self { stream, held: None }
    }
}

impl Stream for Consuming {
    type Item = Answer;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Answer>> {
        self.held = None;
        let polled = self.stream.poll_next_unpin(cx);
        polled.map(|next| {
            next.map(|(answer, held)| {
                self.held = held;
                answer
            })
        })
    }
}

/// Bytes the broker may still send on a stream. May be overspent by one batch, and is then owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Credit {
    given: u64,
    spent: u64,
}

impl Credit {
    fn give(&mut self, bytes: u64) {
        self.given = self.given.saturating_add(bytes);
    }

    fn spend(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_add(bytes as u64);
    }

    /// What may be sent now.
    fn left(self) -> u64 {
        self.given.saturating_sub(self.spent)
    }
}

struct Subscription {
    /// Tells it from an earlier one of the same id.
    serial: u64,
    partition: Arc<Partition>,
    published: watch::Receiver<Published>,
    reading: Reading,
    believed: LeaderEpoch,
    /// Ends its wait when it goes, so that waits never outnumber subscriptions for long.
    wait: Option<AbortHandle>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(wait) = &self.wait {
            wait.abort();
        }
    }
}

struct Driver {
    context: Arc<Context>,
    requests: Streaming<v1::ConsumeRequest>,
    reserved: Option<Arc<Reserved>>,
    out: Out<(Answer, Option<Held>)>,
    credit: Credit,
    subscriptions: HashMap<u32, Subscription>,
    /// Those that may have something to read, in turn.
    ready: VecDeque<(u32, u64)>,
    /// The read of the first of them, begun while the answer before it was on its way.
    ahead: Option<(u64, Begun)>,
    /// Those that have nothing to read: each tells its id when that changes.
    waiting: FuturesUnordered<BoxFuture<'static, Option<(u32, u64)>>>,
    next_serial: u64,
}

impl Driver {
    async fn run(mut self) {
        let stopping = self.context.stopping.clone();
        loop {
            let may_serve = self.credit.left() > 0 && !self.ready.is_empty();
            // Stopping at any of these is safe: each takes what it gives, or nothing.
            tokio::select! {
                biased;
                () = stopping.cancelled() => {
                    let message = "this broker stops; subscribe again at another one";
                    return self.fail(Failure::new(Reason::Unavailable, message).into()).await;
                }
                request = self.requests.next() => match request {
                    Some(Ok(request)) => self.apply(request).await,
                    Some(Err(status)) => return self.fail(wire::refined(status)).await,
                    None => return,
                },
                Some(woken) = self.waiting.next(), if !self.waiting.is_empty() => self.ready.extend(woken),
                () = std::future::ready(()), if may_serve => self.serve().await,
            }
        }
    }

    async fn fail(&mut self, status: Status) {
        self.out.send((Err(status), None)).await;
    }

    async fn apply(&mut self, request: v1::ConsumeRequest) {
        // What the message held is given back at once: nothing of it is kept.
        drop(self.reserved.as_ref().map(|reserved| reserved.take_message()));
        match request.action {
            Some(Action::CreditBytes(bytes)) => self.credit.give(bytes),
            Some(Action::Unsubscribe(gone)) => {
                self.forget(gone.subscription_id);
            }
            Some(Action::Subscribe(wish)) => {
                let id = wish.subscription_id;
                // An `ended` under this id would be read as the end of the subscription that has it.
                if self.subscriptions.contains_key(&id) {
                    let message = format!("subscription_id {id} is in use on this stream; choose another");
                    self.fail(Failure::invalid("subscription_id", message).into()).await;
                } else if let Err(failure) = self.subscribe(wish) {
                    self.end(id, failure).await;
                }
            }
            None => {
                let failure =
                    Failure::invalid("action", "neither subscribe, unsubscribe nor credit_bytes is set");
                self.fail(failure.into()).await;
            }
        }
    }

    fn subscribe(&mut self, wish: v1::Subscribe) -> Result<(), Failure> {
        let id = wish.subscription_id;
        let count_max = self.context.limits.subscriptions_max;
        if self.subscriptions.len() >= count_max {
            let message = format!("this stream has {count_max} subscriptions; open another stream");
            return Err(Failure::limit(Reason::LimitExceeded, "subscriptions_max", count_max, message));
        }
        let state = self.context.state()?;
        let topic = route::topic(&state, Named { name: &wish.topic, id: &wish.topic_id, field: "topic" })?;
        let partition = self.context.hosted(route::partition(&topic, wish.partition)?)?;
        let reading = Reading {
            offset: Offset(wish.offset),
            bytes_max: bytes_max(wish.max_bytes),
            format: reading::format(wish.format)?,
        };
        let serial = self.next_serial;
        self.next_serial += 1;
        let (published, believed) = (partition.published(), LeaderEpoch(wish.leader_epoch));
        self.subscriptions
            .insert(id, Subscription { serial, partition, published, reading, believed, wait: None });
        self.ready.push_back((id, serial));
        Ok(())
    }

    /// Reads for the subscription whose turn it is.
    async fn serve(&mut self) {
        let Some((id, serial)) = self.ready.pop_front() else { return };
        // It may have gone, and another may have come under its id.
        let Some(subscription) = self.subscriptions.get_mut(&id).filter(|known| known.serial == serial)
        else {
            return;
        };
        let credit = usize::try_from(self.credit.left()).unwrap_or(usize::MAX);
        let ahead = self.ahead.take().filter(|(of, _)| *of == serial).map(|(_, begun)| begun);
        match subscription.read(&self.context, credit, ahead).await {
            Err(failure) => self.end(id, failure).await,
            Ok(Next::Wait(epoch)) => {
                let (mut published, offset) = (subscription.published.clone(), subscription.reading.offset);
                let (handle, registration) = AbortHandle::new_pair();
                subscription.wait = Some(handle);
                let wait = async move {
                    changed(&mut published, offset, epoch).await;
                    (id, serial)
                };
                self.waiting.push(Abortable::new(wait, registration).map(Result::ok).boxed());
            }
            Ok(Next::Send(Found { response, held, bytes })) => {
                self.ready.push_back((id, serial));
                self.credit.spend(bytes);
                self.read_ahead();
                let event = Some(Event::Records(response));
                self.out.send((Ok(v1::ConsumeResponse { subscription_id: id, event }), Some(held))).await;
            }
        }
    }

    /// Begins the read of the subscription whose turn is next.
    fn read_ahead(&mut self) {
        let Some((id, serial)) = self.ready.front() else { return };
        let Some(next) = self.subscriptions.get(id).filter(|known| known.serial == *serial) else { return };
        let credit = usize::try_from(self.credit.left()).unwrap_or(usize::MAX);
        if credit > 0 {
            let reading = next.within(credit);
            let begun = self.context.read_ahead(&next.partition, &next.published, reading);
            self.ahead = begun.map(|begun| (*serial, begun));
        }
    }

    /// The subscription is over; the client hears why.
    async fn end(&mut self, id: u32, failure: Failure) {
        self.forget(id);
        let event = Some(Event::Ended(failure.into()));
        self.out.send((Ok(v1::ConsumeResponse { subscription_id: id, event }), None)).await;
    }

    fn forget(&mut self, id: u32) {
        if let Some(gone) = self.subscriptions.remove(&id) {
            self.ready.retain(|&(_, serial)| serial != gone.serial);
        }
    }
}

/// What a subscription does next.
enum Next {
    Send(Found),
    Wait(LeaderEpoch),
}

impl Subscription {
    fn within(&self, credit: usize) -> Reading {
        Reading { bytes_max: self.reading.bytes_max.min(credit), ..self.reading }
    }

    async fn read(
        &mut self,
        context: &Context,
        credit: usize,
        ahead: Option<Begun>,
    ) -> Result<Next, Failure> {
        let at = self.partition.id();
        if self.published.has_changed().is_err() || context.partitions.get(at).is_none() {
            return Err(context.not_leader(at));
        }
        let epoch =
            reading::readable(context, &self.partition, &self.published.borrow_and_update(), self.believed)?;
        let begun = match ahead {
            Some(begun) => Some(begun),
            None => context.begin_read(&self.partition, &self.published, self.within(credit)).await?,
        };
        let found = match begun {
            Some(begun) => context.finish_read(&self.partition, &self.published, begun).await?,
            None => None,
        };
        match found {
            Some(found) => {
                self.reading.offset = Offset(found.response.next_offset);
                Ok(Next::Send(found))
            }
            None => {
                reading::worth_waiting(context, &self.partition, &self.published.borrow())?;
                Ok(Next::Wait(epoch))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_may_be_overspent_once_and_is_then_owed() {
        let mut credit = Credit::default();
        assert_eq!(credit.left(), 0);
        credit.give(100);
        credit.spend(130);
        assert_eq!(credit.left(), 0);
        credit.give(50);
        assert_eq!(credit.left(), 20);
        credit.give(u64::MAX);
        assert!(credit.left() > 0);
    }
}
