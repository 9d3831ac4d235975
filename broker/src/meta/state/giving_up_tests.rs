//! Damaged replicas that are given up: only where everything they may hold is on others.

use fidelog_record::types::BrokerId;

use super::fixture::*;
use super::{ClusterState, Proposal, Refusal, ReplicaFailure};

fn give_up(state: &ClusterState, n: u32) -> Proposal {
    let broker_epoch = state.broker(BrokerId(n)).unwrap().epoch;
    Proposal::GiveUpReplica { broker: BrokerId(n), broker_epoch, partition: seen(state, at(0xaa, 0)) }
}

fn damage(state: &mut ClusterState, n: u32) {
    let broker_epoch = state.broker(BrokerId(n)).unwrap().epoch;
    let (broker, partitions) = (BrokerId(n), vec![seen(state, at(0xaa, 0))]);
    let reason = ReplicaFailure::Damaged;
    done(state, &Proposal::ReplicasFailed { broker, broker_epoch, partitions, reason });
}

fn isr(state: &mut ClusterState, members: &[u32]) {
    let change = change_isr(state, at(0xaa, 0), members);
    done(state, &change);
}

fn needed(state: &ClusterState, n: u32) -> String {
    match refused(state, &give_up(state, n)) {
        Refusal::ReplicaNeeded { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn a_damaged_member_leaves_every_set_when_it_is_given_up_and_the_rest_has_the_minimum() {
    let mut state = opened(3);
    assert!(needed(&state, 3).contains("not known to be damaged"));
    damage(&mut state, 3);
    let wish = give_up(&state, 3);
    done(&mut state, &wish);
    let entry = state.partition(at(0xaa, 0)).unwrap();
    assert!(!entry.is_member(BrokerId(3)) && entry.damaged.is_empty());
    assert!(!entry.replica(BrokerId(3)).unwrap().made, "its broker makes it anew, and it is filled");
    assert!(matches!(refused(&state, &wish), Refusal::StalePartitionEpoch { .. }));
}

#[test]
fn nobody_is_given_up_whom_others_may_need() {
    let mut state = opened(3);
    damage(&mut state, 2);
    isr(&mut state, &[1, 2]);
    assert!(needed(&state, 2).contains("too few others"), "the isr would be below the minimum");
    let mut state = opened(3);
    for n in [3, 2] {
        let gone = fence(&state, n);
        done(&mut state, &gone);
    }
    damage(&mut state, 2);
    assert!(needed(&state, 2).contains("may hold what was acknowledged"), "it is eligible");
    let mut state = opened(3);
    (1..=3).for_each(|n| damage(&mut state, n));
    assert!(needed(&state, 3).contains("nobody leads who holds everything"));
}
