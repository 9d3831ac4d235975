//! Recovery by hand, told as short stories. One topic with one partition on brokers 1 to 3, minimum 2.

use fidelog_record::types::{BrokerEpoch, BrokerId, Offset};

use super::fixture::*;
use super::operations_tests::{fenced, ids, isr, leader, orders};
use super::{
    ClusterState, ConfigChange, ConfigKey, KnownFor, Proposal, RECOVERY_WAIT_MS, Recovery, RecoveryPlan,
    Refusal, Registration,
};

fn lost_but_one() -> ClusterState {
    let mut state = opened(3);
    isr(&mut state, &[1, 2]);
    start(&mut state, Registration { directory: directory(0x11), ..next_start(1, 2) });
    fenced(&mut state, 2);
    assert_eq!(leader(&state), None);
    state
}

fn plan(state: &ClusterState, n: u32) -> RecoveryPlan {
    RecoveryPlan {
        partition: at(0xaa, 0),
        partition_epoch: orders(state).epoch,
        leader: BrokerId(n),
        leader_broker_epoch: state.broker(BrokerId(n)).unwrap().epoch,
        ends: Vec::new(),
        cut_end: Offset(40),
    }
}

fn recover(plan: &RecoveryPlan) -> Proposal {
    Proposal::RecoverPartition { plan: plan.clone(), plan_hash: plan.hash(), known: None }
}

#[test]
fn a_recovery_waits_out_the_lease_of_everybody_else_and_carries_the_cut_it_permits() {
    let mut state = lost_but_one();
    let shown = plan(&state, 3);
    // Broker 1 came back without its data just now: the process before it may acknowledge under its lease.
    let refusal = refused(&state, &recover(&shown));
    assert!(
        matches!(refusal, Refusal::RecoveryTooEarly { broker: BrokerId(1), silent_ms: 0, .. }),
        "{refusal}"
    );
    let minted = super::Minted { topic: topic_id(1) };
    let later = NOW_MS + RECOVERY_WAIT_MS;
    assert!(state.decide(&recover(&shown), later - 1, &minted).is_err());
    let entry = state.decide(&recover(&shown), later, &minted).unwrap();
    let before = orders(&state).leader_epoch;
    state.apply(state.index().next(), &entry).unwrap();
    let recovered = orders(&state);
    assert_eq!((recovered.leader, &recovered.isr), (Some(BrokerId(3)), &ids(&[3])));
    assert_eq!((recovered.eligible.len(), recovered.leader_epoch), (0, before.next()));
    assert_eq!(Recovery::permitted_cut(&recovered.recoveries, before), Some(Offset(40)));
    assert_eq!(
        Recovery::permitted_cut(&recovered.recoveries, before.next()),
        None,
        "who followed the recovered leader cuts nothing"
    );
    let unneeded = plan(&state, 3);
    assert!(matches!(refused(&state, &recover(&unneeded)), Refusal::RecoveryNotNeeded { .. }));
}

/// The wall clock may jump; the controller's own does not.
#[test]
fn a_recovery_waits_by_the_clock_of_the_one_who_decides() {
    let state = lost_but_one();
    let shown = plan(&state, 3);
    let minted = super::Minted { topic: topic_id(1) };
    let decided = |fenced_ms: Option<u64>, registered_ms: u64, epoch_ahead: u64| {
        let known = (1..=3).map(|n| {
            let broker = BrokerId(n);
            let broker_epoch = BrokerEpoch(state.broker(broker).unwrap().epoch.0 + epoch_ahead);
            KnownFor { broker, broker_epoch, registered_ms, fenced_ms }
        });
        let known = Some(known.collect());
        let proposal = Proposal::RecoverPartition { plan: shown.clone(), plan_hash: shown.hash(), known };
        state.decide(&proposal, NOW_MS + 1_000_000, &minted).map_err(|refusal| match refusal {
            Refusal::RecoveryTooEarly { broker, silent_ms, .. } => (broker.0, silent_ms),
            other => panic!("{other}"),
        })
    };
    let wait = RECOVERY_WAIT_MS;
    assert!(decided(Some(wait), wait, 0).is_ok());
    assert_eq!(decided(Some(wait), wait - 1, 0).unwrap_err(), (1, wait - 1), "it lost its data only now");
    assert_eq!(decided(Some(wait - 1), 2 * wait, 0).unwrap_err(), (2, wait - 1), "it holds everything");
    assert_eq!(decided(None, 2 * wait, 0).unwrap_err(), (2, 0), "it was never seen fenced");
    assert_eq!(decided(Some(wait), wait, 1).unwrap_err(), (1, 0), "another process was seen");
}

/// The power went; one of three never came back. The two that are back are not believed, and need not be stopped: their
/// present processes have led nothing.
#[test]
fn a_recovery_does_not_want_those_stopped_who_are_not_believed() {
    let mut state = opened(3);
    let changes = vec![ConfigChange { key: ConfigKey::MinInsyncReplicas, value: Some(3) }];
    done(&mut state, &Proposal::AlterTopic { topic: topic_id(0xaa), changes, allow_unreplicated: false });
    for n in 1..=3 {
        fenced(&mut state, n);
    }
    for n in [1, 2] {
        start(&mut state, Registration { clean: false, ..next_start(n, 2) });
    }
    assert_eq!((leader(&state), orders(&state).members().count()), (None, 3));
    assert_eq!(orders(&state).unproven, ids(&[1, 2]), "broker 3 may hold what both have lost (N10)");
    let shown = plan(&state, 1);
    let minted = super::Minted { topic: topic_id(1) };
    assert!(matches!(refused(&state, &recover(&shown)), Refusal::RecoveryTooEarly { .. }));
    let recovered = state.decide(&recover(&shown), NOW_MS + RECOVERY_WAIT_MS, &minted);
    assert!(recovered.is_ok(), "{recovered:?}");
}

#[test]
fn a_recovery_is_of_the_plan_that_was_shown() {
    let mut state = lost_but_one();
    let shown = plan(&state, 3);
    let other = Proposal::RecoverPartition { plan: shown.clone(), plan_hash: shown.hash() ^ 1, known: None };
    assert!(matches!(refused(&state, &other), Refusal::OtherPlan { .. }));
    let mut deeper = shown.clone();
    deeper.cut_end = Offset(0);
    assert_ne!(deeper.hash(), shown.hash());
    start(&mut state, next_start(3, 2));
    let refusal = refused(&state, &recover(&shown));
    assert!(matches!(refusal, Refusal::StaleBrokerEpoch { .. }), "{refusal}");
    fenced(&mut state, 3);
    let gone = plan(&state, 3);
    assert!(matches!(refused(&state, &recover(&gone)), Refusal::CannotLead { .. }));
}
