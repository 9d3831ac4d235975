//! Talks about unclean opening, retention, and what producers are told.

use super::*;

#[test]
fn an_unclean_leader_copies_what_a_member_holds_beyond_it_before_it_opens() {
    let mut talk = Talk::with(ONE, log(0, 1, &[(3, 0)]), true, &[ONE, TWO]);
    talk.up(TWO, STREAM);
    let effects = talk.heard(TWO, STREAM, FollowerMessage::Ask { epoch: LeaderEpoch(3), end: Offset(2) });
    assert!(
        matches!(effects[..], [Effect::ReadTail { start: Offset(1), end: Offset(2), .. }]),
        "{effects:?}"
    );
    assert!(talk.machine.tail_copied(Vec::new(), talk.now).is_err(), "nothing is not what was asked for");
    talk.machine.tail_copied(vec![placed(1, 3)], talk.now).unwrap();
    assert_eq!(talk.machine.published().leading, None, "what was copied is not synced");
    talk.synced(2);
    assert_eq!(talk.machine.published().leading, Some(EPOCH));
}

#[test]
fn an_unclean_leader_waits_for_one_member_however_long_and_shrinks_nothing() {
    let mut talk = Talk::with(ONE, log(0, 1, &[(3, 0)]), true, &[ONE, TWO, THREE]);
    assert!(proposed(&talk.later(10_000)).is_empty());
    assert_eq!(talk.machine.published().leading, None);
    talk.up(TWO, STREAM);
    talk.heard(TWO, STREAM, FollowerMessage::Ask { epoch: LeaderEpoch(3), end: Offset(1) });
    assert_eq!(talk.machine.published().leading, Some(EPOCH), "broker 3 does not live");
}

#[test]
fn n15_retention_stops_at_what_is_committed() {
    let mut talk = Talk::with(ONE, log(1, 3, &[(3, 0)]), false, &[ONE, TWO]);
    talk.machine.retain_from(Offset(3));
    assert!(matches!(talk.effects()[..], [Effect::AdvanceStart(Offset(1))]));
}

#[test]
fn n16_after_an_offset_was_assigned_nothing_is_refused() {
    let mut talk = leader(&[ONE, TWO]);
    talk.produce(1, 0);
    let effects = talk.later(150);
    assert_eq!(answers(&effects), [(1, &ProduceAnswer::Unknown(Unknown::TimedOut))]);
    talk.produce(2, 1);
    talk.machine.failed("the disk is gone");
    let effects = talk.effects();
    assert!(matches!(answers(&effects)[..], [(2, ProduceAnswer::Unknown(Unknown::LogFailed(_)))]));
    let effects = talk.produce(3, 2);
    assert!(matches!(answers(&effects)[..], [(3, ProduceAnswer::Refused(ProduceRefusal::Stopped(_)))]));
}

#[test]
fn n17_a_resend_is_answered_with_the_original_once_that_is_committed() {
    let mut talk = leader(&[ONE, TWO]);
    talk.matched(TWO, 0, 0);
    talk.produce(1, 0);
    talk.synced(1);
    assert!(answers(&talk.produce(2, 0)).is_empty());
    let effects = talk.report(TWO, 1);
    let stored = |answer: &ProduceAnswer| match answer {
        ProduceAnswer::Stored(stored) => (stored.base.0, stored.end.0, stored.duplicate),
        other => panic!("{other:?}"),
    };
    let told: Vec<_> =
        answers(&effects).into_iter().map(|(waiter, answer)| (waiter, stored(answer))).collect();
    assert_eq!(told, [(1, (0, 1, false)), (2, (0, 1, true))]);
}

#[test]
fn n17_a_gap_is_refused_for_good() {
    let mut talk = leader(&[ONE, TWO]);
    talk.produce(1, 0);
    let effects = talk.produce(2, 5);
    let refusal = ProduceRefusal::OutOfOrder { expected: Sequence(1) };
    assert_eq!(answers(&effects), [(2, &ProduceAnswer::Refused(refusal))]);
}
