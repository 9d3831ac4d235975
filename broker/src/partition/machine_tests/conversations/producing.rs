//! Talks about unclean opening, retention, and what producers are told.

use super::*;

#[test]
fn an_unclean_leader_copies_what_a_member_holds_beyond_it_before_it_opens() {
    let mut talk = Talk::with(ONE, log(0, 1, &[(3, 0)]), true, &[ONE, TWO]);
    talk.up(TWO, STREAM);
    let effects = talk.heard(TWO, STREAM, ask(3, 2));
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
    talk.heard(TWO, STREAM, ask(3, 1));
    assert_eq!(talk.machine.published().leading, Some(EPOCH), "broker 3 does not live");
}

/// The leader had lost the whole of its last epoch; its follower held it, and the records before it that the leader
/// lacked as well. Only the follower's last epoch was looked at, which the leader did not know: nothing was copied.
#[test]
fn an_unclean_leader_copies_on_from_the_last_common_epoch() {
    let mut talk = Talk::with(ONE, log(0, 1, &[(3, 0)]), true, &[ONE, TWO]);
    talk.up(TWO, STREAM);
    let (epoch, end) = (LeaderEpoch(4), Offset(3));
    let asks =
        FollowerMessage::Ask { begun: 0, epoch, end, shared_epoch: LeaderEpoch(3), shared_end: Offset(2) };
    let effects = talk.heard(TWO, STREAM, asks);
    assert!(
        matches!(effects[..], [Effect::ReadTail { start: Offset(1), end: Offset(3), .. }]),
        "{effects:?}"
    );
    talk.machine.tail_copied(vec![placed(1, 3)], talk.now).unwrap();
    assert!(
        matches!(talk.effects()[..], [Effect::Append(_), Effect::ReadTail { start: Offset(2), .. }]),
        "what came was not all"
    );
    talk.machine.tail_copied(vec![placed(2, 4)], talk.now).unwrap();
    talk.synced(3);
    assert_eq!(talk.machine.published().leading, Some(EPOCH));
}

/// The leader's log went on in an epoch that the follower never had: what the follower holds is no continuation.
#[test]
fn an_unclean_leader_copies_nothing_into_its_midst() {
    let mut talk = Talk::with(ONE, log(0, 2, &[(2, 0), (3, 1)]), true, &[ONE, TWO]);
    talk.up(TWO, STREAM);
    let effects = talk.heard(TWO, STREAM, ask(2, 4));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::ReadTail { .. })), "{effects:?}");
    assert_eq!(talk.machine.published().leading, Some(EPOCH));
}

#[test]
fn a_member_whose_log_is_stopped_does_not_hold_the_opening_up() {
    let mut talk = Talk::with(ONE, log(0, 1, &[(3, 0)]), true, &[ONE, TWO, THREE]);
    talk.up(TWO, STREAM);
    talk.up(THREE, StreamId(3));
    talk.heard(TWO, STREAM, ask(3, 1));
    let stopped = FollowerMessage::Refused {
        cause: RefusalCause::Stopped,
        message: "its disk is gone".to_owned(),
        epoch: EPOCH,
    };
    talk.heard(THREE, StreamId(3), stopped.clone());
    assert_eq!(talk.machine.published().leading, None, "it may be about to stop, and come back");
    talk.later(LIMITS.replica_down_ms_max);
    talk.heard(THREE, StreamId(3), stopped);
    assert_eq!(talk.machine.published().leading, Some(EPOCH));
}

#[test]
fn n15_retention_stops_at_what_is_committed() {
    let mut talk = Talk::with(ONE, log(1, 3, &[(3, 0)]), false, &[ONE, TWO]);
    talk.machine.retain_from(Offset(3));
    assert!(matches!(talk.effects()[..], [Effect::AdvanceStart(Offset(1))]));
}

/// Only pushes and a committed end that moved told a follower where its leader's log starts: an idle one kept its files.
#[test]
fn n15_an_idle_follower_hears_that_the_start_moved() {
    let mut talk = Talk::with(ONE, log(3, 3, &[(3, 0)]), false, &[ONE, TWO]);
    talk.matched(TWO, 3, 3);
    let told = talk.machine.next_committed(TWO, StreamId(2));
    assert!(told.is_some(), "what is committed it has to hear anyway");
    talk.machine.started(Offset(2));
    assert!(talk.effects().iter().any(|effect| matches!(effect, Effect::CommittedReady { to: TWO, .. })));
    let told = talk.machine.next_committed(TWO, StreamId(2));
    assert!(matches!(told, Some((EPOCH, LeaderMessage::Committed { start: Offset(2), .. }))), "{told:?}");
    assert!(talk.machine.next_committed(TWO, StreamId(2)).is_none());
}

/// A full disk refused to advance the start; the follower asked again only when its leader's start had moved on.
#[test]
fn n15_a_start_that_was_refused_is_asked_for_again() {
    let mut talk = follower(log(3, 3, &[(3, 0)]));
    talk.led(begin(2, 3));
    let (asked, epoch, end) = (LeaderEpoch(3), LeaderEpoch(3), Offset(3));
    let effects = talk.led(LeaderMessage::EpochEnd { asked, epoch, end });
    let advances =
        |effects: &[Effect<u64>]| effects.iter().any(|it| matches!(it, Effect::AdvanceStart(Offset(2))));
    assert!(advances(&effects));
    assert!(talk.machine.wants_ticks());
    assert!(advances(&talk.later(100)));
    talk.machine.started(Offset(2));
    assert!(!talk.machine.wants_ticks());
    assert!(!advances(&talk.later(100)));
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

/// Every run of a command-line producer takes an id; after a hundred thousand of them on one partition each new one was
/// refused until the leader restarted, however long the old ones had been silent.
#[test]
fn d6_idle_producers_make_room_for_new_ones() {
    let producers = fidelog_log::ProducerLimits { count_max: 3, idle_ms: 1_000 };
    let limits = crate::partition::MachineLimits { producers, ..LIMITS };
    let setup = Setup { id: partition(), me: ONE, log: log(0, 0, &[]), unclean: false, limits };
    let mut machine: Machine<u64> = Machine::new(setup);
    machine.set_lease(FOR_EVER);
    machine.assigned(Assignment { min_insync: 1, ..entry(1, &[ONE]) }, Moment::default());
    // The first three at once; the others each so much later that whoever came before is idle.
    for (id, wall_ms) in [(1, 1), (2, 1), (3, 1), (4, 1), (5, 5_000), (3, 5_001), (6, 5_002), (7, 5_003)] {
        let mut builder = BatchBuilder::new(Codec::None);
        let record = RecordRef { key: None, value: Some(b"v"), headers: &[], timestamp_ms: 1 };
        builder.try_push(record).unwrap();
        let id = ProducerId(id);
        let stamp =
            ProducerStamp { id, epoch: ProducerEpoch(u32::from(wall_ms > 1)), base_sequence: Sequence(0) };
        let (arrived, wait, epoch) = (Moment::default(), Duration::from_secs(1), LeaderEpoch(0));
        let produce = Produce { batch: builder.finish(stamp).unwrap(), arrived, wait, epoch, waiter: id.0 };
        machine.produce(produce, Moment::default(), wall_ms);
    }
    let mut effects = Vec::new();
    machine.take_effects(&mut effects);
    let refused: Vec<_> = answers(&effects).into_iter().map(|(waiter, _)| waiter).collect();
    // 4 came while nobody was idle. When 5 came all three were, though nothing had been appended since. 7 found the three
    // that came after that.
    assert_eq!(refused, [4, 7]);
}
