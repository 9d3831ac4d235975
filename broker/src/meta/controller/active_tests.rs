//! A controller over a quorum in memory; time passes only while everybody waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::Clock;
use fidelog_record::types::{BrokerEpoch, BrokerId};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::active::{Controller, ControllerParts, Probe};
use super::heartbeat::{BrokerHealth, Heartbeat, Told};
use super::liveness::{FENCE_AFTER, TURN_EVERY};
use super::session::{Answer, Session};
use super::testing::{MemoryQuorum, Shared, TokioClock};
use crate::meta::state::fixture::{next_start, register};
use crate::meta::state::{FenceReason, Proposal};

/// Addresses that refuse connections.
#[derive(Debug, Default)]
struct Closed(Mutex<BTreeSet<String>>);

impl Probe for Closed {
    fn is_refused(&self, address: &str) -> BoxFuture<'static, bool> {
        std::future::ready(self.0.lock().contains(address)).boxed()
    }
}

struct Scene {
    quorum: Arc<MemoryQuorum>,
    controller: Arc<Controller>,
    closed: Arc<Closed>,
    running: tokio::task::JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Scene {
    fn new(brokers: u32) -> Self {
        let clock = Arc::new(TokioClock::new());
        let quorum = MemoryQuorum::new(clock.as_ref(), brokers);
        let closed = Arc::new(Closed::default());
        let controller = Controller::new(ControllerParts {
            me: BrokerId(1),
            quorum: Arc::new(Shared(Arc::clone(&quorum))),
            view: Arc::clone(&quorum.view),
            clock: clock as Arc<dyn Clock>,
            probe: Arc::clone(&closed) as Arc<dyn Probe>,
        });
        let run = Arc::clone(&controller);
        let running = tokio::spawn(async move { run.run().await });
        Self { quorum, controller, closed, running }
    }

    fn close(&self, broker: u32) {
        self.closed.0.lock().insert(format!("10.0.0.{broker}:9095"));
    }

    fn heartbeat(&self, broker: u32, number: u64) -> Heartbeat {
        Heartbeat {
            broker: BrokerId(broker),
            epoch: self.quorum.epoch(broker),
            number,
            passed: self.quorum.view.index(),
            ready: true,
            stopping: false,
            health: BrokerHealth::default(),
        }
    }

    /// A session that beats every 250 ms for as long as the future is polled.
    async fn beats(&self, broker: u32) {
        let session = self.controller.open();
        for number in 1.. {
            session.heard(&self.heartbeat(broker, number));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    fn fences(&self) -> Vec<(u32, FenceReason)> {
        let proposed = self.quorum.proposed.lock();
        let fences = proposed.iter().filter_map(|proposal| match proposal {
            Proposal::FenceBroker { broker, reason, .. } => Some((broker.0, *reason)),
            _ => None,
        });
        fences.collect()
    }
}

async fn answer(session: &Session, number: u64) -> Told {
    let mut answers = session.answers();
    let is_it = |answer: &Option<Answer>| answer.is_some_and(|answer| answer.number == number);
    let answer = *answers.wait_for(is_it).await.unwrap();
    answer.unwrap().told
}

#[tokio::test(start_paused = true)]
async fn n12_a_heartbeat_is_answered_only_after_a_round_that_began_after_it() {
    let scene = Scene::new(1);
    scene.quorum.let_confirm(false);
    let session = scene.controller.open();
    session.heard(&scene.heartbeat(1, 1));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(*session.answers().borrow(), None, "nobody confirmed anything");
    session.heard(&scene.heartbeat(1, 2));
    scene.quorum.let_confirm(true);
    assert_eq!(answer(&session, 2).await, Told::Alive);
}

#[tokio::test(start_paused = true)]
async fn a_round_that_takes_too_long_answers_nobody_and_the_next_one_does() {
    let scene = Scene::new(2);
    scene.quorum.let_confirm(false);
    let [first, second] = [scene.controller.open(), scene.controller.open()];
    first.heard(&scene.heartbeat(1, 1));
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    scene.quorum.let_confirm(true);
    second.heard(&scene.heartbeat(2, 1));
    assert_eq!(answer(&second, 1).await, Told::Alive);
    assert_eq!(*first.answers().borrow(), None, "it counts as lost");
}

#[tokio::test(start_paused = true)]
async fn each_is_told_how_it_stands() {
    let scene = Scene::new(3);
    let older = scene.heartbeat(1, 1);
    scene.quorum.decide(&register(next_start(1, 2))).unwrap();
    let unknown = Heartbeat { broker: BrokerId(9), ..scene.heartbeat(2, 1) };
    let ahead = Heartbeat { epoch: BrokerEpoch(99), ..scene.heartbeat(2, 1) };
    let not_ready = Heartbeat { ready: false, ..scene.heartbeat(1, 1) };
    for (heartbeat, told) in [
        (older, Told::Superseded),
        (not_ready, Told::Fenced),
        (scene.heartbeat(2, 1), Told::Alive),
        (unknown, Told::NotRegistered),
        (ahead, Told::NotRegistered),
    ] {
        let session = scene.controller.open();
        session.heard(&heartbeat);
        assert_eq!(answer(&session, 1).await, told, "{heartbeat:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn n12_a_dead_broker_is_fenced_at_once_and_a_silent_one_in_time() {
    let scene = Scene::new(3);
    let alive = scene.beats(1);
    let story = async {
        let [dead, silent] = [scene.controller.open(), scene.controller.open()];
        dead.heard(&scene.heartbeat(2, 1));
        silent.heard(&scene.heartbeat(3, 1));
        let began = Instant::now();
        scene.close(2);
        drop(dead);
        scene.quorum.until_fenced(2, true).await;
        assert!(began.elapsed() < TURN_EVERY, "{:?}", began.elapsed());
        scene.quorum.until_fenced(3, true).await;
        let took = began.elapsed();
        assert!((FENCE_AFTER..FENCE_AFTER + TURN_EVERY * 2).contains(&took), "{took:?}");
        let fences = [(2, FenceReason::ConnectionRefused), (3, FenceReason::HeartbeatsMissing)];
        assert_eq!(scene.fences(), fences);
        silent.heard(&scene.heartbeat(3, 2));
        scene.quorum.until_fenced(3, false).await;
    };
    tokio::select! { () = alive => unreachable!("it beats for ever"), () = story => {} }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_proposed_twice_at_the_same_time() {
    let scene = Scene::new(2);
    scene.quorum.let_decide(false);
    let alive = scene.beats(1);
    let story = async {
        tokio::time::sleep(FENCE_AFTER * 3).await;
        assert_eq!(scene.fences(), [(2, FenceReason::HeartbeatsMissing)]);
        scene.quorum.let_decide(true);
        scene.quorum.until_fenced(2, true).await;
        tokio::time::sleep(FENCE_AFTER).await;
        assert_eq!(scene.fences().len(), 1);
    };
    tokio::select! { () = alive => unreachable!("it beats for ever"), () = story => {} }
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_not_active_says_who_is_and_does_nothing() {
    let scene = Scene::new(3);
    scene.quorum.lead(2);
    let session = scene.controller.open();
    session.heard(&scene.heartbeat(3, 1));
    assert_eq!(answer(&session, 0).await, Told::NotActive { active: Some(BrokerId(2)) });
    tokio::time::sleep(FENCE_AFTER * 2).await;
    assert_eq!(scene.fences(), []);
    assert!(scene.controller.may_run(BrokerId(3)), "it cannot know");
}

#[tokio::test(start_paused = true)]
async fn n12_a_new_active_controller_grants_the_full_time() {
    let scene = Scene::new(1);
    let session = scene.controller.open();
    session.heard(&scene.heartbeat(1, 1));
    tokio::time::sleep(FENCE_AFTER - TURN_EVERY * 2).await;
    scene.quorum.lead(2);
    tokio::time::sleep(TURN_EVERY * 2).await;
    scene.quorum.lead(1);
    tokio::time::sleep(FENCE_AFTER - TURN_EVERY * 2).await;
    assert_eq!(scene.fences(), []);
    scene.quorum.until_fenced(1, true).await;
}

#[tokio::test(start_paused = true)]
async fn n13_another_start_may_register_once_the_former_is_fenced_or_gone() {
    let scene = Scene::new(2);
    let session = scene.controller.open();
    session.heard(&scene.heartbeat(2, 1));
    assert!(scene.controller.may_run(BrokerId(2)));
    drop(session);
    assert!(scene.controller.may_run(BrokerId(2)), "it may be connecting again");
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!scene.controller.may_run(BrokerId(2)));
    assert_eq!(scene.fences(), [], "its address does not refuse");
}
