//! Conversations with a [`Liveness`], and random ones.

use std::collections::BTreeMap;
use std::time::Duration;

use fidelog_log::env::Moment;
use fidelog_record::types::{BrokerEpoch, BrokerId, MetaIndex};
use proptest::prelude::*;

use super::heartbeat::{BrokerHealth, Heartbeat, SessionId};
use super::liveness::{FENCE_AFTER, Liveness, TURN_EVERY, Verdict};
use crate::meta::state::fixture::{done, founded, next_start, register};
use crate::meta::state::{ClusterState, FenceReason, Proposal};

const SILENT: Verdict = Verdict::Fence(FenceReason::HeartbeatsMissing);
const REFUSED: Verdict = Verdict::Fence(FenceReason::ConnectionRefused);

/// Brokers with their processes, the metadata, and one controller.
struct Scene {
    now: Moment,
    state: ClusterState,
    liveness: Liveness,
}

impl Scene {
    /// Broker 1 is registered and, if told so, unfenced; the controller is new.
    fn new(unfenced: bool) -> Self {
        let mut state = founded();
        done(&mut state, &register(next_start(1, 1)));
        if unfenced {
            let proposal = carried_out(&state, BrokerId(1), &Verdict::Unfence);
            done(&mut state, &proposal);
        }
        let now = Moment::default().plus(Duration::from_secs(100));
        Self { now, state, liveness: Liveness::new(now) }
    }

    fn epoch(&self, broker: u32) -> BrokerEpoch {
        self.state.broker(BrokerId(broker)).unwrap().epoch
    }

    fn heartbeat(&self, broker: u32) -> Heartbeat {
        Heartbeat {
            broker: BrokerId(broker),
            epoch: self.epoch(broker),
            number: 1,
            passed: self.state.index(),
            ready: true,
            stopping: false,
            health: BrokerHealth::default(),
        }
    }

    fn beat(&mut self, session: u64) {
        let heartbeat = self.heartbeat(1);
        self.liveness.heard(&self.state, SessionId(session), &heartbeat, self.now);
    }

    fn ended(&mut self, session: u64) {
        self.liveness.ended(SessionId(session), self.now);
    }

    fn turn(&mut self) -> Vec<Verdict> {
        self.liveness.turn(&self.state, self.now).into_iter().map(|(_, _, verdict)| verdict).collect()
    }

    /// Turn after turn for so long; what the last one found.
    fn pass(&mut self, ms: u64) -> Vec<Verdict> {
        let mut last = Vec::new();
        for _ in 0..ms / 100 {
            self.now = self.now.plus(TURN_EVERY);
            last = self.turn();
        }
        last
    }

    fn carry_out(&mut self, verdict: &Verdict) {
        let proposal = carried_out(&self.state, BrokerId(1), verdict);
        done(&mut self.state, &proposal);
    }

    /// For how long broker 1 has been known, and seen fenced, milliseconds.
    fn known_for(&self) -> (u64, Option<u64>) {
        let known = self.liveness.known_for(BrokerId(1), self.now).unwrap();
        (known.registered_ms, known.fenced_ms)
    }

    fn may_run(&mut self) -> bool {
        self.liveness.may_run(&self.state, BrokerId(1), self.now)
    }
}

fn carried_out(state: &ClusterState, broker: BrokerId, verdict: &Verdict) -> Proposal {
    let broker_epoch = state.broker(broker).unwrap().epoch;
    match *verdict {
        Verdict::Fence(reason) => Proposal::FenceBroker { broker, broker_epoch, reason },
        Verdict::Unfence => Proposal::UnfenceBroker { broker, broker_epoch },
        Verdict::HandOver => Proposal::HandOver { broker, broker_epoch },
        Verdict::Probe => panic!("a probe is not proposed"),
    }
}

#[test]
fn n12_a_broker_is_fenced_after_a_second_and_a_half_of_silence() {
    let mut scene = Scene::new(true);
    scene.beat(1);
    assert_eq!(scene.pass(1_400), []);
    assert_eq!(scene.pass(100), [SILENT]);
    scene.beat(1);
    assert_eq!(scene.turn(), [], "it was only slow, and nothing was proposed yet");
}

#[test]
fn n12_a_refused_connection_counts_only_together_with_the_end_of_the_stream() {
    let mut scene = Scene::new(true);
    scene.beat(1);
    let epoch = scene.epoch(1);
    scene.liveness.refused(BrokerId(1), epoch);
    assert_eq!(scene.turn(), [], "its stream is up");
    scene.ended(1);
    assert_eq!(scene.turn(), [Verdict::Probe]);
    scene.liveness.refused(BrokerId(1), BrokerEpoch(epoch.0 + 1));
    assert_eq!(scene.turn(), [Verdict::Probe], "another process was meant");
    scene.liveness.refused(BrokerId(1), epoch);
    assert_eq!(scene.turn(), [REFUSED]);
}

#[test]
fn a_stream_that_was_replaced_may_end_later() {
    let mut scene = Scene::new(true);
    scene.beat(1);
    scene.beat(2);
    scene.ended(1);
    assert_eq!(scene.turn(), [], "its heartbeats come on another");
    scene.ended(2);
    assert_eq!(scene.turn(), [Verdict::Probe]);
    scene.beat(3);
    assert_eq!(scene.turn(), []);
}

#[test]
fn n12_a_new_controller_grants_the_full_time_once_and_may_ask_at_once() {
    let mut scene = Scene::new(true);
    assert_eq!(scene.turn(), [Verdict::Probe]);
    assert_eq!(scene.pass(1_400), [Verdict::Probe]);
    assert_eq!(scene.pass(100), [SILENT]);

    let mut scene = Scene::new(true);
    let epoch = scene.epoch(1);
    scene.turn();
    scene.liveness.refused(BrokerId(1), epoch);
    assert_eq!(scene.turn(), [REFUSED]);
}

#[test]
fn a_controller_that_was_not_awake_does_not_call_others_silent() {
    let mut scene = Scene::new(true);
    scene.beat(1);
    scene.pass(300);
    scene.now = scene.now.plus(Duration::from_secs(60));
    assert_eq!(scene.turn(), []);
    assert_eq!(scene.pass(1_000), []);
    assert_eq!(scene.pass(200), [SILENT], "what was heard before it slept still counts as so long ago");
}

#[test]
fn n1_a_fence_ends_with_open_logs_and_a_view_that_shows_it() {
    let mut scene = Scene::new(false);
    let registered_at = scene.state.index();
    let ready = scene.heartbeat(1);
    for (heartbeat, why) in [
        (Heartbeat { ready: false, ..ready.clone() }, "its logs are not open"),
        (Heartbeat { passed: MetaIndex(registered_at.0 - 1), ..ready.clone() }, "its view is behind"),
        (Heartbeat { epoch: BrokerEpoch(ready.epoch.0 - 1), ..ready.clone() }, "it is another process"),
        (Heartbeat { epoch: BrokerEpoch(ready.epoch.0 + 1), ..ready.clone() }, "nobody knows it"),
    ] {
        scene.liveness = Liveness::new(scene.now);
        scene.liveness.heard(&scene.state, SessionId(1), &heartbeat, scene.now);
        assert_eq!(scene.turn(), [], "{why}");
    }
    scene.beat(1);
    assert_eq!(scene.turn(), [Verdict::Unfence]);
    scene.ended(1);
    assert_eq!(scene.turn(), [], "it is gone again");
}

#[test]
fn heartbeats_that_return_end_the_fence_of_the_same_process() {
    let mut scene = Scene::new(true);
    scene.beat(1);
    let old_view = scene.heartbeat(1);
    scene.pass(1_500);
    scene.carry_out(&SILENT);
    assert_eq!(scene.turn(), []);
    scene.liveness.heard(&scene.state, SessionId(1), &old_view, scene.now);
    assert_eq!(scene.turn(), [], "it does not know yet that it was fenced");
    scene.beat(1);
    assert_eq!(scene.turn(), [Verdict::Unfence]);
    scene.carry_out(&Verdict::Unfence);
    assert_eq!(scene.turn(), []);
}

#[test]
fn whoever_wants_to_stop_hands_over_and_is_not_called_back() {
    let mut scene = Scene::new(true);
    let stopping = Heartbeat { stopping: true, ..scene.heartbeat(1) };
    scene.liveness.heard(&scene.state, SessionId(1), &stopping, scene.now);
    assert_eq!(scene.turn(), [Verdict::HandOver]);
    scene.carry_out(&Verdict::HandOver);
    scene.beat(1);
    assert_eq!(scene.turn(), [], "it goes, whatever came later");
}

#[test]
fn g6_a_failed_data_directory_is_fenced_at_once() {
    let mut scene = Scene::new(true);
    let failed = BrokerHealth { failed: Some("EIO".to_owned()), ..BrokerHealth::default() };
    let heartbeat = Heartbeat { health: failed, ..scene.heartbeat(1) };
    scene.liveness.heard(&scene.state, SessionId(1), &heartbeat, scene.now);
    let verdict = Verdict::Fence(FenceReason::DataDirectoryFailed);
    assert_eq!(scene.turn(), std::slice::from_ref(&verdict));
    scene.carry_out(&verdict);
    scene.liveness.heard(&scene.state, SessionId(1), &heartbeat, scene.now);
    assert_eq!(scene.turn(), []);
}

#[test]
fn n13_another_start_waits_until_the_former_process_is_fenced_or_gone() {
    let mut scene = Scene::new(true);
    assert!(scene.may_run(), "a new controller cannot know");
    scene.beat(1);
    assert!(scene.may_run());
    scene.ended(1);
    scene.pass(400);
    assert!(scene.may_run(), "it may be connecting again");
    scene.pass(100);
    assert!(!scene.may_run(), "it would have been back");
    scene.beat(2);
    assert!(scene.may_run());
    scene.pass(1_500);
    assert!(scene.may_run(), "silent, and not fenced yet");
    scene.carry_out(&SILENT);
    assert!(!scene.may_run());
}

#[test]
fn n9_how_long_a_broker_has_been_what_it_is_is_counted_by_this_controller_alone() {
    let mut scene = Scene::new(true);
    scene.beat(1);
    scene.turn();
    assert_eq!(scene.known_for(), (0, None));
    scene.pass(1_500);
    scene.carry_out(&SILENT);
    scene.turn();
    let fenced_at = scene.now;
    scene.pass(12_000);
    let since_ms = u64::try_from(scene.now.since(fenced_at).as_millis()).unwrap();
    let known = scene.known_for();
    assert_eq!(known.1, Some(since_ms));
    assert!(known.0 > since_ms, "{known:?}");
    scene.liveness = Liveness::new(scene.now);
    scene.turn();
    assert_eq!(scene.known_for(), (0, Some(0)));
}

/// Something that happens to one of three brokers, or to all.
#[derive(Clone, Debug)]
enum Event {
    Pass { turns: u64 },
    Beat { broker: u32, ready: bool, behind: u64, stale: bool },
    End { broker: u32 },
    Refused { broker: u32, stale: bool },
    Restart { broker: u32, start: u8 },
    CarryOut { broker: u32 },
    Lead,
}

fn event() -> impl Strategy<Value = Event> {
    let broker = 1..4u32;
    prop_oneof![
        8 => (1..8u64).prop_map(|turns| Event::Pass { turns }),
        8 => (broker.clone(), proptest::bool::weighted(0.8), 0..3u64, proptest::bool::weighted(0.1))
            .prop_map(|(broker, ready, behind, stale)| Event::Beat { broker, ready, behind, stale }),
        2 => broker.clone().prop_map(|broker| Event::End { broker }),
        1 => (broker.clone(), any::<bool>()).prop_map(|(broker, stale)| Event::Refused { broker, stale }),
        1 => (broker.clone(), 2..9u8).prop_map(|(broker, start)| Event::Restart { broker, start }),
        5 => broker.prop_map(|broker| Event::CarryOut { broker }),
        1 => Just(Event::Lead),
    ]
}

/// What is true of one broker's present process, told by what happened and by nothing else.
#[derive(Clone, Copy, Debug)]
struct Truth {
    /// Heard, or expected from then on.
    heard_at: Moment,
    session: Option<SessionId>,
    refused: bool,
    ready: bool,
    passed: MetaIndex,
    /// Where the metadata was when the controller could first see it fenced.
    fenced_at: MetaIndex,
}

struct World {
    scene: Scene,
    truths: BTreeMap<u32, Truth>,
    verdicts: BTreeMap<u32, (BrokerEpoch, Verdict)>,
    sessions: u64,
}

impl World {
    fn new() -> Self {
        let mut scene = Scene::new(false);
        for broker in [2, 3] {
            done(&mut scene.state, &register(next_start(broker, 1)));
        }
        let mut world = Self { scene, truths: BTreeMap::new(), verdicts: BTreeMap::new(), sessions: 0 };
        world.lead();
        world
    }

    fn expected(&self) -> Truth {
        Truth {
            heard_at: self.scene.now,
            session: None,
            refused: false,
            ready: false,
            passed: MetaIndex(0),
            fenced_at: self.scene.state.index(),
        }
    }

    fn lead(&mut self) {
        self.scene.liveness = Liveness::new(self.scene.now);
        self.truths = (1..4).map(|broker| (broker, self.expected())).collect();
        self.turn();
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Pass { turns } => {
                for _ in 0..turns {
                    self.scene.now = self.scene.now.plus(TURN_EVERY);
                    self.turn();
                }
            }
            Event::Beat { broker, ready, behind, stale } => self.beat(broker, ready, behind, stale),
            Event::End { broker } => {
                if let Some(session) = self.truths[&broker].session {
                    self.scene.ended(session.0);
                }
                self.truth(broker).session = None;
            }
            Event::Refused { broker, stale } => {
                let epoch = BrokerEpoch(self.scene.epoch(broker).0 - u64::from(stale));
                self.scene.liveness.refused(BrokerId(broker), epoch);
                let truth = self.truth(broker);
                truth.refused |= !stale && truth.session.is_none();
            }
            Event::Restart { broker, start } => {
                done(&mut self.scene.state, &register(next_start(broker, start)));
                let expected = self.expected();
                self.truths.insert(broker, expected);
                self.turn();
            }
            Event::CarryOut { broker } => self.carry_out(broker),
            Event::Lead => self.lead(),
        }
    }

    fn truth(&mut self, broker: u32) -> &mut Truth {
        self.truths.get_mut(&broker).unwrap()
    }

    fn beat(&mut self, broker: u32, ready: bool, behind: u64, stale: bool) {
        self.sessions += 1;
        let session = self.truths[&broker].session.unwrap_or(SessionId(self.sessions));
        let mut heartbeat = self.scene.heartbeat(broker);
        heartbeat.ready = ready;
        heartbeat.passed.0 = heartbeat.passed.0.saturating_sub(behind);
        heartbeat.epoch.0 -= u64::from(stale);
        let now = self.scene.now;
        self.scene.liveness.heard(&self.scene.state, session, &heartbeat, now);
        if !stale {
            let truth = self.truth(broker);
            (truth.heard_at, truth.session, truth.refused) = (now, Some(session), false);
            (truth.ready, truth.passed) = (ready, truth.passed.max(heartbeat.passed));
        }
    }

    fn carry_out(&mut self, broker: u32) {
        let Some((epoch, verdict)) = self.verdicts.get(&broker).cloned() else { return };
        if epoch != self.scene.epoch(broker) || verdict == Verdict::Probe {
            return;
        }
        let proposal = carried_out(&self.scene.state, BrokerId(broker), &verdict);
        // The state may have moved since: then it says no.
        let minted = crate::meta::state::Minted { topic: crate::meta::state::fixture::topic_id(1) };
        if self.scene.state.decide(&proposal, 0, &minted).is_ok() {
            done(&mut self.scene.state, &proposal);
            self.truth(broker).fenced_at = self.scene.state.index();
            self.turn();
        }
    }

    /// A turn, whose verdicts must be exactly what is true.
    fn turn(&mut self) {
        let now = self.scene.now;
        let found = self.scene.liveness.turn(&self.scene.state, now);
        self.verdicts =
            found.into_iter().map(|(broker, epoch, verdict)| (broker.0, (epoch, verdict))).collect();
        for (&broker, truth) in &self.truths {
            let entry = self.scene.state.broker(BrokerId(broker)).unwrap();
            let silent = now.since(truth.heard_at) >= FENCE_AFTER;
            let fit = truth.ready && truth.session.is_some() && !silent && truth.passed >= truth.fenced_at;
            let expected = match (entry.fenced, silent, truth.refused, truth.session) {
                (true, ..) => fit.then_some(Verdict::Unfence),
                (false, true, ..) => Some(SILENT),
                (false, false, true, _) => Some(REFUSED),
                (false, false, false, None) => Some(Verdict::Probe),
                (false, false, false, Some(_)) => None,
            };
            let expected = expected.map(|verdict| (entry.epoch, verdict));
            assert_eq!(self.verdicts.get(&broker).cloned(), expected, "broker {broker}: {truth:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// No fence before 1.5 s without cause, always one by then and a turn; no unfence of another process; a new
    /// controller fences nobody within the full time but for a refused connection.
    #[test]
    fn n12_verdicts_are_what_is_true(events in proptest::collection::vec(event(), 0..60)) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
        }
    }
}
