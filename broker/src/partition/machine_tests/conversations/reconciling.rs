//! Talks about where a follower stands on a stream, and what it cuts there.

use super::*;

#[test]
fn n3_a_follower_asks_on_every_stream_and_matches_only_when_its_cut_is_durable() {
    let mut talk = follower(log(0, 4, &[(3, 0)]));
    assert_eq!(replies(&talk.begun(0)), [&ask(3, 4)]);
    let effects =
        talk.led(LeaderMessage::EpochEnd { asked: LeaderEpoch(3), epoch: LeaderEpoch(3), end: Offset(2) });
    assert!(matches!(effects[..], [Effect::Cut { to: Offset(2), .. }]));
    let done = cut_to(2, &[(3, 0)]);
    talk.machine.cut_done(done, talk.now);
    let matched = FollowerMessage::Matched {
        begun: 1,
        end: Offset(2),
        durable_end: Offset(2),
        last_epoch: LeaderEpoch(3),
    };
    assert_eq!(replies(&talk.effects()), [&matched]);
}

/// The leader began once more on the same stream: what is said now answers that, and no earlier beginning.
#[test]
fn n4_a_follower_answers_the_beginning_it_heard_last() {
    let mut talk = follower(log(0, 4, &[(3, 0)]));
    for number in [1, 2] {
        let (start, committed_end) = (Offset(0), Offset(0));
        let begin = LeaderMessage::Begin { number, start, committed_end, last_epoch: EPOCH };
        assert!(
            matches!(replies(&talk.led(begin))[..], [FollowerMessage::Ask { begun, .. }] if *begun == number)
        );
    }
    let (asked, end) = (LeaderEpoch(3), Offset(4));
    let answer = LeaderMessage::EpochEnd { asked, epoch: asked, end };
    assert!(matches!(replies(&talk.led(answer))[..], [FollowerMessage::Matched { begun: 2, .. }]));
}

#[test]
fn n4_a_report_of_another_stream_or_epoch_counts_for_nothing() {
    let mut talk = leader(&[ONE, TWO]);
    talk.matched(TWO, 0, 0);
    talk.produce(1, 0);
    talk.synced(1);
    let _ = talk.machine.next_push(TWO, StreamId(2), 1_000);
    let report = FollowerMessage::Report { durable_end: Offset(1) };
    talk.heard(TWO, StreamId(77), report.clone());
    talk.machine.heard(TWO, StreamId(2), LeaderEpoch(4), report.clone(), talk.now);
    assert_eq!(talk.committed_end(), 0);
    talk.heard(TWO, StreamId(2), report);
    assert_eq!(talk.committed_end(), 1);
}

#[test]
fn n4_a_report_beyond_what_was_sent_is_not_believed_and_the_follower_begins_anew() {
    let mut talk = leader(&[ONE, TWO]);
    talk.matched(TWO, 0, 0);
    talk.produce(1, 0);
    talk.synced(1);
    talk.heard(TWO, StreamId(2), FollowerMessage::Report { durable_end: Offset(1) });
    assert_eq!(talk.committed_end(), 0);
    assert_eq!(begins(&talk.later(60)), 1);
}

#[test]
fn n5_a_follower_never_cuts_below_what_it_knows_to_be_committed() {
    let mut talk = follower(log(3, 4, &[(3, 0)]));
    talk.begun(0);
    let effects =
        talk.led(LeaderMessage::EpochEnd { asked: LeaderEpoch(3), epoch: LeaderEpoch(3), end: Offset(2) });
    assert!(matches!(
        replies(&effects)[..],
        [FollowerMessage::Refused { cause: RefusalCause::WouldCutCommitted, .. }]
    ));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Alarm(_))));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Cut { .. })));
}

#[test]
fn n5_a_follower_adopts_the_committed_end_only_once_matched() {
    let mut talk = follower(log(0, 4, &[(3, 0)]));
    talk.begun(4);
    assert_eq!(talk.committed_end(), 0);
    talk.led(LeaderMessage::EpochEnd { asked: LeaderEpoch(3), epoch: LeaderEpoch(3), end: Offset(9) });
    assert_eq!(talk.committed_end(), 4);
}

/// Retention had passed every epoch the follower knew, and the leader's log began exactly where the follower's ended.
#[test]
fn n5_starting_over_at_the_leaders_start_is_no_cut() {
    let mut talk = follower(log(4, 4, &[(1, 0)]));
    talk.led(begin(4, 9));
    let effects =
        talk.led(LeaderMessage::EpochEnd { asked: LeaderEpoch(1), epoch: LeaderEpoch(0), end: Offset(4) });
    assert!(matches!(effects[..], [Effect::ReadProducers { at: Offset(4), epoch: EPOCH }]), "{effects:?}");
    talk.machine.producers_read(Offset(4), EPOCH, ProducerTable::default());
    assert!(matches!(talk.effects()[..], [Effect::StartOver { at: Offset(4), .. }]));
}
