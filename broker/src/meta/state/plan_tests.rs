//! Plans, carried out on the state they were made on.

use fidelog_record::types::BrokerId;

use super::fixture::*;
use super::*;

/// `brokers` brokers and a topic of `partitions` partitions with two replicas, placed while only `placed` were there.
fn cluster_of(placed: u32, brokers: u32, partitions: u32, racks: bool) -> ClusterState {
    let mut state = founded();
    for n in 1..=brokers {
        let rack = racks.then(|| format!("rack-{}", n % 2));
        start(&mut state, Registration { rack, ..registration(n) });
        if n == placed {
            step(&mut state, &create("orders", partitions, 2), 0xaa).unwrap();
            for n in 1..=placed {
                let proposal = ready(&state, n, 0xaa);
                done(&mut state, &proposal);
            }
            // The late ones join.
            for index in 0..partitions {
                let all: Vec<u32> =
                    state.partition(at(0xaa, index)).unwrap().replicas.iter().map(|it| it.broker.0).collect();
                let proposal = change_isr(&state, at(0xaa, index), &all);
                done(&mut state, &proposal);
            }
        }
    }
    state
}

/// Carries a plan out, move by move, as leaders and brokers would.
fn carry_out(state: &mut ClusterState, plan: &Plan) {
    for planned in &plan.moves {
        let at = planned.partition;
        done(
            state,
            &Proposal::MoveReplicas { partition: at, replicas: planned.to.clone(), partition_epoch: None },
        );
        for broker in &planned.to {
            if !state.unmade(*broker, topic_id(0xaa)).is_empty() {
                let proposal = ready(state, broker.0, 0xaa);
                done(state, &proposal);
            }
        }
        if state.partition(at).unwrap().moving.is_some() {
            let all: Vec<u32> = state.partition(at).unwrap().replicas.iter().map(|it| it.broker.0).collect();
            let live: Vec<u32> = all
                .into_iter()
                .filter(|n| {
                    !state.broker(BrokerId(*n)).unwrap().draining
                        || state.partition(at).unwrap().isr.contains(&BrokerId(*n))
                })
                .collect();
            let proposal = change_isr(state, at, &live);
            done(state, &proposal);
        }
        assert!(state.partition(at).unwrap().moving.is_none(), "{planned:?}");
    }
    for &partition in &plan.leaders {
        let _ = step(state, &Proposal::ElectLeader { partition, broker: None }, 0);
    }
}

fn held(state: &ClusterState) -> Vec<(usize, usize)> {
    let count = |n: u32| {
        let firsts = state.partitions().filter(|(_, it)| it.replicas[0].broker == BrokerId(n)).count();
        (firsts, state.partitions().filter(|(_, it)| it.has_replica(BrokerId(n))).count())
    };
    (1..=u32::try_from(state.brokers().count()).unwrap()).map(count).collect()
}

#[test]
fn a_new_broker_gets_its_share_and_what_is_even_stays() {
    let mut state = cluster_of(3, 4, 12, false);
    let plan = state.plan_rebalance();
    carry_out(&mut state, &plan);
    assert!(
        held(&state).iter().all(|(firsts, all)| (2..=4).contains(firsts) && *all == 6),
        "{:?}",
        held(&state)
    );
    assert!(
        plan.moves.iter().filter(|it| it.to.iter().any(|to| !it.from.contains(to))).count() <= 6,
        "fewest"
    );
    assert_eq!(state.plan_rebalance(), Plan { leaders: state.plan_rebalance().leaders, ..Plan::default() });
}

#[test]
fn a_plan_crowds_no_rack() {
    let mut state = cluster_of(2, 4, 8, true);
    let plan = state.plan_rebalance();
    carry_out(&mut state, &plan);
    for (at, entry) in state.partitions() {
        let racks: std::collections::BTreeSet<_> =
            entry.replicas.iter().map(|it| state.broker(it.broker).unwrap().rack.clone()).collect();
        assert_eq!(racks.len(), 2, "{at}");
    }
    assert!(
        held(&state).iter().all(|(firsts, all)| (1..=3).contains(firsts) && *all == 4),
        "{:?}",
        held(&state)
    );
}

#[test]
fn a_drain_empties_its_broker_and_says_where_nobody_is_left() {
    let mut state = cluster_of(3, 4, 12, false);
    done(&mut state, &Proposal::DrainBroker { broker: BrokerId(2) });
    let plan = state.plan_drain(BrokerId(2));
    assert!(plan.stuck.is_empty());
    carry_out(&mut state, &plan);
    assert_eq!(held(&state)[1], (0, 0));
    assert!(state.partitions().all(|(_, it)| it.leader.is_some() && it.replicas.len() == 2));

    let mut pair = cluster_of(2, 2, 3, false);
    done(&mut pair, &Proposal::DrainBroker { broker: BrokerId(2) });
    assert_eq!(pair.plan_drain(BrokerId(2)).stuck.len(), 3);
}

#[test]
fn another_replication_factor_is_planned_up_and_down() {
    let mut state = cluster_of(3, 4, 6, false);
    let set = |replication_factor| Proposal::SetReplicationFactor {
        topic: topic_id(0xaa),
        replication_factor,
        allow_unreplicated: false,
    };
    done(&mut state, &set(3));
    assert_eq!(
        state.health().iter().filter(|it| matches!(it, Finding::OtherReplicationFactor { .. })).count(),
        6
    );
    let plan = state.plan_replication_factor(topic_id(0xaa));
    carry_out(&mut state, &plan);
    assert!(state.partitions().all(|(_, it)| it.replicas.len() == 3));
    done(&mut state, &set(2));
    let plan = state.plan_replication_factor(topic_id(0xaa));
    carry_out(&mut state, &plan);
    assert!(state.partitions().all(|(_, it)| it.replicas.len() == 2));
}

#[test]
fn health_names_the_worst_first_and_is_empty_when_all_is_well() {
    let mut state = opened(3);
    assert_eq!(state.health(), Vec::new());
    let proposal = fence(&state, 3);
    done(&mut state, &proposal);
    let proposal = fence(&state, 2);
    done(&mut state, &proposal);
    let findings: Vec<String> = state.health().iter().map(ToString::to_string).collect();
    assert!(findings[0].contains("refuses writes: 1 in sync, the minimum is 2"), "{findings:?}");
    assert!(findings[1].contains("broker 2 is fenced: its heartbeats are missing"), "{findings:?}");
    let proposal = fence(&state, 1);
    done(&mut state, &proposal);
    assert!(matches!(state.health()[0], Finding::PartitionOffline { .. }));
}

/// DESIGN: three brokers with ten thousand partitions. Fencing one touches two thirds of them, or all.
#[test]
fn fencing_one_broker_of_ten_thousand_partitions_is_one_cheap_step() {
    let mut state = cluster_of(3, 3, 10_000, false);
    let led = state.partitions().filter(|(_, it)| it.leader == Some(BrokerId(1))).count();
    let entry = state.decide(&fence(&state, 1), NOW_MS, &Minted { topic: topic_id(1) }).unwrap();
    let shared = state.clone();
    let changes = state.apply(state.index().next(), &entry).unwrap();
    assert!(changes.partitions.len() > 6_000);
    assert!(state.partitions().all(|(_, it)| it.leader.is_some_and(|leader| leader != BrokerId(1))));
    assert_eq!(shared.partitions().filter(|(_, it)| it.leader == Some(BrokerId(1))).count(), led);
}
