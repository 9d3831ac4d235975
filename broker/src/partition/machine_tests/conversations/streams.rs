//! Talks over streams that ended, over none, and while a cut is under way.

use super::*;

/// A follower was paused for seconds: the stream its leader had begun on died with a `Begin` in its buffer, and when
/// it went on the task of that stream came last. It listened to a stream that was over, in silence, for ever.
#[test]
fn n3_a_late_begin_of_a_dead_stream_is_got_over() {
    let mut talk = follower(log(0, 1, &[(3, 0)]));
    let (old, new) = (StreamId(1), StreamId(2));
    talk.machine.led(new, EPOCH, begin(0, 0));
    talk.machine.led(old, EPOCH, begin(0, 0));
    talk.effects();
    let asked = LeaderEpoch(3);
    talk.machine.led(new, EPOCH, LeaderMessage::EpochEnd { asked, epoch: asked, end: Offset(1) });
    let effects = talk.effects();
    assert!(matches!(replies(&effects)[..], [FollowerMessage::Refused { cause: RefusalCause::Gap, .. }]));
    talk.machine.leader_stream_down(old);
    talk.machine.led(new, EPOCH, begin(0, 0));
    assert_eq!(replies(&talk.effects()), [&ask(3, 1)]);
}

#[test]
fn n3_a_leader_that_hears_nothing_begins_again() {
    let mut talk = leader(&[ONE, TWO]);
    talk.up(TWO, STREAM);
    let again: usize = (0..10).map(|_| begins(&talk.later(100))).sum();
    assert_eq!(again, 2, "every {} ms and a tick", 2 * LIMITS.replica_down_ms_max);
}

/// The stream a leader spoke on ended while what it had pushed waited for room; nothing of it may be appended later,
/// when another stream has brought the same.
#[test]
fn n3_what_a_stream_left_parked_goes_with_it() {
    let mut talk = follower(LogState { room_bytes: 0, ..log(0, 0, &[]) });
    talk.begun(0);
    let push = Push {
        previous_epoch: LeaderEpoch(0),
        previous_end: Offset::ZERO,
        start: Offset::ZERO,
        committed_end: Offset::ZERO,
        batches: vec![placed(0, 5)],
    };
    assert!(matches!(talk.led(LeaderMessage::Push(push))[..], [Effect::Secure(_)]));
    talk.machine.leader_stream_down(STREAM);
    assert_eq!(talk.machine.held_bytes(), 0);
    let room = fidelog_log::Room { bytes: 1_000, after: Offset::ZERO };
    talk.machine.secured(Ok(room), talk.now, 1);
    assert!(talk.effects().is_empty());
}

/// A leader changed while the cut it had asked for was on its way: the follower matched the new one with an end that
/// the cut took away a moment later, and was believed to hold it.
#[test]
fn n3_a_new_epoch_waits_for_the_cut_of_the_old_one() {
    let mut talk = follower(log(0, 4, &[(3, 0)]));
    talk.begun(0);
    talk.led(LeaderMessage::EpochEnd { asked: LeaderEpoch(3), epoch: LeaderEpoch(3), end: Offset(2) });
    let next = Assignment {
        leader_epoch: LeaderEpoch(6),
        partition_epoch: PartitionEpoch(2),
        ..entry(1, &[ONE, TWO])
    };
    talk.machine.assigned(next, talk.now);
    talk.effects();
    talk.machine.led(StreamId(2), LeaderEpoch(6), begin(0, 0));
    assert!(matches!(
        replies(&talk.effects())[..],
        [FollowerMessage::Refused { cause: RefusalCause::Gap, .. }]
    ));
    talk.machine.cut_done(cut_to(2, &[(3, 0)]), talk.now);
    talk.machine.led(StreamId(2), LeaderEpoch(6), begin(0, 0));
    assert_eq!(replies(&talk.effects()), [&ask(3, 2)]);
}

/// The same, but the follower itself was to lead: its first batch would have been submitted behind the cut.
#[test]
fn n3_a_new_leader_opens_only_when_its_own_cut_is_done() {
    let mut talk = follower(log(0, 4, &[(3, 0)]));
    talk.begun(0);
    talk.led(LeaderMessage::EpochEnd { asked: LeaderEpoch(3), epoch: LeaderEpoch(3), end: Offset(2) });
    let mut mine = entry(2, &[ONE, TWO]);
    (mine.leader, mine.leader_epoch) = (Some(TWO), LeaderEpoch(6));
    talk.machine.assigned(mine, talk.now);
    talk.effects();
    let effects = talk.produce(1, 0);
    assert_eq!(answers(&effects), [(1, &ProduceAnswer::Refused(ProduceRefusal::Opening))]);
    talk.machine.cut_done(cut_to(2, &[(3, 0)]), talk.now);
    talk.effects();
    assert!(talk.produce(2, 0).iter().any(|effect| matches!(effect, Effect::Append(_))));
}
