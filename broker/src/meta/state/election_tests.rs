//! Who leads after what, told as short stories. One topic with one partition on brokers 1 to 3, minimum 2.

use std::sync::Arc;

use fidelog_record::types::{BrokerId, LeaderEpoch, Offset};

use super::fixture::*;
use super::{
    ClusterState, ConfigChange, ConfigKey, Entry, FenceReason, OfflineReason, PartitionEntry, Proposal,
    Refusal, Registration, ReplicaEnd, TopicState,
};

fn orders(state: &ClusterState) -> &Arc<PartitionEntry> {
    state.partition(at(0xaa, 0)).unwrap()
}

fn ids(numbers: &[u32]) -> Vec<BrokerId> {
    numbers.iter().copied().map(BrokerId).collect()
}

/// Leader, isr, eligible.
type Sets = (Option<BrokerId>, Vec<BrokerId>, Vec<BrokerId>);

fn sets(state: &ClusterState) -> Sets {
    let it = orders(state);
    (it.leader, it.isr.clone(), it.eligible.clone())
}

fn expected(leader: Option<u32>, isr: &[u32], eligible: &[u32]) -> Sets {
    (leader.map(BrokerId), ids(isr), ids(eligible))
}

fn fenced(state: &mut ClusterState, n: u32) {
    let proposal = fence(state, n);
    done(state, &proposal);
}

fn unfenced(state: &mut ClusterState, n: u32) {
    let proposal = unfence(state, n);
    done(state, &proposal);
}

fn isr(state: &mut ClusterState, members: &[u32]) {
    let proposal = change_isr(state, at(0xaa, 0), members);
    done(state, &proposal);
}

fn unclean(n: u32, start: u8) -> Registration {
    Registration { clean: false, ..next_start(n, start) }
}

fn emptied(n: u32, start: u8) -> Registration {
    Registration { directory: directory(0x10 + n), ..next_start(n, start) }
}

fn ends(state: &ClusterState, n: u32, last_epoch: u32, end: u64) -> Proposal {
    let end =
        ReplicaEnd { partition: at(0xaa, 0), last_epoch: LeaderEpoch(last_epoch), durable_end: Offset(end) };
    Proposal::ReportEnds {
        broker: BrokerId(n),
        broker_epoch: state.broker(BrokerId(n)).unwrap().epoch,
        ends: vec![end],
    }
}

fn set_minimum(state: &mut ClusterState, min: u64) {
    let changes = vec![ConfigChange { key: ConfigKey::MinInsyncReplicas, value: Some(min) }];
    done(state, &Proposal::AlterTopic { topic: topic_id(0xaa), changes, allow_unreplicated: true });
}

#[test]
fn a_fenced_leader_is_followed_by_the_next_in_sync_and_its_proposals_under_way_are_void() {
    let mut state = opened(3);
    let under_way = change_isr(&state, at(0xaa, 0), &[1, 2]);
    let before = orders(&state).clone();
    fenced(&mut state, 1);
    assert_eq!(sets(&state), expected(Some(2), &[2, 3], &[]));
    assert_eq!(orders(&state).leader_epoch, before.leader_epoch.next());
    assert_eq!(
        orders(&state).epoch,
        before.epoch.next(),
        "N7: a change by the quorum voids what is under way"
    );
    assert!(matches!(refused(&state, &under_way), Refusal::NotLeader { leader: Some(BrokerId(2)), .. }));
}

#[test]
fn a_fenced_follower_leaves_the_isr_without_a_new_leadership() {
    let mut state = opened(3);
    let under_way = change_isr(&state, at(0xaa, 0), &[1, 2]);
    fenced(&mut state, 3);
    assert_eq!(sets(&state), expected(Some(1), &[1, 2], &[]));
    assert_eq!(orders(&state).leader_epoch, LeaderEpoch(1));
    assert!(matches!(refused(&state, &under_way), Refusal::StalePartitionEpoch { .. }));
    let grow = change_isr(&state, at(0xaa, 0), &[1, 2, 3]);
    assert!(matches!(refused(&state, &grow), Refusal::MemberMismatch { .. }), "N8: fenced");
}

/// The isr shrinks to nothing but its last member, whoever left below the minimum stays eligible, and the first that
/// is back leads: each of them holds everything, since nothing was acknowledged with less than the minimum.
#[test]
fn with_all_fenced_the_first_that_is_back_leads() {
    let mut down = opened(3);
    for n in [1, 2, 3] {
        fenced(&mut down, n);
    }
    assert_eq!(sets(&down), expected(None, &[3], &[2]));
    assert_eq!(orders(&down).offline, Some(OfflineReason::NoLiveMember {}));

    let mut last = down.clone();
    unfenced(&mut last, 3);
    assert_eq!(sets(&last), expected(Some(3), &[3], &[2]));
    assert_eq!(orders(&last).offline, None);

    let mut eligible = down.clone();
    unfenced(&mut eligible, 2);
    assert_eq!(
        sets(&eligible),
        expected(Some(2), &[2], &[3]),
        "N9: eligible, and who was in sync still is one"
    );

    let mut outsider = down;
    let epoch = orders(&outsider).leader_epoch;
    unfenced(&mut outsider, 1);
    assert_eq!(sets(&outsider).0, None, "it left while the rest had the minimum");
    assert_eq!(orders(&outsider).leader_epoch, epoch);
}

#[test]
fn with_a_minimum_of_one_only_the_last_in_sync_comes_back() {
    let mut state = opened(3);
    set_minimum(&mut state, 1);
    for n in [1, 2, 3] {
        fenced(&mut state, n);
    }
    assert_eq!(sets(&state), expected(None, &[3], &[]));
    unfenced(&mut state, 2);
    assert_eq!(sets(&state).0, None, "3 alone may have acknowledged more");
    unfenced(&mut state, 3);
    assert_eq!(sets(&state), expected(Some(3), &[3], &[]));
}

/// An operator lowers the minimum while nobody leads. Nothing is acknowledged before somebody does, so that whoever
/// was eligible still holds everything, and is not forgotten.
#[test]
fn a_lower_minimum_forgets_nobody_while_nobody_leads() {
    let mut state = opened(3);
    for n in [1, 2, 3] {
        fenced(&mut state, n);
    }
    set_minimum(&mut state, 1);
    assert_eq!(sets(&state), expected(None, &[3], &[2]));
    unfenced(&mut state, 2);
    assert_eq!(sets(&state), expected(Some(2), &[2], &[]));
}

#[test]
fn a_lower_minimum_forgets_the_eligible_once_the_isr_acknowledges_without_them() {
    let mut state = opened(3);
    isr(&mut state, &[1, 2]);
    isr(&mut state, &[1]);
    assert_eq!(sets(&state), expected(Some(1), &[1], &[2]));
    set_minimum(&mut state, 1);
    assert_eq!(sets(&state), expected(Some(1), &[1], &[]));
}

/// G5: the last in-sync disk dies for good, and a replica that holds everything acknowledged takes over.
#[test]
fn a_partition_whose_last_disk_in_sync_is_lost_heals_from_an_eligible_one() {
    let mut state = opened(3);
    set_minimum(&mut state, 3);
    isr(&mut state, &[1, 2]);
    isr(&mut state, &[1]);
    fenced(&mut state, 2);
    fenced(&mut state, 3);
    start(&mut state, emptied(1, 2));
    assert_eq!(sets(&state), expected(None, &[], &[3, 2]), "the isr may become empty");
    assert_eq!(orders(&state).offline, Some(OfflineReason::NoLiveMember {}));
    unfenced(&mut state, 3);
    assert_eq!(sets(&state), expected(Some(3), &[3], &[2]));
    let grow = change_isr(&state, at(0xaa, 0), &[3, 1]);
    assert!(matches!(refused(&state, &grow), Refusal::MemberMismatch { .. }), "it is not even made");
    let made = ready(&state, 1, 0xaa);
    done(&mut state, &made);
    isr(&mut state, &[3, 1]);
    assert_eq!(sets(&state), expected(Some(3), &[1, 3], &[2]), "the minimum is 3");
}

#[test]
fn with_everybody_who_held_everything_lost_only_an_operator_helps() {
    let mut state = opened(3);
    isr(&mut state, &[1, 2]);
    start(&mut state, emptied(1, 2));
    assert_eq!(sets(&state), expected(Some(2), &[2], &[]), "proven loss is no eligibility");
    start(&mut state, emptied(2, 2));
    assert_eq!(sets(&state), expected(None, &[], &[]));
    let lost = OfflineReason::LeaderLostItsData { broker: BrokerId(2), directory: directory(2) };
    assert_eq!(orders(&state).offline, Some(lost));
}

/// N1: the leadership of the former process ends with the registration of the next one, and another in-sync replica
/// leads, or the same broker under a higher epoch once it is unfenced.
#[test]
fn a_restarted_leader_leads_again_only_under_another_epoch() {
    let mut alone = opened(1);
    done(&mut alone, &register(next_start(1, 2)));
    assert_eq!(sets(&alone), expected(None, &[1], &[]));
    unfenced(&mut alone, 1);
    assert_eq!(sets(&alone), expected(Some(1), &[1], &[]));
    assert_eq!(orders(&alone).leader_epoch, LeaderEpoch(3));
}

#[test]
fn who_restarted_uncleanly_is_not_believed_while_another_lives() {
    let mut state = opened(3);
    start(&mut state, unclean(1, 2));
    assert_eq!(sets(&state), expected(Some(2), &[2, 3], &[]));
    start(&mut state, unclean(2, 2));
    assert_eq!(
        sets(&state),
        expected(Some(3), &[3], &[2]),
        "below the minimum: ranked last among the eligible"
    );
    fenced(&mut state, 3);
    assert_eq!(sets(&state), expected(None, &[3], &[2]), "N10: 3 holds everything, 2 perhaps not");
    unfenced(&mut state, 3);
    isr(&mut state, &[3, 2]);
    assert!(orders(&state).unproven.is_empty(), "found in sync by the leader (N7)");
    fenced(&mut state, 3);
    assert_eq!(sets(&state), expected(Some(2), &[2], &[3]));
}

fn all_restarted_uncleanly() -> ClusterState {
    let mut state = opened(3);
    for n in [1, 2, 3] {
        start(&mut state, unclean(n, 2));
    }
    assert_eq!(sets(&state), expected(None, &[3], &[2]));
    let waiting = OfflineReason::RestartedUncleanly { since_ms: NOW_MS, reports: Vec::new() };
    assert_eq!(orders(&state).offline, Some(waiting));
    state
}

#[test]
fn after_a_power_cut_the_greatest_leads_once_all_have_told_where_they_end() {
    let mut state = all_restarted_uncleanly();
    let [two, three] = [ends(&state, 2, 1, 90), ends(&state, 3, 1, 80)];
    done(&mut state, &three);
    assert_eq!(sets(&state).0, None);
    assert!(matches!(refused(&state, &ends(&state, 1, 1, 100)), Refusal::NotWaitingForEnds { .. }));
    done(&mut state, &two);
    assert_eq!(sets(&state), expected(Some(2), &[2], &[3]));
    assert_eq!(orders(&state).unproven, ids(&[3]));
}

#[test]
fn a_later_epoch_beats_a_longer_log() {
    let mut state = all_restarted_uncleanly();
    let [two, three] = [ends(&state, 2, 1, 90), ends(&state, 3, 2, 80)];
    done(&mut state, &two);
    done(&mut state, &three);
    assert_eq!(sets(&state), expected(Some(3), &[3], &[2]));
}

#[test]
fn after_the_wait_those_who_told_are_enough_but_a_greater_one_is_waited_for() {
    let mut state = all_restarted_uncleanly();
    let elect = Proposal::ElectUnclean { partitions: vec![at(0xaa, 0)] };
    assert!(matches!(refused(&state, &elect), Refusal::NotWaitingForEnds { .. }), "nobody told");
    let three = ends(&state, 3, 1, 80);
    done(&mut state, &three);
    let mut without_two = state.clone();
    done(&mut without_two, &elect);
    assert_eq!(sets(&without_two), expected(Some(3), &[3], &[2]));

    // 3 told the greater end and is gone again when the wait is over.
    fenced(&mut state, 3);
    let two = ends(&state, 2, 1, 70);
    done(&mut state, &two);
    done(&mut state, &elect);
    assert_eq!(sets(&state).0, None, "it may hold what was acknowledged");
    unfenced(&mut state, 3);
    assert_eq!(sets(&state).0, Some(BrokerId(3)));
}

#[test]
fn a_report_of_a_former_process_does_not_count() {
    let mut state = all_restarted_uncleanly();
    let late = ends(&state, 3, 9, 99);
    let two = ends(&state, 2, 1, 70);
    done(&mut state, &late);
    start(&mut state, unclean(3, 3));
    assert!(matches!(refused(&state, &late), Refusal::StaleBrokerEpoch { .. }));
    done(&mut state, &two);
    assert_eq!(sets(&state).0, None, "3 has yet to tell");
}

/// A single member has nobody to be compared with: a broker without replicas elsewhere serves after a kill.
#[test]
fn a_single_member_leads_again_after_an_unclean_restart() {
    let mut state = opened(1);
    start(&mut state, unclean(1, 2));
    assert_eq!(sets(&state), expected(Some(1), &[1], &[]));
}

#[test]
fn a_stopping_broker_hands_over_and_stays_fenced_until_it_starts_again() {
    let mut state = opened(3);
    let epoch = state.broker(BrokerId(1)).unwrap().epoch;
    done(&mut state, &Proposal::HandOver { broker: BrokerId(1), broker_epoch: epoch });
    assert_eq!(sets(&state), expected(Some(2), &[2, 3], &[]));
    let refusal = refused(&state, &unfence(&state, 1));
    assert_eq!(refusal, Refusal::FencedForGood { broker: BrokerId(1), reason: FenceReason::Stopping });
    assert!(matches!(refused(&state, &fence(&state, 1)), Refusal::FencedAlready { .. }));
    start(&mut state, next_start(1, 2));
    assert!(!state.broker(BrokerId(1)).unwrap().fenced);
}

#[test]
fn a_fence_is_of_one_registration_and_keeps_when_it_began() {
    let mut state = opened(2);
    let [stale_fence, stale_unfence] = [fence(&state, 1), unfence(&state, 1)];
    assert!(matches!(refused(&state, &stale_unfence), Refusal::NotFenced { .. }));
    start(&mut state, next_start(1, 2));
    for stale in [stale_fence, stale_unfence] {
        assert!(matches!(refused(&state, &stale), Refusal::StaleBrokerEpoch { .. }));
    }
    fenced(&mut state, 1);
    let since = state.broker(BrokerId(1)).unwrap().fenced_at_ms;
    let later = state
        .decide(&register(next_start(1, 3)), NOW_MS + 60_000, &super::Minted { topic: topic_id(1) })
        .unwrap();
    let Entry::BrokerRegistered { broker, .. } = later else { panic!("not a registration") };
    assert_eq!(broker.fenced_at_ms, since, "it has led nothing since");
}

#[test]
fn a_topic_opens_with_those_made_and_alive_when_its_first_broker_dies() {
    let mut state = founded();
    for n in 1..=3 {
        start(&mut state, registration(n));
    }
    step(&mut state, &create("orders", 1, 3), 0xaa).unwrap();
    for n in [2, 3] {
        let proposal = ready(&state, n, 0xaa);
        done(&mut state, &proposal);
    }
    assert_eq!(state.topic(topic_id(0xaa)).unwrap().state, TopicState::Creating);
    fenced(&mut state, 1);
    assert_eq!(state.topic(topic_id(0xaa)).unwrap().state, TopicState::Open);
    assert_eq!(sets(&state), expected(Some(2), &[2, 3], &[]));
}
