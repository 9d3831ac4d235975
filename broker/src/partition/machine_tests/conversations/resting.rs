//! Talks about rest: when ticks may be rare, and what ends that.

use super::*;

fn at_rest() -> Talk {
    let mut talk = leader(&[ONE, TWO, THREE]);
    assert!(!talk.machine.is_at_rest(), "its followers have not been heard");
    talk.matched(TWO, 0, 0);
    talk.matched(THREE, 0, 0);
    assert!(talk.machine.is_at_rest());
    talk
}

#[test]
fn a_leader_rests_once_all_hold_all_and_until_something_happens() {
    let mut talk = at_rest();
    talk.produce(1, 0);
    assert!(!talk.machine.is_at_rest());
    talk.synced(1);
    talk.report(TWO, 1);
    assert!(!talk.machine.is_at_rest(), "broker 3 is waited for");
    talk.report(THREE, 1);
    assert!(talk.machine.is_at_rest());
    talk.machine.stream_down(StreamId(3), THREE, talk.now);
    assert!(!talk.machine.is_at_rest(), "broker 3 may have to leave the set");
}

#[test]
fn a_leader_does_not_rest_without_one_of_its_replicas() {
    let mut talk = at_rest();
    talk.shows(2, &[ONE, TWO]);
    assert!(!talk.machine.is_at_rest());
    talk.shows(3, &[ONE, TWO, THREE]);
    assert!(talk.machine.is_at_rest());
}

/// An hour without a tick, and then a record: who was caught up all the time does not lag.
#[test]
fn after_a_long_rest_nobody_lags() {
    let mut talk = at_rest();
    talk.now = talk.now.plus(Duration::from_secs(3_600));
    talk.produce(1, 0);
    talk.synced(1);
    assert!(proposed(&talk.later(100)).is_empty());
}
