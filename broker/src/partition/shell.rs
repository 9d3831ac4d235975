//! The shell of a partition: a lock around its machine, and hands that carry out what a step wants done.
//!
//! Effects are carried out while the lock is held: batches must reach the flusher in offset order, and messages a
//! stream in the order they were decided. Each takes microseconds at most; none waits; whom they wake is woken when
//! the lock is free. The flusher calls back with no lock of its own held. Lock order: partition, then flusher queue
//! or stream outbox.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use fidelog_log::env::{Clock, Moment};
use fidelog_log::{Flusher, Log, LogEvents, LogFailure, LogHandle, LogView, LogWork, ProducerTable};
use fidelog_record::PlacedBatch;
use fidelog_record::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::warn;

use super::assignment::Assignment;
use super::effect::Effect;
use super::lease::Lease;
use super::links::Links;
use super::machine::{Machine, Published};
use super::mending::Trouble;
use super::produce::Produce;
use super::push::NextPush;
use super::waiter::Waiter;
use super::wakes::Wakes;
use crate::meta::lease::AckLease;
use crate::replica::message::{FollowerMessage, LeaderMessage};
use crate::replica::{Incarnate, StreamId};

/// One partition on this broker.
pub struct Partition {
    pub(super) id: TopicPartition,
    topic_bytes: Bytes,
    pub(super) clock: Arc<dyn Clock>,
    links: Arc<dyn Links>,
    lease: AckLease,
    pub(super) flusher: Arc<Flusher>,
    log: OnceLock<LogHandle>,
    /// What came of the last wish to close or delete the log.
    pub(super) closed: watch::Sender<Result<(), LogFailure>>,
    /// Whether the log was let go of for good; held while it is let go of, or opened again.
    pub(super) gone: tokio::sync::Mutex<bool>,
    state: Mutex<State>,
    /// What the last step found; read without the lock, and only to save work, hence relaxed.
    at_rest: AtomicBool,
    /// Whether anything is wrong with the replica, as the last step found.
    unwell: AtomicBool,
    pub(super) published: watch::Sender<Published>,
    /// The last round that all members answered.
    rounds: watch::Sender<u64>,
    pub(super) trouble: Mutex<Trouble>,
    /// Mended segments on their way into the log.
    pub(super) taking: AtomicUsize,
    pub(super) this: Weak<Partition>,
}

struct State {
    machine: Machine<Waiter>,
    /// Reused from step to step.
    effects: Vec<Effect<Waiter>>,
    /// What the links were told of [`Machine::held_bytes`].
    held_bytes: u64,
    /// What the log was told last: `segment_bytes` and `segment_ms`.
    configured: Option<(u64, u64)>,
    /// [`LogView::damage_changes`] when the machine was told of the damage last.
    damage_told: Option<u64>,
    /// Whether there was any.
    damaged: bool,
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Partition({})", self.id)
    }
}

impl Partition {
    /// A partition around its machine; [`Self::attach`] must follow before any step.
    #[must_use]
    pub fn new(
        machine: Machine<Waiter>,
        flusher: Arc<Flusher>,
        clock: Arc<dyn Clock>,
        links: Arc<dyn Links>,
        lease: AckLease,
    ) -> Arc<Self> {
        let published = watch::Sender::new(machine.published());
        Arc::new_cyclic(|this| Self {
            id: machine.id(),
            topic_bytes: Bytes::copy_from_slice(machine.id().topic.as_bytes()),
            clock,
            links,
            lease,
            flusher,
            log: OnceLock::new(),
            closed: watch::Sender::new(Ok(())),
            gone: tokio::sync::Mutex::new(false),
            state: Mutex::new(State {
                machine,
                effects: Vec::new(),
                held_bytes: 0,
                configured: None,
                damage_told: None,
                damaged: false,
            }),
            at_rest: AtomicBool::new(false),
            unwell: AtomicBool::new(false),
            published,
            rounds: watch::Sender::new(0),
            trouble: Mutex::default(),
            taking: AtomicUsize::new(0),
            this: this.clone(),
        })
    }

    /// Hands the partition's log to the flusher, which reports to this partition from then on.
    ///
    /// # Panics
    /// When it has one already.
    pub fn attach(self: &Arc<Self>, log: Log) {
        assert_eq!(log.partition(), self.id, "another partition's log");
        let handle = self.flusher.attach(log, Arc::clone(self) as Arc<dyn LogEvents>);
        assert!(self.log.set(handle).is_ok(), "{}: attached twice", self.id);
    }

    pub(super) fn submit(&self, work: LogWork) {
        self.flusher.submit(self.log(), work);
    }

    fn log(&self) -> &LogHandle {
        self.log.get().expect("a partition is attached to its log before its first step")
    }

    /// The partition.
    #[must_use]
    pub fn id(&self) -> TopicPartition {
        self.id
    }

    /// Its topic's id as sent on the wire, without a copy.
    #[must_use]
    pub fn topic_bytes(&self) -> Bytes {
        self.topic_bytes.clone()
    }

    /// What readers may know, and its changes.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    /// The log's view, for readers.
    #[must_use]
    pub fn view(&self) -> LogView {
        self.log().view().clone()
    }

    /// Whether all in-sync followers confirm, before `late` is done, that this replica leads in `epoch`, at a moment
    /// after this call (N18). When not, it may lead all the same: the quorum knows.
    pub async fn confirm_epoch(&self, epoch: LeaderEpoch, late: impl Future<Output = ()>) -> bool {
        let (mut rounds, mut published) = (self.rounds.subscribe(), self.published());
        let Some(round) = self.step(|machine, now| machine.begin_round(epoch, now)) else { return false };
        // Stopping here is safe: a round changes nothing.
        tokio::select! {
            biased;
            confirmed = rounds.wait_for(|&confirmed| confirmed >= round) => confirmed.is_ok(),
            _ = published.wait_for(|seen| seen.leading != Some(epoch)) => false,
            () = late => false,
        }
    }

    /// Looks at the machine.
    pub fn inspect<T>(&self, look: impl FnOnce(&Machine<Waiter>) -> T) -> T {
        look(&self.state.lock().machine)
    }

    /// One step: an event goes in, what it wants done is done.
    pub(super) fn step<T>(&self, event: impl FnOnce(&mut Machine<Waiter>, Moment) -> T) -> T {
        let mut state = self.state.lock();
        // Read under the lock, so that a partition's moments never go back.
        let now = self.clock.now();
        let State { machine, effects, held_bytes, damage_told, damaged, .. } = &mut *state;
        machine.set_lease(Lease::of(&self.lease));
        let view = self.log().view();
        let changes = view.damage_changes();
        if *damage_told != Some(changes) && self.taking.load(Ordering::Acquire) == 0 {
            *damage_told = Some(changes);
            let damage = view.damage();
            *damaged = !damage.is_empty();
            machine.damaged(damage);
        }
        let answer = event(machine, now);
        machine.take_effects(effects);
        let before = std::mem::replace(held_bytes, machine.held_bytes());
        if before != *held_bytes {
            self.links.held_changed(before, *held_bytes);
        }
        // Before anybody hears of it: who is woken by an effect looks at this.
        self.at_rest.store(machine.is_at_rest(), Ordering::Relaxed);
        let unwell = *damaged || machine.is_stopped() || machine.wants_epoch();
        self.unwell.store(unwell, Ordering::Release);
        let mut wakes = Wakes::default();
        for effect in effects.drain(..) {
            self.carry_out(effect, machine, &mut wakes);
        }
        drop(state);
        wakes.wake(&self.flusher);
        answer
    }

    fn carry_out(&self, effect: Effect<Waiter>, machine: &Machine<Waiter>, wakes: &mut Wakes) {
        let mut submit = |work| wakes.flusher |= self.flusher.submit_unwoken(self.log(), work);
        match effect {
            Effect::Append(batch) => submit(LogWork::Append(vec![batch])),
            Effect::Secure(bytes) => submit(LogWork::Secure { bytes }),
            Effect::Cut { to, committed_end, permitted } => {
                submit(LogWork::Cut { to, committed_end, permitted });
            }
            Effect::ReadProducers { at, epoch } => {
                if let Some(this) = self.this.upgrade() {
                    self.links.read_producers(&this, epoch, at);
                }
            }
            Effect::StartOver { at, producers } => submit(LogWork::StartOver { at, producers }),
            Effect::AdvanceStart(to) => submit(LogWork::AdvanceStart { to }),
            Effect::NoteCommitted(end) => submit(LogWork::Committed { end }),
            Effect::Answer(waiter, answer) => wakes.add(waiter.answer(answer)),
            Effect::Tell { stream, epoch, message, .. } => {
                wakes.add(self.links.tell(stream, self, epoch, message));
            }
            Effect::Reply { stream, epoch, message } => {
                wakes.add(self.links.reply(stream, self.id, epoch, message));
            }
            Effect::PushReady { stream, .. } => {
                wakes.add(self.this.upgrade().and_then(|this| self.links.push_ready(stream, &this)));
            }
            Effect::CommittedReady { stream, .. } => {
                wakes.add(self.this.upgrade().and_then(|this| self.links.committed_ready(stream, &this)));
            }
            Effect::Propose { epoch, proposed } => self.links.propose(self.id, epoch, proposed),
            Effect::ReadTail { from, start, end, epoch } => {
                if let Some(this) = self.this.upgrade() {
                    self.links.read_tail(&this, from, epoch, start, end);
                }
            }
            Effect::Confirmed(round) => {
                self.rounds.send_replace(round);
            }
            Effect::ReplicaFailed => self.links.replica_failed(self.id),
            Effect::Publish => {
                self.published.send_replace(machine.published());
            }
            Effect::Alarm(message) => warn!(partition = %self.id, "{message}"),
        }
    }

    /// What [`Self::configure`] said last, once more: the log is another one.
    pub(super) fn configure_again(&self) {
        if let Some((segment_bytes, segment_ms)) = self.state.lock().configured {
            self.submit(LogWork::Configure { segment_bytes, segment_ms });
        }
    }

    /// The topic's own limits of a segment; the log hears of them when they are new.
    pub fn configure(&self, segment_bytes: u64, segment_ms: u64) {
        let mut state = self.state.lock();
        if state.configured.replace((segment_bytes, segment_ms)) != Some((segment_bytes, segment_ms)) {
            self.submit(LogWork::Configure { segment_bytes, segment_ms });
        }
    }

    /// Ends the segment being written to, so that its records can be given up one day.
    pub fn roll(&self) {
        self.submit(LogWork::Roll);
    }

    /// Takes a produce; its waiter is answered exactly once.
    pub fn produce(&self, produce: Produce<Waiter>) {
        let wall_ms = self.clock.wall_ms();
        self.step(|machine, now| machine.produce(produce, now, wall_ms));
    }

    /// The watch shows that no in-sync set takes these brokers in.
    pub fn barred(&self, barred: Arc<BTreeSet<BrokerId>>) {
        self.step(|machine, now| machine.barred(barred, now));
    }

    /// The watch shows this entry.
    pub fn assigned(&self, assignment: Assignment) {
        self.step(|machine, now| machine.assigned(assignment, now));
    }

    /// A stream to a follower is up.
    pub fn stream_up(&self, stream: StreamId, incarnate: Incarnate) {
        self.step(|machine, _| machine.stream_up(stream, incarnate));
    }

    /// The same, unless the follower is on a stream already.
    pub fn stream_up_if_down(&self, stream: StreamId, incarnate: Incarnate) {
        self.step(|machine, _| {
            if machine.is_down(incarnate.broker) {
                machine.stream_up(stream, incarnate);
            }
        });
    }

    /// Whether [`Self::tick`] has anything to watch over.
    #[must_use]
    pub fn wants_ticks(&self) -> bool {
        let state = self.state.lock();
        state.machine.wants_ticks() || state.damage_told != Some(self.log().view().damage_changes())
    }

    /// Whether ticks may be rare, as the last step found.
    pub(super) fn is_at_rest(&self) -> bool {
        self.at_rest.load(Ordering::Relaxed)
    }

    /// Whether anything is wrong with this replica, as the last step found; damage is noticed at the next tick.
    pub(super) fn is_unwell(&self) -> bool {
        self.unwell.load(Ordering::Acquire)
    }

    /// A stream to a follower ended.
    pub fn stream_down(&self, stream: StreamId, follower: BrokerId) {
        self.step(|machine, now| machine.stream_down(stream, follower, now));
    }

    /// A follower speaks.
    pub fn heard(&self, from: BrokerId, stream: StreamId, epoch: LeaderEpoch, message: FollowerMessage) {
        self.step(|machine, now| machine.heard(from, stream, epoch, message, now));
    }

    /// The leader speaks.
    pub fn led(&self, stream: StreamId, epoch: LeaderEpoch, message: LeaderMessage) {
        self.step(|machine, _| machine.led(stream, epoch, message));
    }

    /// The stream on which a leader spoke ended.
    pub fn leader_stream_down(&self, stream: StreamId) {
        self.step(|machine, _| machine.leader_stream_down(stream));
    }

    /// What the leader remembers of producers below `at`.
    pub fn producers_read(&self, at: Offset, epoch: LeaderEpoch, producers: ProducerTable) {
        self.step(|machine, _| machine.producers_read(at, epoch, producers));
    }

    /// That could not be read.
    pub fn producers_not_read(&self, at: Offset, epoch: LeaderEpoch, why: &str) {
        self.step(|machine, _| machine.producers_not_read(at, epoch, why));
    }

    /// Batches copied from a follower's tail.
    pub fn tail_copied(&self, from: BrokerId, batches: Vec<PlacedBatch>) {
        self.step(|machine, now| {
            if let Err(why) = machine.tail_copied(batches, now) {
                warn!(partition = %machine.id(), "{why}");
                machine.tail_not_copied(from, now);
            }
        });
    }

    /// A follower's tail could not be copied.
    pub fn tail_not_copied(&self, from: BrokerId) {
        self.step(|machine, now| machine.tail_not_copied(from, now));
    }

    /// What the stream's sender should push next.
    pub fn next_push(&self, to: BrokerId, stream: StreamId, bytes_max: u64) -> NextPush {
        self.step(|machine, _| machine.next_push(to, stream, bytes_max))
    }

    /// What was read for [`NextPush::Read`].
    pub fn read_for_push(
        &self,
        to: BrokerId,
        stream: StreamId,
        epoch: LeaderEpoch,
        batches: Vec<PlacedBatch>,
    ) -> NextPush {
        self.step(|machine, _| machine.read_for_push(to, stream, epoch, batches))
    }

    /// The committed end, for a follower that has not heard of it.
    pub fn next_committed(&self, to: BrokerId, stream: StreamId) -> Option<(LeaderEpoch, LeaderMessage)> {
        self.step(|machine, _| machine.next_committed(to, stream))
    }

    /// The leader's decision to drop what lies below `to` (N15); never beyond what is committed.
    pub fn advance_start(&self, to: Offset) {
        self.step(|machine, _| machine.retain_from(to));
    }

    /// The quorum has refused a change, and the set is taken to be what it was: only ever planted (N7).
    #[cfg(feature = "sim")]
    pub fn believe_refusal(&self) {
        self.step(|machine, _| machine.believe_refusal());
    }

    /// Time passes.
    pub fn tick(&self) {
        self.step(|machine, now| machine.tick(now));
    }

    /// The broker stops.
    pub fn stopping(&self) {
        self.step(|machine, _| machine.stopping());
    }
}
