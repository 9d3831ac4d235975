//! The lane against a model of a broker's partition: whatever the network and the broker do, nothing is stored
//! twice, order is kept, and what is said of a batch is true.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

#[path = "lane_tests/model.rs"]
mod model;

use model::{IDENTITY, World, refused};

fn run(seed: u64, budget_ms: u64, poison_percent: u32, forgets: bool) -> World {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(Lane::idempotent(IDENTITY, rng.random_range(1..6)), budget_ms);
    world.forgets = forgets;
    for _ in 0..400 {
        world.chaos(&mut rng, poison_percent);
    }
    world.heal();
    world
}

#[test]
fn whatever_happens_nothing_is_stored_twice_or_out_of_order_and_every_word_is_true() {
    for seed in 0..3_000 {
        let budget_ms = [60, 400, 1_000_000][usize::try_from(seed % 3).unwrap()];
        let poison_percent = [0, 10, 40][usize::try_from(seed / 3 % 3).unwrap()];
        let forgets = seed % 2 == 1;
        let result = std::panic::catch_unwind(|| run(seed, budget_ms, poison_percent, forgets).check());
        assert!(
            result.is_ok(),
            "seed {seed}, budget {budget_ms} ms, poison {poison_percent} %, forgets: {forgets}"
        );
    }
}

#[test]
fn within_the_budget_and_without_poison_everything_is_stored() {
    for seed in 0..500 {
        let world = run(seed, 1_000_000, 0, false);
        world.check();
        assert!(world.outcomes.values().all(Result::is_ok), "seed {seed}: {:?}", world.outcomes);
    }
}

/// A lane, linked, with batches 0.. of one record each, sent.
fn sent(count: u32) -> (World, Vec<u64>) {
    let mut world = World::new(Lane::idempotent(IDENTITY, 5), 1_000);
    world.connect();
    for id in 0..count {
        world.broker.records.insert(id, 1);
        world.lane.push(id, 1, world.budget_ms);
        world.next_id += 1;
    }
    world.step();
    let attempts = world.broker.connections[0].requests.iter().map(|(attempt, ..)| *attempt).collect();
    (world, attempts)
}

fn stamps(world: &World) -> Vec<(u32, u32, u64)> {
    let requests = world.broker.connections.last().unwrap().requests.iter();
    requests.map(|(_, id, stamp)| (*id, stamp.epoch.0, stamp.base_sequence.0)).collect()
}

#[test]
fn when_one_batch_is_refused_the_rest_goes_on_in_order_under_a_new_epoch() {
    let (mut world, attempts) = sent(3);
    world.broker.connections[0].requests.clear();
    world.hear(attempts[0], refused(Reason::RecordTooLarge));
    world.hear(attempts[1], refused(Reason::OutOfOrder));
    world.step();
    assert!(stamps(&world).is_empty(), "nothing is sent while an attempt is in flight");
    world.hear(attempts[2], refused(Reason::OutOfOrder));
    world.step();
    assert_eq!(stamps(&world), [(1, 1, 0), (2, 1, 1)]);
    assert!(world.outcomes[&0].as_ref().unwrap_err().is_definite());
}

#[test]
fn a_refused_batch_with_nothing_behind_it_costs_no_epoch() {
    let (mut world, attempts) = sent(1);
    world.broker.connections[0].requests.clear();
    world.hear(attempts[0], refused(Reason::RecordTooLarge));
    world.lane.push(1, 1, 9_000);
    world.step();
    assert_eq!(stamps(&world), [(1, 0, 0)]);
}

#[test]
fn after_a_lost_connection_everything_is_sent_again_under_the_same_stamps() {
    let (mut world, _) = sent(3);
    let first = stamps(&world);
    world.disconnect();
    world.connect();
    world.now_ms += 10_000 - 9_500;
    world.step();
    assert_eq!(stamps(&world), first);
}

#[test]
fn a_refusal_after_a_lost_answer_leaves_the_outcome_unknown() {
    let (mut world, _) = sent(1);
    world.disconnect();
    world.connect();
    world.now_ms += 500;
    world.step();
    let attempt = world.broker.connections[1].requests[0].0;
    world.hear(attempt, refused(Reason::DiskFull));
    assert!(!world.outcomes[&0].as_ref().unwrap_err().is_definite());
}

#[test]
fn the_budget_ends_definitely_only_when_nothing_was_ever_left_unanswered() {
    let mut lane = Lane::idempotent(IDENTITY, 5);
    lane.push(0, 1, 50);
    let mut effects = Vec::new();
    lane.step(50, false, &mut effects);
    let [Effect::Report { outcome: Err(error), .. }] = &effects[..] else { panic!("{effects:?}") };
    assert!(error.is_definite(), "it was never sent");

    let (mut world, _) = sent(1);
    world.now_ms = 2_000;
    world.step();
    assert!(!world.outcomes[&0].as_ref().unwrap_err().is_definite(), "an answer was still to come");
}

/// A producer that was idle for a day got its next batches back as failed, although nothing of them was stored.
#[test]
fn a_forgotten_producer_goes_on_in_order_under_a_new_identity() {
    let (mut world, attempts) = sent(2);
    world.broker.connections[0].requests.clear();
    world.hear(attempts[0], refused(Reason::UnknownProducer));
    world.lane.push(2, 1, 9_000);
    world.step();
    assert!(stamps(&world).is_empty(), "nothing is sent while an attempt is in flight");
    world.hear(attempts[1], refused(Reason::UnknownProducer));
    world.now_ms += 500;
    world.step();
    world.step();
    assert!(world.outcomes.is_empty(), "{:?}", world.outcomes);
    assert_eq!(stamps(&world), [(0, 0, 0), (1, 0, 1), (2, 0, 2)]);
    let new = world.broker.connections[0].requests.iter().all(|(_, _, stamp)| stamp.id != IDENTITY.id);
    assert!(new, "the old identity is known no more");
}

#[test]
fn a_forgotten_producer_sends_nothing_again_that_may_be_stored() {
    let (mut world, _) = sent(1);
    world.disconnect();
    world.connect();
    world.lane.push(1, 1, 9_000);
    world.now_ms += 500;
    world.step();
    let attempts: Vec<u64> =
        world.broker.connections[1].requests.drain(..).map(|(attempt, ..)| attempt).collect();
    assert_eq!(attempts.len(), 2);
    for attempt in attempts {
        world.hear(attempt, refused(Reason::UnknownProducer));
    }
    world.now_ms += 200;
    world.step();
    world.step();
    let [(0, Err(error))] = &world.outcomes.iter().collect::<Vec<_>>()[..] else {
        panic!("{:?}", world.outcomes)
    };
    assert!(!error.is_definite(), "its first attempt was never answered");
    assert_eq!(stamps(&world), [(1, 0, 0)]);
}

/// A cluster that knows nobody is not asked in a tight loop.
#[test]
fn a_producer_that_is_always_unknown_waits_ever_longer() {
    let (mut world, _) = sent(1);
    world.forget();
    for expected in [10, 20, 40] {
        let attempt = world.broker.connections[0].requests.pop_back().unwrap().0;
        world.forget();
        world.hear(attempt, refused(Reason::UnknownProducer));
        world.step();
        assert!(stamps(&world).is_empty());
        world.now_ms += expected;
        world.step();
        world.step();
        assert_eq!(stamps(&world).len(), 1, "after {expected} ms");
    }
}

#[test]
fn a_fenced_producer_ends() {
    let (mut world, attempts) = sent(2);
    for attempt in attempts {
        world.hear(attempt, refused(Reason::ProducerFenced));
    }
    world.step();
    assert!(world.lane.fenced().is_some() && world.lane.is_empty());
}

#[test]
fn without_idempotence_an_unknown_attempt_is_the_last() {
    let mut world = World::new(Lane::plain(), 1_000);
    world.connect();
    for id in 0..2 {
        world.lane.push(id, 1, 1_000);
    }
    world.step();
    assert_eq!(world.lane.in_flight(), 1);
    assert_eq!(world.broker.connections[0].requests[0].2, ProducerStamp::NONE);
    world.disconnect();
    assert!(!world.outcomes[&0].as_ref().unwrap_err().is_definite());
}
