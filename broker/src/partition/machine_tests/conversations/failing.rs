//! Talks with followers that cannot follow.

use std::ops::Range;

use super::*;

fn refused(cause: RefusalCause) -> FollowerMessage {
    FollowerMessage::Refused { cause, message: "so it is".to_owned(), epoch: EPOCH }
}

fn alarms(effects: &[Effect<u64>]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Alarm(_))).count()
}

/// It left its role before it looked for the stream to say so on, and so never did.
#[test]
fn g6_a_follower_whose_log_fails_says_so() {
    let mut talk = follower(log(0, 0, &[]));
    talk.begun(0);
    talk.machine.failed("the disk is gone");
    let effects = talk.effects();
    assert!(matches!(replies(&effects)[..], [FollowerMessage::Refused { cause: RefusalCause::Stopped, .. }]));
}

#[test]
fn n11_a_follower_that_says_it_stopped_leaves_the_set_at_once() {
    let mut talk = leader(&[ONE, TWO, THREE]);
    talk.matched(TWO, 0, 0);
    talk.matched(THREE, 0, 0);
    talk.heard(THREE, StreamId(3), refused(RefusalCause::Stopped));
    assert_eq!(proposed(&talk.later(1)), [[1, 2]]);
}

/// Five lines a second and partition, for as long as nobody looked after it.
#[test]
fn a_follower_that_goes_on_refusing_is_asked_less_and_less_and_alarms_once() {
    let mut talk = leader(&[ONE, TWO]);
    talk.up(TWO, STREAM);
    let (mut asked, mut alarmed) = (0, 0);
    for _ in 0..100 {
        let effects = talk.later(LIMITS.retry_ms);
        asked += begins(&effects);
        alarmed += alarms(&effects);
        if begins(&effects) > 0 || asked == 0 {
            alarmed += alarms(&talk.heard(TWO, STREAM, refused(RefusalCause::WouldCutCommitted)));
        }
    }
    assert_eq!((asked, alarmed), (6, 1), "after 1, 2, 4, 8, 16 and 32 pauses");
    let effects = talk.heard(TWO, STREAM, refused(RefusalCause::Stopped));
    assert_eq!(alarms(&effects), 1, "another cause is news");
}

/// The stream a report came on belongs to one life; whoever comes on the next one has reported nothing yet.
#[test]
fn n8_whoever_is_added_is_the_life_that_reported() {
    let mut talk = leader(&[ONE, TWO]);
    let effects = talk.matched(THREE, 0, 0);
    let named: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Propose { proposed, .. } => Some(&proposed.added),
            _ => None,
        })
        .flatten()
        .map(|life| (life.broker, life.epoch.0))
        .collect();
    assert_eq!(named, [(THREE, 1)]);
}

/// Gives a place to what `effects` report, in order.
fn reports(effects: &[Effect<u64>]) -> Vec<u64> {
    let replied = replies(effects).into_iter();
    let ends = replied.filter_map(|reply| match reply {
        FollowerMessage::Matched { durable_end, .. } | FollowerMessage::Report { durable_end } => {
            Some(durable_end.0)
        }
        _ => None,
    });
    ends.collect()
}

/// Broker 2 with offsets 0..6 of the leader's epoch, told by its leader that 4 of them are committed.
fn matched_with_damage(damage: Range<u64>, isr: &[BrokerId]) -> (Talk, Vec<Effect<u64>>) {
    let mut talk = Talk::with(TWO, log(4, 6, &[(EPOCH.0, 0)]), false, isr);
    let damage = Offset(damage.start)..Offset(damage.end);
    talk.machine.damaged(Some(damage).filter(|range| !range.is_empty()).into_iter().collect());
    talk.led(begin(0, 4));
    let answer = LeaderMessage::EpochEnd { asked: EPOCH, epoch: EPOCH, end: Offset(6) };
    let effects = talk.led(answer);
    (talk, effects)
}

/// Such a one was proposed into the set, led, and had forgotten producers.
#[test]
fn n7_a_damaged_replica_outside_the_set_reports_no_further_until_it_is_mended() {
    let (mut talk, effects) = matched_with_damage(1..3, &[ONE, THREE]);
    assert_eq!(reports(&effects), [1]);
    talk.machine.damaged(Vec::new());
    assert_eq!(reports(&talk.effects()), [6]);
}

#[test]
fn n6_a_member_reports_around_damage_of_what_is_committed_and_not_beyond_other_damage() {
    let (_, effects) = matched_with_damage(1..3, &[ONE, TWO]);
    assert_eq!(reports(&effects), [6], "acknowledgements do not wait for it to be mended");
    let (_, effects) = matched_with_damage(3..5, &[ONE, TWO]);
    assert_eq!(reports(&effects), [3]);
}

#[test]
fn n7_damage_found_after_a_report_takes_it_back_outside_the_set() {
    let (mut talk, effects) = matched_with_damage(0..0, &[ONE, THREE]);
    assert_eq!(reports(&effects), [6]);
    talk.machine.damaged(vec![Offset(2)..Offset(4)]);
    let effects = talk.effects();
    assert!(matches!(replies(&effects)[..], [FollowerMessage::Refused { .. }]), "the leader begins again");
}

#[test]
fn n7_the_leader_proposes_nobody_whom_the_metadata_calls_damaged() {
    let mut talk = leader(&[ONE, TWO]);
    let damaged = Assignment { damaged: [THREE].into(), ..entry(2, &[ONE, TWO]) };
    talk.machine.assigned(damaged, talk.now);
    assert_eq!(proposed(&talk.matched(THREE, 0, 0)), Vec::<Vec<u32>>::new());
    talk.machine.assigned(entry(3, &[ONE, TWO]), talk.now);
    assert_eq!(proposed(&talk.later(1)), [[1, 2, 3]]);
}

#[test]
fn n16_a_log_that_stopped_goes_on_under_a_higher_epoch_only() {
    let mut talk = leader(&[ONE, TWO]);
    talk.machine.failed("a write was refused");
    talk.machine.reopened(log(0, 0, &[]), talk.now);
    assert!(talk.machine.wants_epoch() && !talk.machine.is_stopped());
    let again = Assignment { partition_epoch: PartitionEpoch(2), ..entry(2, &[ONE]) };
    talk.machine.assigned(again, talk.now);
    assert_eq!(talk.machine.published().leading, None, "the same epoch");
    let higher = Assignment { leader_epoch: LeaderEpoch(EPOCH.0 + 1), ..entry(3, &[ONE]) };
    talk.machine.assigned(higher, talk.now);
    assert_eq!(talk.machine.published().leading, Some(LeaderEpoch(EPOCH.0 + 1)));
    assert!(!talk.machine.wants_epoch());
}
