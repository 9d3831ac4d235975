//! Talks about leadership that moves: the lease, a new leader's first steps, and an old one's last.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;

/// Two brokers, one of them slow to notice that the quorum is gone.
#[test]
fn n12_outside_the_lease_nothing_is_committed_and_nobody_is_answered() {
    let mut talk = leader(&[ONE, TWO]);
    talk.matched(TWO, 0, 0);
    talk.produce(1, 0);
    talk.synced(1);
    talk.machine.set_lease(Lease { until: talk.now, in_touch_until: talk.now });
    let effects = talk.report(TWO, 1);
    assert!(answers(&effects).is_empty(), "{effects:?}");
    assert_eq!(talk.committed_end(), 0);
    assert!(answers(&talk.later(1)).is_empty());
    talk.machine.set_lease(FOR_EVER);
    let effects = talk.later(1);
    assert!(matches!(answers(&effects)[..], [(1, ProduceAnswer::Stored(_))]), "a tick tries again");
}

#[test]
fn n12_a_resend_of_what_is_committed_waits_for_the_lease_as_well() {
    let mut talk = leader(&[ONE, TWO]);
    talk.matched(TWO, 0, 0);
    talk.produce(1, 0);
    talk.synced(1);
    talk.report(TWO, 1);
    // The lease ends between the door and the log: the batch was parked for want of room.
    talk.machine.log.room_bytes = 0;
    assert!(answers(&talk.produce(2, 0)).is_empty(), "no room to place it yet");
    talk.machine.set_lease(Lease::default());
    let room = fidelog_log::Room { bytes: 10_000, after: Offset(1) };
    talk.machine.secured(Ok(room), talk.now, 1);
    assert!(answers(&talk.effects()).is_empty());
    talk.machine.set_lease(FOR_EVER);
    assert!(matches!(
        answers(&talk.later(1))[..],
        [(2, ProduceAnswer::Stored(stored))] if stored.duplicate
    ));
}

#[test]
fn n12_a_produce_outside_the_lease_is_refused_for_good() {
    let mut talk = leader(&[ONE]);
    talk.machine.set_lease(Lease::default());
    let effects = talk.produce(1, 0);
    let [(1, ProduceAnswer::Refused(ProduceRefusal::NotLeader { leader: None, .. }))] = answers(&effects)[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!(talk.machine.positions().end, Offset(0));
}

#[test]
fn readers_hear_when_the_session_with_the_quorum_is_lost_and_when_it_is_back() {
    let mut talk = leader(&[ONE, TWO]);
    let until = talk.now.plus(Duration::from_millis(100));
    talk.machine.set_lease(Lease { in_touch_until: until, ..FOR_EVER });
    talk.later(99);
    assert!(talk.machine.published().in_touch);
    assert!(talk.later(1).iter().any(|effect| matches!(effect, Effect::Publish)));
    assert!(!talk.machine.published().in_touch);
    talk.machine.set_lease(FOR_EVER);
    talk.later(1);
    assert!(talk.machine.published().in_touch);
}

fn led_by(leader: BrokerId, leader_epoch: u32, isr: &[BrokerId]) -> Assignment {
    let partition_epoch = PartitionEpoch(100 + u64::from(leader_epoch));
    Assignment {
        leader: Some(leader),
        leader_epoch: LeaderEpoch(leader_epoch),
        partition_epoch,
        ..entry(1, isr)
    }
}

/// Broker 2 followed and becomes the leader, with a tail of which it does not know whether it is committed.
#[test]
fn n6_a_new_leader_confirms_what_it_held_without_a_produce() {
    let mut talk = follower(log(1, 3, &[(3, 0)]));
    talk.machine.assigned(led_by(TWO, 6, &[ONE, TWO]), talk.now);
    let published = talk.machine.published();
    assert_eq!((published.leading, published.confirmed), (Some(LeaderEpoch(6)), false));
    let stream = StreamId(7);
    talk.up(ONE, stream);
    let (end, last_epoch) = (Offset(3), LeaderEpoch(3));
    let matched = FollowerMessage::Matched { begun: 1, end, durable_end: end, last_epoch };
    // What it said to an earlier leader, or on an earlier stream, counts for nothing.
    talk.machine.heard(ONE, stream, LeaderEpoch(5), matched.clone(), talk.now);
    assert!(!talk.machine.published().confirmed);
    talk.machine.heard(ONE, stream, LeaderEpoch(6), matched, talk.now);
    assert_eq!(talk.committed_end(), 3);
    assert!(talk.machine.published().confirmed);
}

#[test]
fn n6_the_leader_of_an_empty_log_has_nothing_to_confirm() {
    let mut talk = follower(log(0, 0, &[]));
    talk.machine.assigned(led_by(TWO, 6, &[TWO, THREE]), talk.now);
    assert!(talk.machine.published().confirmed);
}

/// Deposed, it held more than the new leader: whoever waits hears "unknown", and the tail goes.
#[test]
fn an_old_leader_tells_its_waiters_and_cuts_what_the_new_one_does_not_have() {
    let mut talk = leader(&[ONE, TWO]);
    talk.matched(TWO, 0, 0);
    talk.produce(1, 0);
    talk.synced(1);
    talk.machine.assigned(led_by(TWO, 9, &[TWO, THREE]), talk.now);
    let effects = talk.effects();
    assert!(matches!(answers(&effects)[..], [(1, ProduceAnswer::Unknown(Unknown::EpochEnded))]));
    // Its report comes all the same; nobody is acknowledged by it.
    talk.heard(TWO, StreamId(2), FollowerMessage::Report { durable_end: Offset(1) });
    assert_eq!(talk.committed_end(), 0);
    let (stream, epoch) = (StreamId(9), LeaderEpoch(9));
    let begins = LeaderMessage::Begin {
        number: 1,
        start: Offset(0),
        committed_end: Offset(0),
        last_epoch: LeaderEpoch(0),
    };
    talk.machine.led(stream, epoch, begins);
    talk.effects();
    let none = LeaderMessage::EpochEnd { asked: EPOCH, epoch: LeaderEpoch(0), end: Offset(0) };
    talk.machine.led(stream, epoch, none);
    assert!(matches!(talk.effects()[..], [Effect::Cut { to: Offset(0), .. }]));
    let done = CutDone {
        end: Offset(0),
        epochs: EpochHistory::default(),
        producers: ProducerTable::default(),
        room_bytes: 10_000,
    };
    talk.machine.cut_done(done, talk.now);
    assert!(matches!(
        replies(&talk.effects())[..],
        [FollowerMessage::Matched { end: Offset(0), durable_end: Offset(0), .. }]
    ));
}

/// It restarted uncleanly, was filled by another leader and joined: it holds what it reported, and opens at once.
#[test]
fn n10_whoever_joined_anew_since_it_restarted_is_believed() {
    let all = [ONE, TWO, THREE];
    let mut talk = Talk::with(TWO, log(0, 1, &[(3, 0)]), true, &[ONE, THREE]);
    talk.shows(2, &all);
    talk.machine.assigned(led_by(TWO, 6, &all), talk.now);
    assert_eq!(talk.machine.published().leading, Some(LeaderEpoch(6)));

    let mut talk = Talk::with(TWO, log(0, 1, &[(3, 0)]), true, &all);
    talk.machine.assigned(led_by(TWO, 6, &all), talk.now);
    assert_eq!(talk.machine.published().leading, None, "it must hear what the others hold first");
}

/// A watch that was away shows only where things ended.
#[test]
fn n1_epochs_that_the_watch_skipped_are_over() {
    let mut talk = follower(log(0, 1, &[(3, 0)]));
    talk.begun(0);
    talk.machine.assigned(led_by(ONE, 8, &[ONE, TWO]), talk.now);
    talk.effects();
    assert!(matches!(
        replies(&talk.begun(0))[..],
        [FollowerMessage::Refused { cause: RefusalCause::Fenced, epoch: LeaderEpoch(8), .. }]
    ));
    talk.machine.assigned(led_by(THREE, 7, &[ONE, TWO]), talk.now);
    assert_eq!(talk.machine.published().leader, Some(ONE), "an older entry comes late");
}

fn rounds(effects: &[Effect<u64>]) -> Vec<u64> {
    let confirmed = |effect: &Effect<u64>| match effect {
        Effect::Confirmed(round) => Some(*round),
        _ => None,
    };
    effects.iter().filter_map(confirmed).collect()
}

#[test]
fn n18_a_round_needs_every_member_and_none_of_an_earlier_one() {
    let mut talk = leader(&[ONE, TWO, THREE]);
    assert_eq!(talk.machine.begin_round(EPOCH, talk.now), None, "nobody can be asked");
    talk.matched(TWO, 0, 0);
    talk.matched(THREE, 0, 0);
    let first = talk.machine.begin_round(EPOCH, talk.now).unwrap();
    let second = talk.machine.begin_round(EPOCH, talk.now).unwrap();
    talk.effects();
    let late = FollowerMessage::Confirmed { number: first };
    let now = FollowerMessage::Confirmed { number: second };
    assert!(rounds(&talk.heard(TWO, StreamId(2), late)).is_empty());
    assert!(rounds(&talk.heard(THREE, StreamId(3), now.clone())).is_empty());
    assert!(rounds(&talk.heard(THREE, StreamId(3), now.clone())).is_empty(), "once is enough");
    assert_eq!(rounds(&talk.heard(TWO, StreamId(2), now)), [second]);
}

#[test]
fn n18_whom_it_proposed_is_asked_as_well_and_too_few_are_not_asked_at_all() {
    let mut talk = leader(&[ONE, TWO]);
    talk.matched(TWO, 0, 0);
    talk.matched(THREE, 0, 0); // proposed
    let round = talk.machine.begin_round(EPOCH, talk.now).unwrap();
    talk.effects();
    let confirmed = FollowerMessage::Confirmed { number: round };
    assert!(rounds(&talk.heard(TWO, StreamId(2), confirmed.clone())).is_empty());
    assert_eq!(rounds(&talk.heard(THREE, StreamId(3), confirmed)), [round]);

    let mut talk = leader(&[ONE]);
    assert_eq!(talk.machine.begin_round(EPOCH, talk.now), None, "an eligible one may lead by now");
    assert_eq!(talk.machine.begin_round(LeaderEpoch(4), talk.now), None);
}

#[test]
fn n18_whoever_has_seen_a_newer_epoch_confirms_nothing() {
    let mut talk = follower(log(0, 0, &[]));
    let effects = talk.led(LeaderMessage::Confirm { number: 3 });
    assert!(matches!(replies(&effects)[..], [FollowerMessage::Confirmed { number: 3 }]));
    talk.machine.assigned(led_by(THREE, 6, &[TWO, THREE]), talk.now);
    talk.effects();
    assert!(talk.led(LeaderMessage::Confirm { number: 4 }).is_empty());
}

/// A refilled replica that led later took a batch twice: nobody had told it of the producers before its log's start.
#[test]
fn what_a_leader_remembers_of_producers_comes_before_the_log_begins_anew() {
    let mut talk = follower(log(0, 0, &[]));
    let asked = |effects: &[Effect<u64>]| matches!(effects, [Effect::ReadProducers { at: Offset(4), .. }]);
    assert!(asked(&talk.led(begin(4, 9))));
    talk.machine.producers_not_read(Offset(4), EPOCH, "the leader is away");
    let effects = talk.effects();
    assert!(matches!(replies(&effects)[..], [FollowerMessage::Refused { cause: RefusalCause::Gap, .. }]));
    assert!(asked(&talk.led(begin(4, 9))), "it is asked to begin again");

    let mut table = ProducerTable::default();
    table.apply(placed(0, 3).header());
    talk.machine.producers_read(Offset(3), EPOCH, ProducerTable::default());
    talk.machine.producers_read(Offset(4), LeaderEpoch(4), ProducerTable::default());
    assert!(talk.effects().is_empty(), "of another start, of another epoch");
    talk.machine.producers_read(Offset(4), EPOCH, table.clone());
    let effects = talk.effects();
    let [Effect::StartOver { at: Offset(4), producers }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(*producers, table);
    talk.machine.producers_read(Offset(4), EPOCH, table);
    assert!(talk.effects().is_empty(), "the answer came twice");
}

/// The quorum moves leadership rather than let the set shrink below the minimum; back again, it asked at once, and so
/// on for as long as the others hung.
#[test]
fn n11_whoever_asked_to_shrink_below_the_minimum_asks_less_and_less() {
    let mut talk = leader(&[ONE, TWO, THREE]);
    let mut asked = Vec::new();
    for turn in 0..40_u32 {
        let anew = Assignment {
            partition_epoch: PartitionEpoch(u64::from(turn) + 200),
            ..led_by(ONE, 6 + turn, &[ONE, TWO, THREE])
        };
        talk.machine.assigned(anew, talk.now);
        talk.effects();
        asked.push(proposed(&talk.later(LIMITS.replica_down_ms_max)).len());
    }
    let count: usize = asked.iter().sum();
    assert!((2..10).contains(&count), "{asked:?}");
    assert_eq!(asked[0], 1);
}

/// One that was draining and started again was proposed five times a second by every leader, for as long as it drained.
#[test]
fn n7_whoever_the_quorum_does_not_take_in_is_proposed_less_and_less_and_others_at_once() {
    let mut talk = leader(&[ONE, TWO]);
    talk.matched(TWO, 0, 0);
    let mut asked = proposed(&talk.matched(THREE, 0, 0)).len();
    for _ in 0..300 {
        asked += proposed(&talk.later(LIMITS.retry_ms)).len();
    }
    assert!((8..20).contains(&asked), "{asked} of 300 times");
    talk.machine.stream_down(StreamId(2), TWO, talk.now);
    talk.effects();
    assert_eq!(proposed(&talk.later(LIMITS.replica_down_ms_max)), [[1, 3]], "a shrink waits for no growth");
}

/// A broker that stops is matched still when another begins to lead. It was proposed, the answer was lost with the quorum's
/// leader, which was the one that stopped, and until there was another nothing was committed.
#[test]
fn n8_whoever_is_barred_is_not_proposed_and_joins_at_once_when_it_is_not() {
    let mut talk = leader(&[ONE, TWO]);
    talk.machine.barred(Arc::new(BTreeSet::from([THREE])), talk.now);
    talk.matched(TWO, 0, 0);
    assert!(proposed(&talk.matched(THREE, 0, 0)).is_empty());
    assert!(proposed(&talk.later(LIMITS.retry_ms)).is_empty());
    talk.machine.barred(Arc::default(), talk.now);
    assert_eq!(proposed(&talk.effects()), [[1, 2, 3]]);
    // Barred again before the watch has shown anything: the growth is withdrawn, and nobody is waited for in vain.
    talk.machine.barred(Arc::new(BTreeSet::from([THREE])), talk.now);
    assert_eq!(proposed(&talk.later(LIMITS.retry_ms)), [[1, 2]]);
}

/// The quorum is away: what was proposed is not answered, and until it is withdrawn whoever was to join is waited for.
#[test]
fn n7_a_growth_is_withdrawn_at_every_retry() {
    let mut talk = leader(&[ONE, TWO]);
    talk.matched(TWO, 0, 0);
    assert_eq!(proposed(&talk.matched(THREE, 0, 0)), [[1, 2, 3]]);
    talk.machine.barred(Arc::new(BTreeSet::from([THREE])), talk.now);
    for turn in 0..20 {
        assert_eq!(proposed(&talk.later(LIMITS.retry_ms)), [[1, 2]], "turn {turn}");
    }
}

/// It was given up and is refilled, or moved away and back, on the same stream: what it held is gone.
#[test]
fn n7_a_copy_that_was_begun_anew_counts_for_nothing_until_it_says_where_it_ends() {
    let mut talk = Talk::with(ONE, log(2, 2, &[(3, 0)]), false, &[ONE, TWO]);
    talk.matched(TWO, 2, 3);
    talk.matched(THREE, 2, 3);
    let copies = |three: Option<u64>, partition_epoch| {
        let three = three.map(|since| (THREE, PartitionEpoch(since)));
        let copies = [ONE, TWO].map(|id| (id, PartitionEpoch(0))).into_iter().chain(three).collect();
        Assignment { copies, ..entry(partition_epoch, &[ONE, TWO]) }
    };
    talk.machine.assigned(copies(None, 2), talk.now);
    assert!(talk.machine.is_down(THREE));
    assert_eq!(begins(&talk.up(THREE, StreamId(9))), 0, "it is still being removed");
    talk.machine.assigned(copies(Some(2), 3), talk.now);
    talk.effects();
    assert!(talk.machine.is_down(THREE));
    assert!(proposed(&talk.later(LIMITS.retry_ms)).is_empty(), "an empty copy joins nothing");
    assert_eq!(begins(&talk.up(THREE, StreamId(9))), 1);
    // Both at once, as a slow watch shows them.
    talk.matched(THREE, 2, 3);
    let stream = StreamId(THREE.0.into());
    let begun = match &talk.machine.role {
        Role::Leader(leading) => leading.followers.get(THREE).expect("it is a replica").begun,
        role => panic!("{role:?}"),
    };
    talk.machine.assigned(copies(Some(4), 5), talk.now);
    assert!(talk.machine.is_down(THREE));
    // What it said of the former copy was under way for long, on the stream on which it is begun with once more.
    assert_eq!(begins(&talk.up(THREE, stream)), 1);
    let (end, last_epoch) = (Offset(2), LeaderEpoch(3));
    let late = FollowerMessage::Matched { begun, end, durable_end: end, last_epoch };
    talk.machine.heard(THREE, stream, EPOCH, late, talk.now);
    assert!(proposed(&talk.effects()).is_empty());
    assert!(proposed(&talk.later(LIMITS.retry_ms)).is_empty());
    let filled = FollowerMessage::Matched { begun: 0, end, durable_end: end, last_epoch };
    assert_eq!(proposed(&talk.heard(THREE, stream, filled)), [[1, 2, 3]], "in answer to this beginning");
}

#[test]
fn n15_a_replica_added_while_leading_is_filled_and_one_removed_is_heard_no_more() {
    let four = BrokerId(4);
    let mut talk = Talk::with(ONE, log(2, 2, &[(3, 0)]), false, &[ONE, TWO]);
    talk.matched(TWO, 2, 3);
    let replicas = |ids: &[BrokerId], partition_epoch| Assignment {
        replicas: ids.to_vec(),
        copies: ids.iter().map(|&id| (id, PartitionEpoch(0))).collect(),
        ..entry(partition_epoch, &[ONE, TWO])
    };
    talk.machine.assigned(replicas(&[ONE, TWO, THREE, four], 2), talk.now);
    talk.effects();
    assert!(talk.machine.is_down(four), "whoever keeps the streams sees that it needs one");
    assert_eq!(begins(&talk.up(four, StreamId(4))), 1);
    let empty = (Offset(0), LeaderEpoch(0));
    let matched =
        FollowerMessage::Matched { begun: 0, end: empty.0, durable_end: empty.0, last_epoch: empty.1 };
    let effects = talk.heard(four, StreamId(4), matched);
    let pushed = |effect: &Effect<u64>| matches!(effect, Effect::PushReady { to, .. } if *to == four);
    assert!(effects.iter().any(pushed), "{effects:?}");

    talk.machine.assigned(replicas(&[ONE, TWO, THREE], 3), talk.now);
    talk.effects();
    let report = FollowerMessage::Report { durable_end: Offset(2) };
    assert!(talk.heard(four, StreamId(4), report).is_empty(), "it is no replica any more");
    assert!(matches!(talk.machine.next_push(four, StreamId(4), 1_000), NextPush::Nothing));
}

#[test]
fn n11_a_leader_whose_log_fails_tells_the_quorum_once() {
    let mut talk = leader(&[ONE, TWO]);
    talk.machine.failed("the disk is gone");
    let told = |effects: &[Effect<u64>]| effects.iter().any(|it| matches!(it, Effect::ReplicaFailed));
    assert!(told(&talk.effects()));
    talk.machine.failed("once more");
    assert!(!told(&talk.effects()));
}
