//! Which brokers live, as the active controller judges it (N12). Pure.
//!
//! ```text
//!               heartbeat                 stream ends                connection refused
//!   Expected ------------> Heard(session) -----------> Cut ------------------------------> to be fenced
//!      |  |                  ^   |                    |  |  ^
//!      |  |                  +---|------ heartbeat ---+  |  +-- asked again at every turn, as Expected is
//!      |  +-- refused            |                       |
//!      +------------------------ 1.5 s without a heartbeat +------------------------------> to be fenced
//! ```
//!
//! Always true: a broker is fenced for silence only after 1.5 s of it that this controller was awake for; what is
//! judged is the registration that the metadata shows, and no other; a controller that has just become the active
//! one, and a broker that has just registered, have the full time before them.
//!
//! Not here: who is the active controller; proposing; connecting; answering heartbeats.

use std::collections::BTreeMap;
use std::time::Duration;

use fidelog_log::env::Moment;
use fidelog_record::types::{BrokerEpoch, BrokerId, MetaIndex};

use super::heartbeat::{BrokerHealth, Heartbeat, SessionId};
use crate::meta::state::{BrokerEntry, ClusterState, FenceReason, KnownFor};

/// So long without a heartbeat, and a broker is fenced.
pub const FENCE_AFTER: Duration = Duration::from_millis(1_500);
/// How often a controller takes a turn.
pub const TURN_EVERY: Duration = Duration::from_millis(100);
/// A turn that comes later than this after the one before tells of this controller's own absence.
const ABSENT_AFTER: Duration = Duration::from_millis(500);
/// A broker whose stream ended and which has not come back after so long has ended its session (N13): a living one
/// connects again at once.
const RETURN_WITHIN: Duration = Duration::from_millis(500);

const _: () = assert!(TURN_EVERY.as_millis() * 2 <= ABSENT_AFTER.as_millis());
const _: () = assert!(ABSENT_AFTER.as_millis() + RETURN_WITHIN.as_millis() < FENCE_AFTER.as_millis());

/// What ought to happen to one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is dead, or as good as dead.
    Fence(FenceReason),
    /// It lives again.
    Unfence,
    /// It wants to stop: what it leads goes to others first.
    HandOver,
    /// It may be dead: whether its address refuses connections would tell.
    Probe,
}

/// What this controller knows of one registration.
#[derive(Clone, Debug)]
struct Life {
    epoch: BrokerEpoch,
    /// When it was first seen.
    seen_at: Moment,
    /// When it was heard last; before that, since when it has been expected.
    heard_at: Moment,
    /// Where its heartbeats come; none before the first and after the stream ended.
    session: Option<SessionId>,
    /// When the stream ended; none before the first and while there is one.
    cut_at: Option<Moment>,
    /// Its address refused a connection while there was no stream.
    refused: bool,
    /// Where the metadata was, and when, when it was first seen fenced; none while it is not.
    fenced: Option<(MetaIndex, Moment)>,
    /// Since when it has been seen unfenced; none while it is fenced.
    unfenced_at: Option<Moment>,
    passed: MetaIndex,
    ready: bool,
    stopping: bool,
    health: BrokerHealth,
}

impl Life {
    fn expected(epoch: BrokerEpoch, now: Moment) -> Self {
        Self {
            epoch,
            seen_at: now,
            heard_at: now,
            session: None,
            cut_at: None,
            refused: false,
            fenced: None,
            unfenced_at: None,
            passed: MetaIndex(0),
            ready: false,
            stopping: false,
            health: BrokerHealth::default(),
        }
    }

    fn is_silent(&self, now: Moment) -> bool {
        now.since(self.heard_at) >= FENCE_AFTER
    }

    fn verdict(&self, entry: &BrokerEntry, now: Moment) -> Option<Verdict> {
        match entry.fenced {
            false if self.health.failed.is_some() => Some(Verdict::Fence(FenceReason::DataDirectoryFailed)),
            false if self.is_silent(now) => Some(Verdict::Fence(FenceReason::HeartbeatsMissing)),
            false if self.refused => Some(Verdict::Fence(FenceReason::ConnectionRefused)),
            false if self.stopping => Some(Verdict::HandOver),
            false => self.session.is_none().then_some(Verdict::Probe),
            true => self.may_return(entry, now).then_some(Verdict::Unfence),
        }
    }

    /// Heard, with open logs, and with a view that shows why it was fenced: what it leads then, it leads anew (N1).
    fn may_return(&self, entry: &BrokerEntry, now: Moment) -> bool {
        let for_good = entry.fence_reason.is_some_and(FenceReason::is_for_good);
        let caught_up = self.fenced.is_some_and(|(index, _)| self.passed >= index);
        let works = self.ready && !self.stopping && self.health.failed.is_none();
        works && caught_up && !for_good && self.session.is_some() && !self.is_silent(now)
    }
}

/// Which brokers live. Made anew whenever this controller becomes the active one.
#[derive(Clone, Debug)]
pub struct Liveness {
    lives: BTreeMap<BrokerId, Life>,
    turned_at: Moment,
}

impl Liveness {
    /// Nobody has been heard; everybody has the full time from `now`.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self { lives: BTreeMap::new(), turned_at: now }
    }

    /// Looks at all brokers as `state` shows them: what ought to happen now. The same again, at the next turn, for as
    /// long as nothing came of it. To be called every [`TURN_EVERY`]; more often does no harm.
    pub fn turn(&mut self, state: &ClusterState, now: Moment) -> Vec<(BrokerId, BrokerEpoch, Verdict)> {
        self.forgive_absence(now);
        self.observe(state, now);
        let judged = state.brokers().filter_map(|entry| {
            let life = self.lives.get(&entry.id).filter(|life| life.epoch == entry.epoch)?;
            Some((entry.id, entry.epoch, life.verdict(entry, now)?))
        });
        judged.collect()
    }

    /// A heartbeat came on `session`. One of a registration that `state` does not show is answered, not counted.
    pub fn heard(&mut self, state: &ClusterState, session: SessionId, heartbeat: &Heartbeat, now: Moment) {
        self.observe(state, now);
        let life = self.lives.get_mut(&heartbeat.broker).filter(|life| life.epoch == heartbeat.epoch);
        let Some(life) = life else { return };
        life.heard_at = life.heard_at.max(now);
        (life.session, life.cut_at, life.refused) = (Some(session), None, false);
        life.passed = life.passed.max(heartbeat.passed);
        life.ready = heartbeat.ready;
        // It does not go back on that: it is taking itself apart.
        life.stopping |= heartbeat.stopping;
        life.health = heartbeat.health.clone();
    }

    /// A stream of heartbeats ended.
    pub fn ended(&mut self, session: SessionId, now: Moment) {
        for life in self.lives.values_mut().filter(|life| life.session == Some(session)) {
            (life.session, life.cut_at) = (None, Some(now));
        }
    }

    /// The address of this registration refused a connection that was begun when there was no stream.
    pub fn refused(&mut self, broker: BrokerId, epoch: BrokerEpoch) {
        if let Some(life) = self.lives.get_mut(&broker) {
            // A stream that came meanwhile says more.
            life.refused |= life.epoch == epoch && life.session.is_none();
        }
    }

    /// Whether the registered process of `broker` may be running still, so that another one must wait (N13): for as
    /// long as it is not fenced, unless its stream ended and it did not come back.
    ///
    /// That its address accepts a connection tells nothing, since the one that wants to register may listen there
    /// already; and a controller that has never heard of it must give it the time to be heard.
    pub fn may_run(&mut self, state: &ClusterState, broker: BrokerId, now: Moment) -> bool {
        self.observe(state, now);
        let Some(entry) = state.broker(broker) else { return false };
        let cut_at = self.lives.get(&broker).and_then(|life| life.cut_at);
        !entry.fenced && cut_at.is_none_or(|cut_at| now.since(cut_at) < RETURN_WITHIN)
    }

    /// For how long, to this controller's certain knowledge, the broker has been what it is: what an operator's recovery
    /// waits for (N9).
    #[must_use]
    pub fn known_for(&self, broker: BrokerId, now: Moment) -> Option<KnownFor> {
        let life = self.lives.get(&broker)?;
        let since = |then| u64::try_from(now.since(then).as_millis()).unwrap_or(u64::MAX);
        let fenced_ms = life.fenced.map(|(_, fenced_at)| since(fenced_at));
        Some(KnownFor { broker, broker_epoch: life.epoch, registered_ms: since(life.seen_at), fenced_ms })
    }

    /// For how long, at least, the broker has been unfenced; none when it is fenced.
    #[must_use]
    pub fn unfenced_for(&self, broker: BrokerId, now: Moment) -> Option<Duration> {
        self.lives.get(&broker)?.unfenced_at.map(|since| now.since(since))
    }

    /// Whether every broker is heard now, or known to be away: nothing is on the way to being fenced.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.lives.values().all(|life| life.session.is_some() || life.fenced.is_some())
    }

    /// Nobody is silent because this controller did not listen: the time it was not there is not counted.
    fn forgive_absence(&mut self, now: Moment) {
        let gap = now.since(self.turned_at);
        if gap > ABSENT_AFTER {
            for life in self.lives.values_mut() {
                life.heard_at = life.heard_at.plus(gap - TURN_EVERY).min(now);
                life.cut_at = life.cut_at.map(|cut_at| cut_at.plus(gap - TURN_EVERY).min(now));
            }
        }
        self.turned_at = self.turned_at.max(now);
    }

    /// Takes in what the metadata shows: new registrations, and who is fenced since when.
    fn observe(&mut self, state: &ClusterState, now: Moment) {
        for entry in state.brokers() {
            let life = self.lives.entry(entry.id).or_insert_with(|| Life::expected(entry.epoch, now));
            if life.epoch < entry.epoch {
                *life = Life::expected(entry.epoch, now);
            }
            // A view that is behind what was seen before tells nothing new.
            if life.epoch > entry.epoch {
                continue;
            }
            match (entry.fenced, life.fenced) {
                (true, None) => (life.fenced, life.unfenced_at) = (Some((state.index(), now)), None),
                (true, Some(_)) => {}
                (false, _) => {
                    life.fenced = None;
                    life.unfenced_at.get_or_insert(now);
                }
            }
        }
        self.lives.retain(|&broker, _| state.broker(broker).is_some());
    }
}
