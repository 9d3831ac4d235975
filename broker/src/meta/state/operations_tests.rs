//! Drains, planned leaders, failures and moves, told as short stories. One topic with one partition on
//! brokers 1 to 3, minimum 2; broker 4 has nothing yet.

use std::sync::Arc;

use fidelog_record::types::{BrokerId, Generation, LeaderEpoch, MetaIndex};

use super::fixture::*;
use super::{
    ClusterState, ControllerRegistration, Entry, OfflineReason, PartitionEntry, Proposal, Refusal,
    ReplicaFailure, StartId, TopicState,
};

pub(super) fn orders(state: &ClusterState) -> &Arc<PartitionEntry> {
    state.partition(at(0xaa, 0)).unwrap()
}

pub(super) fn ids(numbers: &[u32]) -> Vec<BrokerId> {
    numbers.iter().copied().map(BrokerId).collect()
}

fn with_four() -> ClusterState {
    let mut state = opened(3);
    start(&mut state, registration(4));
    state
}

fn replicas(state: &ClusterState) -> Vec<BrokerId> {
    orders(state).replicas.iter().map(|it| it.broker).collect()
}

pub(super) fn leader(state: &ClusterState) -> Option<u32> {
    orders(state).leader.map(|it| it.0)
}

pub(super) fn isr(state: &mut ClusterState, members: &[u32]) {
    let proposal = change_isr(state, at(0xaa, 0), members);
    done(state, &proposal);
}

pub(super) fn fenced(state: &mut ClusterState, n: u32) {
    let proposal = fence(state, n);
    done(state, &proposal);
}

fn made(state: &mut ClusterState, n: u32) {
    let proposal = ready(state, n, 0xaa);
    done(state, &proposal);
}

fn move_to(targets: &[u32]) -> Proposal {
    Proposal::MoveReplicas { partition: at(0xaa, 0), replicas: ids(targets), partition_epoch: None }
}

fn cancel() -> Proposal {
    Proposal::CancelMove { partition: at(0xaa, 0) }
}

fn repaired(state: &ClusterState, n: u32, reason: ReplicaFailure) -> Proposal {
    let broker_epoch = state.broker(BrokerId(n)).unwrap().epoch;
    let partitions = vec![seen(state, at(0xaa, 0))];
    Proposal::ReplicasRepaired { broker: BrokerId(n), broker_epoch, partitions, reason }
}

fn failed(state: &ClusterState, n: u32, reason: ReplicaFailure) -> Proposal {
    let broker_epoch = state.broker(BrokerId(n)).unwrap().epoch;
    let partitions = vec![seen(state, at(0xaa, 0))];
    Proposal::ReplicasFailed { broker: BrokerId(n), broker_epoch, partitions, reason }
}

fn elect(n: Option<u32>) -> Proposal {
    Proposal::ElectLeader { partition: at(0xaa, 0), broker: n.map(BrokerId) }
}

#[test]
fn a_drained_broker_hands_over_stays_a_follower_and_joins_nothing() {
    let mut state = with_four();
    done(&mut state, &Proposal::DrainBroker { broker: BrokerId(1) });
    assert_eq!((leader(&state), &orders(&state).isr), (Some(2), &ids(&[1, 2, 3])));
    isr(&mut state, &[2, 3]);
    let back = change_isr(&state, at(0xaa, 0), &[1, 2, 3]);
    assert!(matches!(refused(&state, &back), Refusal::MemberMismatch { .. }), "N8: draining");
    step(&mut state, &create("new", 4, 3), 0xbb).unwrap();
    assert!(state.partitions_of(topic_id(0xbb)).iter().all(|it| !it.has_replica(BrokerId(1))));
    let too_many = refused(&state, &create("wide", 1, 4)).to_string();
    assert!(too_many.contains("3 are registered and not draining"), "{too_many}");
    done(&mut state, &Proposal::ResumeBroker { broker: BrokerId(1) });
    done(&mut state, &back);
    assert_eq!(leader(&state), Some(2), "nothing moves back by itself");
    done(&mut state, &elect(None));
    assert_eq!(leader(&state), Some(1));
}

#[test]
fn a_draining_broker_leads_on_while_nobody_else_can_and_hands_over_when_one_joins() {
    let mut state = opened(3);
    isr(&mut state, &[1, 2]);
    isr(&mut state, &[1]);
    done(&mut state, &Proposal::DrainBroker { broker: BrokerId(1) });
    assert_eq!(leader(&state), Some(1));
    isr(&mut state, &[1, 3]);
    assert_eq!(leader(&state), Some(3));
}

#[test]
fn a_leader_is_wished_only_from_the_isr_and_alive() {
    let mut state = opened(3);
    assert!(matches!(refused(&state, &elect(Some(1))), Refusal::CannotLead { .. }), "it leads");
    isr(&mut state, &[1, 2]);
    assert!(matches!(refused(&state, &elect(Some(3))), Refusal::CannotLead { .. }), "not in sync");
    let before = orders(&state).leader_epoch;
    done(&mut state, &elect(Some(2)));
    assert_eq!((leader(&state), orders(&state).leader_epoch), (Some(2), before.next()));
}

/// N11: two members seem to have failed at once, but the quorum hears from both: it is the leader that is cut off.
#[test]
fn instead_of_a_shrink_below_the_minimum_another_leads_if_enough_live() {
    let mut state = opened(3);
    let shrink = change_isr(&state, at(0xaa, 0), &[1]);
    let entry = step(&mut state, &shrink, 0).unwrap();
    assert_eq!(entry, Entry::LeaderMoved { partition: at(0xaa, 0), leader: BrokerId(2), chosen: false });
    assert_eq!(orders(&state).isr, ids(&[1, 2, 3]));
    let shrink = change_isr(&state, at(0xaa, 0), &[2]);
    done(&mut state, &shrink);
    assert_eq!(leader(&state), Some(3), "taken in turn");

    fenced(&mut state, 1);
    let shrink = change_isr(&state, at(0xaa, 0), &[3]);
    done(&mut state, &shrink);
    assert_eq!((leader(&state), &orders(&state).isr), (Some(3), &ids(&[3])), "2 alone is not enough");
    assert_eq!(orders(&state).eligible, ids(&[2]));
}

#[test]
fn a_damaged_leader_makes_way_for_anybody_undamaged_and_leads_when_nobody_lives() {
    let mut state = opened(3);
    let damage = failed(&state, 1, ReplicaFailure::Damaged);
    done(&mut state, &damage);
    assert_eq!((leader(&state), &orders(&state).isr), (Some(2), &ids(&[1, 2, 3])), "it still follows");
    assert!(matches!(refused(&state, &elect(Some(1))), Refusal::CannotLead { .. }));
    isr(&mut state, &[1, 2]);
    fenced(&mut state, 2);
    assert_eq!(leader(&state), Some(1), "N10: around the damaged range");
    let back = unfence(&state, 2);
    done(&mut state, &back);
    assert_eq!((leader(&state), &orders(&state).isr), (Some(2), &ids(&[2])), "the eligible is undamaged");
    assert_eq!(orders(&state).eligible, ids(&[1]));
    let mended = repaired(&state, 1, ReplicaFailure::Damaged);
    done(&mut state, &mended);
    assert!(orders(&state).damaged.is_empty());
}

#[test]
fn what_is_said_late_of_a_replica_undoes_nothing() {
    let mut state = opened(3);
    let damage = failed(&state, 2, ReplicaFailure::Damaged);
    done(&mut state, &damage);
    let mended = repaired(&state, 2, ReplicaFailure::Damaged);
    done(&mut state, &mended);
    assert!(matches!(refused(&state, &damage), Refusal::StalePartitionEpoch { .. }), "it came twice");
    let again = failed(&state, 2, ReplicaFailure::Damaged);
    done(&mut state, &again);
    assert!(matches!(refused(&state, &mended), Refusal::StalePartitionEpoch { .. }), "it came twice");
    assert_eq!(orders(&state).damaged, ids(&[2]));
}

#[test]
fn a_log_that_can_be_used_again_is_not_mended_by_that() {
    let mut state = opened(3);
    for reason in [ReplicaFailure::Unusable, ReplicaFailure::Damaged] {
        let told = failed(&state, 2, reason);
        done(&mut state, &told);
    }
    let usable = repaired(&state, 2, ReplicaFailure::Unusable);
    done(&mut state, &usable);
    assert_eq!((orders(&state).unusable.len(), &orders(&state).damaged), (0, &ids(&[2])));
}

#[test]
fn a_damaged_replica_joins_the_in_sync_set_only_when_it_is_mended() {
    let mut state = opened(3);
    isr(&mut state, &[1, 2]);
    let damage = failed(&state, 3, ReplicaFailure::Damaged);
    done(&mut state, &damage);
    let growth = change_isr(&state, at(0xaa, 0), &[1, 2, 3]);
    assert!(matches!(refused(&state, &growth), Refusal::MemberMismatch { .. }));
    let mended = repaired(&state, 3, ReplicaFailure::Damaged);
    done(&mut state, &mended);
    isr(&mut state, &[1, 2, 3]);
}

#[test]
fn a_stopped_log_goes_on_under_a_higher_epoch_led_by_another_if_there_is_one() {
    let mut state = opened(3);
    let stopped = failed(&state, 1, ReplicaFailure::Stopped);
    done(&mut state, &stopped);
    assert_eq!((leader(&state), orders(&state).leader_epoch), (Some(2), LeaderEpoch(2)));
    let (before, stopped) = (state.clone(), failed(&state, 1, ReplicaFailure::Stopped));
    done(&mut state, &stopped);
    assert_eq!(orders(&state), orders(&before), "it leads nothing");
    let mut alone = opened(1);
    let stopped = failed(&alone, 1, ReplicaFailure::Stopped);
    done(&mut alone, &stopped);
    assert_eq!((leader(&alone), orders(&alone).leader_epoch), (Some(1), LeaderEpoch(2)));
}

#[test]
fn who_cannot_use_its_log_is_as_good_as_fenced_until_it_says_otherwise() {
    let mut state = opened(3);
    let unusable = failed(&state, 1, ReplicaFailure::Unusable);
    done(&mut state, &unusable);
    assert_eq!((leader(&state), &orders(&state).isr), (Some(2), &ids(&[2, 3])));
    isr(&mut state, &[1, 2, 3]);
    assert!(orders(&state).unusable.is_empty(), "the leader found it in sync");
    let mut alone = opened(1);
    let unusable = failed(&alone, 1, ReplicaFailure::Unusable);
    done(&mut alone, &unusable);
    assert_eq!(orders(&alone).offline, Some(OfflineReason::NoLiveMember {}));
    let usable = repaired(&alone, 1, ReplicaFailure::Unusable);
    done(&mut alone, &usable);
    assert_eq!(leader(&alone), Some(1));
}

#[test]
fn a_move_adds_first_and_removes_in_one_entry_when_all_targets_are_in_sync() {
    let mut state = with_four();
    let stale = Proposal::MoveReplicas {
        partition: at(0xaa, 0),
        replicas: ids(&[4, 2, 3]),
        partition_epoch: Some(orders(&state).epoch.next()),
    };
    assert!(matches!(refused(&state, &stale), Refusal::StalePartitionEpoch { .. }));
    done(&mut state, &move_to(&[4, 3, 2]));
    assert_eq!(replicas(&state), ids(&[1, 2, 3, 4]));
    assert!(matches!(refused(&state, &move_to(&[1, 2, 3])), Refusal::MoveUnderWay { .. }));
    assert_eq!(leader(&state), Some(1));
    made(&mut state, 4);
    isr(&mut state, &[1, 2, 4]);
    assert_eq!(replicas(&state), ids(&[1, 2, 3, 4]), "3 is a target and not in sync");
    isr(&mut state, &[1, 2, 3, 4]);
    assert_eq!(replicas(&state), ids(&[4, 3, 2]));
    assert_eq!((leader(&state), &orders(&state).isr), (Some(4), &ids(&[4, 3, 2])));
    assert_eq!(orders(&state).moving, None);
}

#[test]
fn a_move_that_only_changes_the_order_is_done_at_once_and_changes_no_leader() {
    let mut state = opened(3);
    done(&mut state, &move_to(&[3, 1, 2]));
    assert_eq!((replicas(&state), leader(&state)), (ids(&[3, 1, 2]), Some(1)));
    assert!(matches!(refused(&state, &move_to(&[3, 1, 2])), Refusal::InvalidMove { .. }));
}

#[test]
fn a_move_names_as_many_brokers_as_there_are_replicas_that_can_take_them() {
    let mut state = with_four();
    for (targets, reason) in [(&[1, 2][..], "2 replicas"), (&[1, 2, 3, 4], "4 replicas")] {
        let refusal = refused(&state, &move_to(targets)).to_string();
        assert!(refusal.contains(reason), "{refusal}");
    }
    assert!(matches!(refused(&state, &move_to(&[1, 2, 2])), Refusal::NamedTwice { .. }));
    assert!(matches!(refused(&state, &move_to(&[1, 2, 9])), Refusal::UnknownBroker { .. }));
    fenced(&mut state, 4);
    let refusal = refused(&state, &move_to(&[1, 2, 4])).to_string();
    assert!(refusal.contains("broker 4 is fenced"), "{refusal}");
}

#[test]
fn a_cancelled_move_gives_up_what_it_added_unless_that_is_needed() {
    let mut state = with_four();
    assert!(matches!(refused(&state, &cancel()), Refusal::NoMoveUnderWay { .. }));
    done(&mut state, &move_to(&[4, 2, 3]));
    let begun = state.clone();
    done(&mut state, &cancel());
    assert_eq!((replicas(&state), &orders(&state).moving), (ids(&[1, 2, 3]), &None));

    let mut needed = begun;
    made(&mut needed, 4);
    isr(&mut needed, &[1, 2, 4]);
    fenced(&mut needed, 2);
    assert_eq!(orders(&needed).isr, ids(&[1, 4]));
    assert!(matches!(refused(&needed, &cancel()), Refusal::MoveHoldsRecords { min: 2, .. }));
}

#[test]
fn added_partitions_open_one_by_one() {
    let mut state = opened(3);
    let add = |total| Proposal::AddPartitions { topic: topic_id(0xaa), total };
    assert!(matches!(refused(&state, &add(1)), Refusal::PartitionsOnlyGrow { current: 1, .. }));
    done(&mut state, &add(3));
    assert_eq!(state.partition(at(0xaa, 2)).unwrap().offline, Some(OfflineReason::BeingMade {}));
    assert_eq!(state.topic(topic_id(0xaa)).unwrap().state, TopicState::Open);
    let before = orders(&state).clone();
    for n in [1, 2, 3] {
        made(&mut state, n);
    }
    assert_eq!(orders(&state), &before);
    for index in [1, 2] {
        let added = state.partition(at(0xaa, index)).unwrap();
        assert_eq!((added.leader, added.leader_epoch), (Some(added.replicas[0].broker), LeaderEpoch(1)));
        assert!(added.isr.len() >= 2 && added.offline.is_none());
    }
}

/// Brokers say that they made what they saw; by the time it is decided there is more, of which nobody has made anything.
#[test]
fn n14_replicas_that_were_added_since_are_not_taken_for_made() {
    let mut state = opened(3);
    let add = |total| Proposal::AddPartitions { topic: topic_id(0xaa), total };
    done(&mut state, &add(2));
    let said = [1, 2, 3].map(|n| ready(&state, n, 0xaa));
    done(&mut state, &add(3));
    for proposal in &said {
        done(&mut state, proposal);
    }
    assert!(state.partition(at(0xaa, 1)).unwrap().leader.is_some());
    let later = state.partition(at(0xaa, 2)).unwrap();
    assert!(later.replicas.iter().all(|replica| !replica.made), "{later:?}");
    assert_eq!(later.offline, Some(OfflineReason::BeingMade {}));
}

#[test]
fn another_replication_factor_is_reached_by_moves_and_keeps_the_minimum_possible() {
    let mut state = with_four();
    let set = |replication_factor, allow_unreplicated| Proposal::SetReplicationFactor {
        topic: topic_id(0xaa),
        replication_factor,
        allow_unreplicated,
    };
    let explicit = refused(&state, &set(1, true));
    assert!(matches!(explicit, Refusal::MinInsyncAboveReplicationFactor { min: 2, .. }), "{explicit}");
    done(&mut state, &set(4, false));
    done(&mut state, &move_to(&[1, 2, 3, 4]));
    made(&mut state, 4);
    isr(&mut state, &[1, 2, 3, 4]);
    assert_eq!((replicas(&state), &orders(&state).moving), (ids(&[1, 2, 3, 4]), &None));
    done(&mut state, &set(2, false));
    done(&mut state, &move_to(&[4, 2]));
    assert_eq!((replicas(&state), leader(&state)), (ids(&[4, 2]), Some(4)));
}

fn controller(generation_found: u64, node_id: u64, start: u8) -> ControllerRegistration {
    ControllerRegistration {
        broker: BrokerId(1),
        start: StartId::from_random([start; 16]),
        node_id,
        directory: directory(u32::try_from(node_id).unwrap()),
        generation_found: Generation(generation_found),
        generation_new: Generation(generation_found + 1),
        address: "10.0.0.1:9095".to_owned(),
        feature_level: 1,
        emptied: false,
    }
}

#[test]
fn a_controller_whose_directory_was_rolled_back_comes_back_only_emptied() {
    let mut state = opened(1);
    let register = |registration| Proposal::RegisterController { registration };
    done(&mut state, &register(controller(5, 7, 1)));
    done(&mut state, &register(controller(5, 7, 1)));
    let raise =
        Proposal::RaiseControllerGeneration { broker: BrokerId(1), node_id: 7, generation: Generation(9) };
    done(&mut state, &raise);
    assert_eq!(state.generation_of(directory(7)), Some(Generation(9)));
    let refusal = refused(&state, &register(controller(6, 7, 2)));
    assert!(matches!(refusal, Refusal::ControllerRolledBack { .. }), "{refusal}");
    // Asked before anything is raised: what is found is judged all the same.
    let asks = |found| {
        let generation_new = Generation(found);
        refused(&state, &register(ControllerRegistration { generation_new, ..controller(found, 7, 2) }))
    };
    assert!(matches!(asks(8), Refusal::ControllerRolledBack { .. }));
    assert!(matches!(asks(9), Refusal::GenerationNotRaised { .. }));
    let mut other_id = controller(9, 7, 2);
    other_id.node_id = 8;
    assert!(matches!(refused(&state, &register(other_id)), Refusal::ControllerRolledBack { .. }));
    // One that was found rolled back and has emptied its store, but not one that only says so.
    let emptied = |node_id| ControllerRegistration { node_id, emptied: true, ..controller(6, 7, 2) };
    assert!(matches!(refused(&state, &register(emptied(7))), Refusal::ControllerRolledBack { .. }));
    done(&mut state, &register(emptied(9)));
    let known = state.controller(BrokerId(1)).unwrap();
    assert!(known.node_id == 9 && known.generation > Generation(1 << 32), "above its clones: {known:?}");
    done(&mut state, &register(controller(0, 8, 2)));
    assert_eq!(state.controller(BrokerId(1)).unwrap().node_id, 8);
    let remove = |node_id| Proposal::RemoveController { broker: BrokerId(1), node_id };
    assert!(matches!(refused(&state, &remove(7)), Refusal::UnknownController { .. }));
    done(&mut state, &remove(8));
    assert_eq!(state.controllers().count(), 0);
}

#[test]
fn the_feature_level_rises_by_one_and_only_when_all_know_it() {
    let mut state = opened(2);
    let raise = |level| Proposal::RaiseFeatureLevel { level };
    assert!(matches!(refused(&state, &raise(2)), Refusal::FeatureLevel { max: 1, .. }));
    state.feature_level = 0;
    let mut old = state.clone();
    let mut older = next_start(2, 2);
    older.feature_level = 0;
    start(&mut old, older);
    assert!(matches!(refused(&old, &raise(1)), Refusal::FeatureLevelTooLow { broker: BrokerId(2), .. }));
    done(&mut state, &raise(1));
    assert_eq!(state.feature_level(), 1);
    let unknown = Entry::FeatureLevelRaised { level: 2 };
    assert!(state.apply(MetaIndex(state.index().0 + 1), &unknown).is_err(), "it stops the node");
}
