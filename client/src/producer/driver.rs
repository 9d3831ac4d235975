//! The task of one partition: takes batches from the queue, runs the lane, does what it says. All decisions are the
//! lane's; here are the clock, the connection and the answers.
//!
//! It ends when its queue is closed and everything handed over has been answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fidelog_proto::v1::{OpenProducerRequest, ProduceRequest, produce_request};
use fidelog_proto::v1::{Reason, produce_service_client::ProduceServiceClient};
use fidelog_record::ProducerStamp;
use fidelog_record::types::{LeaderEpoch, ProducerEpoch, ProducerId};
use futures::future::{BoxFuture, FutureExt, OptionFuture};
use tokio::sync::mpsc;

use crate::backoff;
use crate::calls::Repeat;
use crate::client::Core;
use crate::error::{Refusal, RequestError};
use crate::event::Event;
use crate::receipt::BatchReceipt;

use super::ProducerShared;
use super::delivery::{Cause, DeliveryError};
use super::lane::{Answer, Effect, Identity, Lane};
use super::leader::{self, DOUBT_AFTER, Found};
use super::link::Link;
use super::queue::{Batch, Queue};
use super::refusal::SendCause;

/// How much longer than its acknowledgement timeout a broker may be silent before its stream is given up.
const SILENCE_GRACE: Duration = Duration::from_secs(5);
/// A silent leader is doubted again after about 100 ms, not after the first and shortest waits.
const DOUBTS_SKIPPED: u32 = 5;
/// Answers taken at once, so that time is looked at now and then.
const ANSWERS_AT_ONCE: usize = 64;

pub(crate) struct Driver {
    shared: Arc<ProducerShared>,
    queue: Arc<Queue>,
    lane: Lane<Arc<Batch>>,
    began_at: Instant,
    answers: mpsc::UnboundedReceiver<(u64, Answer)>,
    answers_to: mpsc::UnboundedSender<(u64, Answer)>,
    link: Option<Arc<Link>>,
    linking: Option<BoxFuture<'static, Result<Found, String>>>,
    opening: Option<BoxFuture<'static, Result<Granted, RequestError>>>,
    /// Routes are asked for because the leader is silent.
    doubting: Option<BoxFuture<'static, ()>>,
    /// How often that was done during this silence.
    doubts: u32,
    doubt_at: Instant,
    /// Since when batches are in flight and nothing was heard.
    silent_since: Instant,
    /// The epoch of the leader that the stream goes to, as the routes told.
    link_epoch: LeaderEpoch,
    /// The routes' version that was last looked at.
    routes_version: u64,
    /// The listener was told that batches wait.
    waiting: bool,
    /// The broker said that it does not lead, or cannot serve: its stream is left once nothing is in flight.
    misled: bool,
    /// The cached route is not to be believed.
    ask_routes: bool,
    last_sent_or_heard: Instant,
    effects: Vec<Effect<Arc<Batch>>>,
}

impl Driver {
    pub(crate) fn new(shared: Arc<ProducerShared>, queue: Arc<Queue>) -> Self {
        let (answers_to, answers) = mpsc::unbounded_channel();
        let lane = match shared.identity {
            Some(identity) => Lane::idempotent(identity, shared.batches_in_flight),
            None => Lane::plain(),
        };
        Self {
            shared,
            queue,
            lane,
            began_at: Instant::now(),
            answers,
            answers_to,
            link: None,
            linking: None,
            opening: None,
            doubting: None,
            doubts: 0,
            doubt_at: Instant::now(),
            silent_since: Instant::now(),
            link_epoch: LeaderEpoch(0),
            routes_version: 0,
            waiting: false,
            misled: false,
            ask_routes: false,
            last_sent_or_heard: Instant::now(),
            effects: Vec::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.work();
            let resting = self.queue.rest(self.lane.is_empty());
            if resting.sealed {
                continue;
            }
            let nothing_left = self.lane.is_empty() && resting.open_since.is_none();
            if resting.closed && nothing_left {
                return;
            }
            let wanted = self.lane.has_waiting() || resting.open_since.is_some();
            if wanted && self.can_link() {
                self.start_linking();
            } else if self.may_take_open() && resting.open_since.is_some() {
                continue;
            }
            let wake_at = self.wake_at(resting.open_since);
            self.wait(wake_at).await;
        }
    }

    /// Everything that can be done without waiting.
    fn work(&mut self) {
        self.leave_dead_link();
        self.leave_former_leader();
        let now_ms = self.now_ms();
        self.pull();
        let linked = self.link.is_some();
        self.lane.step(now_ms, linked, &mut self.effects);
        self.act();
        if let Some(refusal) = self.lane.fenced() {
            self.shared.close(&SendCause::Fenced(refusal.clone()));
        }
    }

    /// Sealed batches always; the open one when the pipe is free, or its budget is over.
    fn pull(&mut self) {
        let budget = self.shared.settings.delivery_budget;
        let overdue = |since: Instant| since.elapsed() >= budget;
        let also_open = self.may_take_open() || self.queue.rest(false).open_since.is_some_and(overdue);
        let (batches, opened) = self.queue.take(also_open);
        if opened {
            self.shared.move_on(self.queue.partition);
        }
        for batch in batches {
            let deadline_ms = self.millis(batch.began_at + budget);
            let records = batch.records;
            self.lane.push(batch, records, deadline_ms);
        }
    }

    fn may_take_open(&self) -> bool {
        self.lane.is_empty() && self.link.is_some() && self.lane.rested(self.now_ms())
    }

    fn leave_dead_link(&mut self) {
        let over = self.link.as_ref().is_some_and(|link| link.is_over());
        if over || (self.misled && self.lane.in_flight() == 0) {
            self.link = None;
            self.misled = false;
            // The connection may have ended because its broker did.
            self.ask_routes |= over;
        }
    }

    /// Follows the partition to a newer leader, whoever learned of it. What is in flight at the former one is waited
    /// for while it answers.
    fn leave_former_leader(&mut self) {
        if self.lane.in_flight() == 0 {
            self.silent_since = Instant::now();
            self.doubts = 0;
        }
        self.doubt();
        let version = self.shared.core.routes.version();
        if version == self.routes_version {
            return;
        }
        let Some(link) = &self.link else { return };
        let known = self.shared.core.routes.leader(&self.shared.topic, self.queue.partition);
        let moved =
            known.is_some_and(|leader| leader.epoch > self.link_epoch && leader.address != link.address);
        if moved && self.lane.in_flight() == 0 {
            self.link = None;
        } else if moved && self.silent_since.elapsed() >= DOUBT_AFTER {
            self.link = None;
            self.lane.abandon(self.now_ms(), rand::random(), &mut self.effects);
        }
        if !moved || self.link.is_none() {
            self.routes_version = version;
        }
    }

    /// Asks who leads by now when the leader has been silent for long.
    fn doubt(&mut self) {
        let now = Instant::now();
        if self.lane.in_flight() == 0 || self.doubting.is_some() || now < self.next_doubt_at() {
            return;
        }
        self.doubts = self.doubts.saturating_add(1);
        self.doubt_at = now + backoff::search(self.doubts + DOUBTS_SKIPPED, rand::random());
        let shared = self.shared.clone();
        let doubting = async move {
            // Whether it was answered shows in the routes.
            let _answered = shared.core.refresh_routes(&shared.topic).await;
        };
        self.doubting = Some(doubting.boxed());
    }

    fn next_doubt_at(&self) -> Instant {
        self.doubt_at.max(self.silent_since + DOUBT_AFTER)
    }

    fn act(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { attempt, stamp, payload } => self.send(attempt, stamp, &payload),
                Effect::Report { payload, outcome } => self.report(&payload, outcome),
                Effect::Retried { attempts, reason } => {
                    self.tell(|topic, partition| Event::BatchRetried { topic, partition, attempts, reason })
                }
                Effect::EpochRaised(epoch) => {
                    self.tell(|topic, partition| Event::ProducerEpochRaised { topic, partition, epoch });
                }
                Effect::NeedIdentity => self.opening = Some(open_producer(self.shared.core.clone()).boxed()),
            }
        }
        // Keeps the allocation, and what a failed send may have caused meanwhile.
        effects.append(&mut self.effects);
        self.effects = effects;
    }

    fn send(&mut self, attempt: u64, stamp: ProducerStamp, batch: &Batch) {
        let request = ProduceRequest {
            topic: self.shared.topic.clone(),
            topic_id: self.shared.topic_id.clone(),
            partition: Some(self.queue.partition),
            payload: Some(produce_request::Payload::Batch(batch.encode(stamp))),
            producer: None,
            ack_timeout_ms: self.shared.ack_timeout_ms,
            leader_epoch: 0,
        };
        self.last_sent_or_heard = Instant::now();
        let sent = self.link.as_ref().is_some_and(|link| link.send(request, attempt, &self.answers_to));
        if !sent {
            let _ours = self.answers_to.send((attempt, Answer::Unsent));
        }
    }

    fn report(&self, batch: &Batch, outcome: Result<Box<fidelog_proto::v1::Receipt>, DeliveryError>) {
        let outcome = outcome.and_then(|receipt| {
            BatchReceipt::new(*receipt, batch.sent_at(), Instant::now())
                .ok_or_else(|| DeliveryError::new(true, Cause::UnreadableAnswer, 1))
        });
        if let Err(error) = &outcome {
            self.shared.failures.note(batch.records, error);
        }
        batch.completion.complete(outcome);
    }

    fn tell(&self, event: impl FnOnce(String, u32) -> Event) {
        self.shared.core.listener.tell(event(self.shared.topic.clone(), self.queue.partition));
    }

    fn can_link(&self) -> bool {
        self.link.is_none() && self.linking.is_none() && self.lane.rested(self.now_ms())
    }

    fn start_linking(&mut self) {
        let ask = std::mem::take(&mut self.ask_routes);
        self.linking = Some(leader::find(self.shared.clone(), self.queue.partition, ask).boxed());
    }

    fn wake_at(&self, open_since: Option<Instant>) -> Option<Instant> {
        let at = |ms| self.began_at + Duration::from_millis(ms);
        let lane = self.lane.wake_at_ms(self.now_ms()).map(at);
        let open = open_since.map(|since| since + self.shared.settings.delivery_budget);
        let rested = (open_since.is_some() && self.link.is_none()).then(|| self.lane.resume_at_ms()).map(at);
        let rested = rested.filter(|at| *at > Instant::now());
        let in_flight = self.lane.in_flight() > 0;
        let silence = in_flight.then(|| self.silence_ends_at());
        let doubt = (in_flight && self.doubting.is_none()).then(|| self.next_doubt_at());
        lane.into_iter().chain(open).chain(rested).chain(silence).chain(doubt).min()
    }

    fn silence_ends_at(&self) -> Instant {
        self.last_sent_or_heard + Duration::from_millis(self.shared.ack_timeout_ms.into()) + SILENCE_GRACE
    }

    /// Until something happens. Every branch can be dropped at any time: nothing is taken before it is done.
    async fn wait(&mut self, wake_at: Option<Instant>) {
        let sleep = wake_at.map(|at| tokio::time::sleep_until(at.into()));
        tokio::select! {
            Some((attempt, answer)) = self.answers.recv() => self.hear(attempt, answer),
            () = self.queue.woken() => {}
            Some(linked) = OptionFuture::from(self.linking.as_mut()) => self.linked(linked),
            Some(opened) = OptionFuture::from(self.opening.as_mut()) => self.opened(opened),
            Some(()) = OptionFuture::from(self.doubting.as_mut()) => self.doubting = None,
            Some(()) = OptionFuture::from(sleep) => self.judge_silence(),
        }
    }

    fn hear(&mut self, attempt: u64, answer: Answer) {
        self.last_sent_or_heard = Instant::now();
        self.silent_since = self.last_sent_or_heard;
        self.doubts = 0;
        self.answered(attempt, answer);
        for _ in 1..ANSWERS_AT_ONCE {
            let Ok((attempt, answer)) = self.answers.try_recv() else { return };
            self.answered(attempt, answer);
        }
    }

    fn answered(&mut self, attempt: u64, answer: Answer) {
        let mut moved = false;
        if let Answer::Stored(_) = &answer
            && std::mem::take(&mut self.waiting)
        {
            self.tell(|topic, partition| Event::ProducerResumed { topic, partition });
        }
        if let Answer::Refused(refusal) = &answer {
            moved = self.look_for_leader(refusal);
            if let Some(wait) = refusal.retry_after {
                self.tell(|topic, partition| Event::Throttled { topic, partition, wait });
            }
        }
        let now_ms = self.now_ms();
        self.lane.answered(attempt, answer, now_ms, rand::random(), &mut self.effects);
        if moved {
            // The new leader is known: waiting would help nobody.
            self.lane.resume_now(now_ms);
        }
    }

    /// Leaves a broker that says it cannot serve the partition; tells whether it named one that can.
    fn look_for_leader(&mut self, refusal: &Refusal) -> bool {
        let elsewhere = matches!(
            refusal.reason,
            Reason::NotLeader
                | Reason::LeaderNotAvailable
                | Reason::Unavailable
                | Reason::FencedEpoch
                | Reason::UnknownEpoch
                | Reason::OutcomeUnknown
                | Reason::UnknownTopic
                | Reason::UnknownPartition
        );
        if !elsewhere {
            return false;
        }
        self.misled = true;
        let learned = self.shared.core.learn_leader(&self.shared.topic, self.queue.partition, refusal);
        let known = self.shared.core.routes.leader(&self.shared.topic, self.queue.partition);
        let other =
            known.is_some_and(|leader| self.link.as_ref().is_some_and(|link| link.address != leader.address));
        self.ask_routes = !learned && !other;
        learned
    }

    fn linked(&mut self, linked: Result<Found, String>) {
        self.linking = None;
        if let Some(routes) = self.shared.core.routes.topic(&self.shared.topic) {
            self.shared.take_up(&routes);
        }
        match linked {
            Ok(Found { link, epoch }) => {
                self.link = Some(link);
                self.link_epoch = epoch;
                self.misled = false;
            }
            Err(cause) => {
                tracing::debug!(partition = self.queue.partition, cause, "no stream to the leader");
                self.ask_routes = true;
                let now_ms = self.now_ms();
                self.lane.not_connected(now_ms, rand::random());
                self.waiting = true;
                self.tell(|topic, partition| Event::ProducerWaiting { topic, partition, cause });
            }
        }
    }

    fn opened(&mut self, opened: Result<Granted, RequestError>) {
        self.opening = None;
        let now_ms = self.now_ms();
        match opened {
            Ok(granted) => self.lane.granted(granted.identity),
            Err(error) => {
                self.lane.not_granted(now_ms, rand::random());
                let cause = error.to_string();
                self.waiting = true;
                self.tell(|topic, partition| Event::ProducerWaiting { topic, partition, cause });
            }
        }
    }

    fn judge_silence(&mut self) {
        if self.lane.in_flight() > 0
            && Instant::now() >= self.silence_ends_at()
            && let Some(link) = &self.link
        {
            link.give_up();
            self.last_sent_or_heard = Instant::now();
        }
    }

    fn now_ms(&self) -> u64 {
        self.millis(Instant::now())
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began_at).as_millis()).unwrap_or(u64::MAX)
    }
}

/// A new identity, and how many of its batches may be unanswered per partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    pub(crate) identity: Identity,
    pub(crate) batches_in_flight_max: usize,
}

/// Asks for a new identity. Asking twice wastes a number and harms nobody.
pub(crate) async fn open_producer(core: Arc<Core>) -> Result<Granted, RequestError> {
    let answer = core
        .call(Repeat::Always, |channel| async move {
            ProduceServiceClient::new(channel).open_producer(OpenProducerRequest {}).await
        })
        .await?;
    if answer.producer_id == 0 {
        return Err(RequestError::Malformed("a producer id above 0"));
    }
    let identity =
        Identity { id: ProducerId(answer.producer_id), epoch: ProducerEpoch(answer.producer_epoch) };
    Ok(Granted { identity, batches_in_flight_max: answer.batches_in_flight_max.max(1) as usize })
}
