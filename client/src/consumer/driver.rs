//! The task of one consumer: keeps every partition subscribed at its leader, hands on what comes, grants credit as
//! it is consumed. Decisions are the cursors'; here are the clock, the streams and the routes.
//!
//! It ends when every partition is over, or the consumer is dropped.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fidelog_proto::v1::{RecordFormat, Subscribe};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt, OptionFuture};
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::backoff;
use crate::client::Core;
use crate::error::RequestError;
use crate::event::Event;

use super::cursor::{Cursor, Move};
use super::error::ConsumeError;
use super::growth::{Grown, Growth};
use super::heard::{Delivered, Heard, Spent};
use super::placement::{Placed, Plan};
use super::stream::{Said, Stream, StreamEvent};

/// What a driver is made of.
pub(crate) struct Driver {
    core: Arc<Core>,
    topic: String,
    topic_id: Bytes,
    bytes_max: u32,
    buffer_bytes: u64,
    give_up_after_ms: Option<u64>,
    cursors: BTreeMap<u32, Cursor>,
    placing: FuturesUnordered<BoxFuture<'static, (u32, Result<Placed, ConsumeError>)>>,
    streams: HashMap<String, OpenStream>,
    next_id: u64,
    events: mpsc::UnboundedReceiver<StreamEvent>,
    events_to: mpsc::UnboundedSender<StreamEvent>,
    /// Bounded by the credit granted.
    deliver: mpsc::UnboundedSender<Heard>,
    consumed: mpsc::UnboundedReceiver<Spent>,
    /// Partitions that were told to wait, and for what.
    waiting: BTreeMap<u32, WaitsFor>,
    refreshing: Option<BoxFuture<'static, bool>>,
    refresh: bool,
    /// `None`: partitions that are added are nothing to this consumer.
    growth: Option<Growth>,
    growing: Option<BoxFuture<'static, Result<Grown, RequestError>>>,
    /// When to look whether the topic has grown.
    look_at: Instant,
    began_at: Instant,
}

/// What a partition that cannot be read waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WaitsFor {
    Leader,
    Mending,
}

struct OpenStream {
    stream: Stream,
    /// Credit consumed and not yet granted again.
    owed: u64,
    share: u64,
}

/// What a consumer was asked for.
pub(crate) struct Wish {
    pub(crate) topic: String,
    pub(crate) topic_id: Bytes,
    pub(crate) bytes_max: u32,
    pub(crate) buffer_bytes: u64,
    /// How long a leader may be away before its partition is given up; `None`: for ever.
    pub(crate) give_up_after: Option<Duration>,
    pub(crate) cursors: BTreeMap<u32, Cursor>,
    /// Partitions whose leader has not told yet where to begin.
    pub(crate) unplaced: Vec<Plan>,
    /// `None`: partitions that are added are not read.
    pub(crate) growth: Option<Growth>,
}

impl Driver {
    pub(crate) fn new(
        core: Arc<Core>,
        wish: Wish,
        deliver: mpsc::UnboundedSender<Heard>,
        consumed: mpsc::UnboundedReceiver<Spent>,
    ) -> Self {
        let (events_to, events) = mpsc::unbounded_channel();
        let Wish { topic, topic_id, bytes_max, buffer_bytes, give_up_after, cursors, unplaced, growth } =
            wish;
        let placing = FuturesUnordered::new();
        for plan in unplaced {
            placing.push(place(core.clone(), topic.clone(), plan).boxed());
        }
        Self {
            core,
            topic,
            topic_id,
            bytes_max,
            buffer_bytes,
            give_up_after_ms: give_up_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            cursors,
            placing,
            streams: HashMap::new(),
            next_id: 1,
            events,
            events_to,
            deliver,
            consumed,
            waiting: BTreeMap::new(),
            refreshing: None,
            refresh: false,
            growth,
            growing: None,
            look_at: Instant::now(),
            began_at: Instant::now(),
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.give_up();
            let nothing_comes = self.placing.is_empty() && self.growing.is_none();
            if nothing_comes && self.cursors.values().all(Cursor::is_over) {
                return;
            }
            self.grow();
            self.subscribe_rested();
            if self.refresh && self.refreshing.is_none() {
                self.start_refresh();
            }
            let wake_at = self.wake_at();
            let sleep = wake_at.map(|at| tokio::time::sleep_until(at.into()));
            tokio::select! {
                Some(event) = self.events.recv() => self.hear(event),
                spent = self.consumed.recv() => match spent {
                    Some(spent) => self.give_back(spent),
                    None => return,
                },
                Some((partition, placed)) = self.placing.next(), if !self.placing.is_empty() => {
                    self.placed(partition, placed);
                }
                Some(grown) = OptionFuture::from(self.growing.as_mut()) => self.grown(grown),
                Some(_) = OptionFuture::from(self.refreshing.as_mut()) => self.refreshing = None,
                Some(()) = OptionFuture::from(sleep) => {}
            }
        }
    }

    fn placed(&mut self, partition: u32, placed: Result<Placed, ConsumeError>) {
        match placed {
            Ok(Placed { cursor, reset }) => {
                if let Some((from, to)) = reset {
                    let topic = self.topic.clone();
                    self.core.listener.tell(Event::ConsumerReset { topic, partition, from, to });
                }
                self.cursors.insert(partition, cursor);
            }
            Err(error) => self.fail(error),
        }
    }

    /// The partition is over; a consumer that is gone does not mind.
    fn fail(&self, error: ConsumeError) {
        let _gone = self.deliver.send(Heard::Failed(error));
    }

    /// Takes up partitions that the topic got, and looks for them now and then.
    fn grow(&mut self) {
        let Some(growth) = self.growth.as_ref().filter(|_| self.growing.is_none()) else { return };
        let routes =
            self.core.routes.topic(&self.topic).expect("it was asked for when the consumer was opened");
        let count = routes.partition_count();
        if routes.id == growth.topic_id && count > growth.known {
            self.growing = Some(growth.clone().take_up(self.core.clone(), count).boxed());
        } else if Instant::now() >= self.look_at {
            let left = self.core.routes_age_max.saturating_sub(routes.age());
            self.refresh |= left.is_zero();
            // An answer that does not come is not waited for in a tight loop.
            let next = if left.is_zero() { self.core.routes_age_max } else { left };
            self.look_at = Instant::now() + next;
        }
    }

    fn grown(&mut self, grown: Result<Grown, RequestError>) {
        self.growing = None;
        let Some(growth) = &mut self.growth else { return };
        match grown {
            Ok(Grown::Taken { plans, held, count }) => {
                growth.known = count;
                if let (Some(group), Some(held)) = (&mut growth.group, &held) {
                    group.hold(held);
                }
                let _gone = self.deliver.send(Heard::Grown { partitions: plans.len(), held });
                for plan in plans {
                    self.placing.push(place(self.core.clone(), self.topic.clone(), plan).boxed());
                }
            }
            // Its next commit tells it that it is over.
            Ok(Grown::Superseded) => self.growth = None,
            Err(error) => {
                self.growth = None;
                self.fail(error.into());
            }
        }
    }

    /// Ends partitions whose leader was away for too long.
    fn give_up(&mut self) {
        let Some(give_up_after_ms) = self.give_up_after_ms else { return };
        let now_ms = self.now_ms();
        for cursor in self.cursors.values_mut() {
            if let Some(error) = cursor.give_up(now_ms, give_up_after_ms) {
                let _gone = self.deliver.send(Heard::Failed(error));
            }
        }
    }

    fn subscribe_rested(&mut self) {
        if self.refreshing.is_some() || self.refresh {
            return;
        }
        let now_ms = self.now_ms();
        let rested = |cursor: &Cursor| cursor.resting_until_ms().is_some_and(|until| until <= now_ms);
        let due: Vec<u32> =
            self.cursors.iter().filter(|(_, cursor)| rested(cursor)).map(|(p, _)| *p).collect();
        for partition in due {
            match self.core.routes.leader(&self.topic, partition) {
                Some(leader) => self.subscribe(partition, leader.address),
                None => {
                    self.rest(partition);
                    self.refresh = true;
                }
            }
        }
    }

    fn subscribe(&mut self, partition: u32, address: String) {
        let subscription_id = u32::try_from(self.next_id & 0xffff_ffff).expect("masked to 32 bits");
        self.next_id += 1;
        let (topic, topic_id, max_bytes) = (self.topic.clone(), self.topic_id.clone(), self.bytes_max);
        let stream = self.stream(address).stream.id;
        let Some(cursor) = self.cursors.get_mut(&partition) else { return };
        let offset = cursor.next();
        cursor.subscribed(stream, subscription_id);
        let open = self.streams.values().find(|open| open.stream.id == stream).expect("it was just opened");
        open.stream.subscribe(Subscribe {
            subscription_id,
            topic,
            topic_id,
            partition,
            offset,
            format: RecordFormat::Batches.into(),
            max_bytes,
            leader_epoch: 0,
        });
    }

    fn stream(&mut self, address: String) -> &mut OpenStream {
        let brokers = u64::try_from(self.core.routes.addresses().len().max(1)).expect("a handful");
        let id = self.next_id;
        self.streams.entry(address).or_insert_with_key(|address| {
            self.next_id += 1;
            let share = (self.buffer_bytes / brokers).max(1);
            let stream = Stream::open(self.core.clone(), address.clone(), id, self.events_to.clone());
            stream.grant(share);
            OpenStream { stream, owed: 0, share }
        })
    }

    fn hear(&mut self, StreamEvent { stream, said }: StreamEvent) {
        match said {
            Said::Records { subscription, answer } => {
                let spent = Spent { stream, bytes: answer.batches.len() as u64 };
                let now_ms = self.now_ms();
                let cursor = self.cursors.iter_mut().find(|(_, cursor)| cursor.reads(stream, subscription));
                let Some((&partition, cursor)) = cursor else {
                    // Of a subscription that is over: nobody will consume it.
                    return self.give_back(spent);
                };
                let offset = cursor.next();
                let moved = cursor.records(answer, now_ms, rand::random());
                if matches!(moved, Move::Deliver(_)) && self.waiting.remove(&partition).is_some() {
                    let topic = self.topic.clone();
                    self.core.listener.tell(Event::ConsumerResumed { topic, partition, offset });
                }
                if cursor.resting_until_ms().is_some() || cursor.is_over() {
                    self.unsubscribe(stream, subscription);
                }
                self.carry_out(partition, moved, Some(spent));
            }
            Said::Ended { subscription, refusal } => {
                let now_ms = self.now_ms();
                let cursor = self.cursors.iter_mut().find(|(_, cursor)| cursor.reads(stream, subscription));
                let Some((&partition, cursor)) = cursor else { return };
                let _news = self.core.learn_leader(&self.topic, partition, &refusal);
                let (waits_for, cause) = match refusal.awaits_mending() {
                    true => (WaitsFor::Mending, format!("damaged records wait to be mended ({refusal})")),
                    false => (WaitsFor::Leader, refusal.to_string()),
                };
                let moved = cursor.ended(refusal, now_ms, rand::random());
                self.tell_waiting(partition, waits_for, &cause);
                self.carry_out(partition, moved, None);
            }
            Said::Over { cause } => self.over(stream, &cause),
        }
    }

    fn carry_out(&mut self, partition: u32, moved: Move, spent: Option<Spent>) {
        match moved {
            Move::Deliver(batch) => {
                let spent = spent.unwrap_or(Spent { stream: 0, bytes: 0 });
                let _gone = self.deliver.send(Heard::Records(Delivered { batch, spent }));
                return;
            }
            Move::Nothing => {}
            Move::Refresh => self.refresh = true,
            Move::Fail(error) => self.fail(*error),
            Move::Reset { from, to } => {
                self.core.listener.tell(Event::ConsumerReset {
                    topic: self.topic.clone(),
                    partition,
                    from,
                    to,
                });
            }
        }
        if let Some(spent) = spent {
            self.give_back(spent);
        }
    }

    /// A stream is over: its partitions are subscribed again, at exactly the next offset, wherever they are led then.
    fn over(&mut self, stream: u64, cause: &str) {
        tracing::debug!(topic = self.topic, cause, "a consume stream ended");
        self.streams.retain(|_, open| open.stream.id != stream);
        let reading = |cursor: &Cursor| cursor.reads_on(stream);
        let orphans: Vec<u32> =
            self.cursors.iter().filter(|(_, cursor)| reading(cursor)).map(|(p, _)| *p).collect();
        for partition in orphans {
            self.rest(partition);
            self.tell_waiting(partition, WaitsFor::Leader, cause);
            self.refresh = true;
        }
    }

    fn rest(&mut self, partition: u32) {
        let now_ms = self.now_ms();
        if let Some(cursor) = self.cursors.get_mut(&partition) {
            cursor.rest(now_ms, rand::random());
        }
    }

    /// Tells that a partition has to wait: once, and once more when what it waits for is found to be damaged.
    fn tell_waiting(&mut self, partition: u32, waits_for: WaitsFor, cause: &str) {
        let now_ms = self.now_ms();
        let Some(cursor) = self.cursors.get(&partition) else { return };
        let waits = cursor.resting_until_ms().is_some_and(|until| until > now_ms);
        let told = self.waiting.get(&partition).is_some_and(|told| *told >= waits_for);
        if waits && !told {
            self.waiting.insert(partition, waits_for);
            let (topic, offset, cause) = (self.topic.clone(), cursor.next(), cause.to_owned());
            self.core.listener.tell(Event::ConsumerWaiting { topic, partition, offset, cause });
        }
    }

    fn unsubscribe(&self, stream: u64, subscription: u32) {
        if let Some(open) = self.streams.values().find(|open| open.stream.id == stream) {
            open.stream.unsubscribe(subscription);
        }
    }

    /// Grants credit again, a quarter of the share at a time: small answers should not cost a message each.
    fn give_back(&mut self, Spent { stream, bytes }: Spent) {
        let Some(open) = self.streams.values_mut().find(|open| open.stream.id == stream) else { return };
        open.owed += bytes;
        if open.owed > 0 && open.owed >= open.share / 4 {
            open.stream.grant(std::mem::take(&mut open.owed));
        }
    }

    fn start_refresh(&mut self) {
        self.refresh = false;
        let (core, topic) = (self.core.clone(), self.topic.clone());
        self.refreshing = Some(async move { core.refresh_routes(&topic).await.is_ok() }.boxed());
    }

    fn wake_at(&self) -> Option<Instant> {
        if self.refreshing.is_some() {
            return None;
        }
        let rested = self.cursors.values().filter_map(Cursor::resting_until_ms).min();
        let rested = rested.map(|first| self.began_at + Duration::from_millis(first));
        let look = self.growth.as_ref().filter(|_| self.growing.is_none()).map(|_| self.look_at);
        rested.into_iter().chain(look).min()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Asks until there is an answer, or an error that waiting does not mend.
async fn place(core: Arc<Core>, topic: String, plan: Plan) -> (u32, Result<Placed, ConsumeError>) {
    let mut failures = 0;
    loop {
        match plan.place(&core, &topic, core.request_timeout).await {
            Err(error) if error.is_passing() => {
                failures += 1;
                tracing::debug!(topic, %error, "where to begin is not known yet");
                tokio::time::sleep(backoff::wait(failures, rand::random())).await;
            }
            placed => return (plan.partition(), placed),
        }
    }
}
