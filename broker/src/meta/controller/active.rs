//! The controller of one node: active for as long as its node leads the quorum.
//!
//! ```text
//!   idle --the node leads, of a term--> active(term) --it leads of another term--> active(that), all forgotten
//!     ^                                    |
//!     +------- the node does not lead -----+
//!
//!   a turn, every 100 ms and when a stream ended or a heartbeat may change something:
//!     look who leads -> judge -> what is due and not under way: propose, or probe
//! ```
//!
//! Always true: no task runs twice at the same time, and it counts as running until the watch has shown what came of
//! it; the time that counts is when a heartbeat came, not when it is dealt with; a lock is held for a few steps of
//! pure code and never across an await.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fidelog_log::env::Clock;
use fidelog_record::types::BrokerId;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::duties::Duties;
use super::heartbeat::{Heartbeat, SessionId};
use super::liveness::{Liveness, TURN_EVERY, Verdict};
use super::rounds::Rounds;
use super::session::{Answers, Session, Waiting};
use super::task::Task;
use crate::meta::quorum::{MetadataQuorum, ProposeError};
use crate::meta::state::{ClusterState, KnownFor};
use crate::meta::view::MetaView;

/// A task that was refused or failed is not tried again before this has passed.
const PAUSE: Duration = Duration::from_millis(250);
/// Tasks under way at once; the others are found again at a later turn.
const TASKS_MAX: usize = 64;

/// How a controller learns that nobody listens at an address.
pub trait Probe: fmt::Debug + Send + Sync {
    /// Whether `address`, `host:port`, refuses connections. `false` when it accepts one, or nothing is known within
    /// half a second.
    fn is_refused(&self, address: &str) -> BoxFuture<'static, bool>;
}

/// What a controller works with.
#[derive(Debug)]
pub struct ControllerParts {
    /// Its node.
    pub me: BrokerId,
    /// The quorum, of which the node is a member.
    pub quorum: Arc<dyn MetadataQuorum>,
    /// The node's view of the metadata.
    pub view: Arc<MetaView>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How it connects.
    pub probe: Arc<dyn Probe>,
}

/// The controller of one node.
#[derive(Debug)]
pub struct Controller {
    parts: ControllerParts,
    active: Mutex<Option<Active>>,
    rounds: Rounds,
    turn_due: Notify,
    next_session: AtomicU64,
}

/// What it knows while it is the active one.
#[derive(Debug)]
struct Active {
    term: u64,
    liveness: Liveness,
    duties: Duties,
    /// At most [`TASKS_MAX`].
    under_way: Vec<Task>,
}

impl Controller {
    /// A controller that does nothing until it is run.
    #[must_use]
    pub fn new(parts: ControllerParts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            active: Mutex::default(),
            rounds: Rounds::default(),
            turn_due: Notify::new(),
            next_session: AtomicU64::new(1),
        })
    }

    /// A new stream of heartbeats.
    #[must_use]
    pub fn open(self: &Arc<Self>) -> Session {
        let id = SessionId(self.next_session.fetch_add(1, Ordering::Relaxed));
        Session::new(Arc::clone(self), id)
    }

    /// Whether the registered process of `broker` may be running still, so that another start of it has to wait (N13).
    /// `true` where this controller is not the active one, and cannot know.
    #[must_use]
    pub fn may_run(&self, broker: BrokerId) -> bool {
        let now = self.parts.clock.now();
        let Some(state) = self.parts.view.state() else { return true };
        self.with_active(|active| active.liveness.may_run(&state, broker, now)).unwrap_or(true)
    }

    /// For how long, to this controller's certain knowledge, `broker` has been what it is: what an operator's recovery
    /// waits for (N9). None where this controller is not the active one, and cannot know.
    #[must_use]
    pub fn known_for(&self, broker: BrokerId) -> Option<KnownFor> {
        let now = self.parts.clock.now();
        self.with_active(|active| active.liveness.known_for(broker, now)).flatten()
    }

    /// Takes turns and answers heartbeats, for ever. Dropping the future ends it at a safe point.
    pub async fn run(&self) {
        tokio::join!(self.take_turns(), self.rounds.run(self.parts.quorum.as_ref(), &self.parts.view));
    }

    /// A heartbeat came.
    ///
    /// # Errors
    /// Who is the active controller instead of this one, if known.
    pub(super) fn heard(
        &self,
        session: SessionId,
        heartbeat: &Heartbeat,
        answers: &Answers,
    ) -> Result<(), Option<BrokerId>> {
        let now = self.parts.clock.now();
        let mut locked = self.active.lock();
        let Some(active) = self.look(&mut locked) else { return Err(self.parts.quorum.status().leader) };
        if let Some(state) = self.parts.view.state() {
            active.liveness.heard(&state, session, heartbeat, now);
            // What it says may be what is waited for, and then nobody waits for the next turn.
            if state.broker(heartbeat.broker).is_some_and(|entry| entry.fenced) || heartbeat.stopping {
                self.turn_due.notify_one();
            }
        }
        drop(locked);
        let (broker, epoch, number) = (heartbeat.broker, heartbeat.epoch, heartbeat.number);
        self.rounds.add(session, Waiting { broker, epoch, number, answers: answers.clone() });
        Ok(())
    }

    /// A stream of heartbeats ended.
    pub(super) fn ended(&self, session: SessionId) {
        let now = self.parts.clock.now();
        self.rounds.forget(session);
        if let Some(active) = self.active.lock().as_mut() {
            active.liveness.ended(session, now);
            self.turn_due.notify_one();
        }
    }

    fn with_active<T>(&self, then: impl FnOnce(&mut Active) -> T) -> Option<T> {
        self.look(&mut self.active.lock()).map(then)
    }

    /// Looks whether the node leads the quorum.
    fn look<'a>(&self, active: &'a mut Option<Active>) -> Option<&'a mut Active> {
        let status = self.parts.quorum.status();
        if status.leader != Some(self.parts.me) || status.stopped.is_some() {
            if active.take().is_some() {
                tracing::info!("this controller is no longer the active one");
            }
            return None;
        }
        if active.as_ref().is_some_and(|active| active.term != status.term) {
            *active = None;
        }
        Some(active.get_or_insert_with(|| {
            tracing::info!(term = status.term, "this controller is the active one");
            Active {
                term: status.term,
                liveness: Liveness::new(self.parts.clock.now()),
                duties: Duties::default(),
                under_way: Vec::new(),
            }
        }))
    }

    async fn take_turns(&self) {
        let mut every = tokio::time::interval(TURN_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tasks = FuturesUnordered::new();
        loop {
            // Stopping at any await is safe: what is due is found due again, by this controller or the next.
            tokio::select! {
                _ = every.tick() => {}
                () = self.turn_due.notified() => {}
                Some((term, task)) = tasks.next() => {
                    self.done(term, &task);
                    continue; // What is due again waits for its turn: nobody is asked without a pause.
                }
            }
            for (term, task, state) in self.turn() {
                tasks.push(self.carry_out(term, task, state));
            }
        }
    }

    /// What is to be begun now.
    fn turn(&self) -> Vec<(u64, Task, Arc<ClusterState>)> {
        let now = self.parts.clock.now();
        let Some(state) = self.parts.view.state() else { return Vec::new() };
        let begin = |active: &mut Active| {
            let judged =
                active.liveness.turn(&state, now).into_iter().map(|(broker, epoch, verdict)| match verdict {
                    Verdict::Probe => Task::Probe(broker, epoch),
                    Verdict::Fence(reason) => Task::Fence(broker, epoch, reason),
                    Verdict::Unfence => Task::Unfence(broker, epoch),
                    Verdict::HandOver => Task::HandOver(broker, epoch),
                });
            let mut tasks: Vec<Task> = judged.collect();
            // Half of the room is kept for who lives and who does not.
            let room = (TASKS_MAX / 2).saturating_sub(active.under_way.len());
            let duties = active.duties.due(&state, &active.liveness, now, room);
            tasks.extend(duties.into_iter().map(Task::Duty));
            let term = active.term;
            tasks.retain(|task| !active.under_way.contains(task));
            tasks.truncate(TASKS_MAX - active.under_way.len());
            active.under_way.extend(tasks.iter().cloned());
            tasks.into_iter().map(|task| (term, task, Arc::clone(&state))).collect()
        };
        self.with_active(begin).unwrap_or_default()
    }

    async fn carry_out(&self, term: u64, task: Task, state: Arc<ClusterState>) -> (u64, Task) {
        match task.proposal() {
            None => {
                if let Task::Probe(broker, epoch) = task
                    && let Some(entry) = state.broker(broker)
                    && self.parts.probe.is_refused(&entry.peer_address).await
                {
                    self.with_active(|active| active.liveness.refused(broker, epoch));
                    self.turn_due.notify_one();
                }
            }
            Some(proposal) => match self.parts.quorum.propose(proposal).await {
                // Shown before it counts as done, so that it is not found due again.
                Ok(accepted) => {
                    tracing::info!(index = %accepted.index, "{task}: done");
                    self.parts.view.wait_for(accepted.index).await;
                }
                Err(error) => {
                    match error {
                        ProposeError::Refused { .. } => tracing::debug!("{task}: {error}"),
                        _ => tracing::info!("{task}: {error}"),
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
        (term, task)
    }

    fn done(&self, term: u64, task: &Task) {
        if let Some(active) = self.active.lock().as_mut().filter(|active| active.term == term) {
            active.under_way.retain(|it| it != task);
        }
    }
}
