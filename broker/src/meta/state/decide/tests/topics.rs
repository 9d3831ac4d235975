//! Topics: their settings, their names, where their replicas go; and producer ids.

use super::super::Minted;
use super::*;
use crate::meta::state::Registration;

#[test]
fn a_topic_is_refused_with_the_limit_and_what_to_do() {
    let state = opened(2);
    let says = |proposal: &Proposal, text: &str| {
        let refusal = refused(&state, proposal).to_string();
        assert!(refusal.contains(text), "{refusal:?} does not contain {text:?}");
    };
    says(&create("ORDERS", 1, 2), "already exists as orders");
    says(&create("__orders", 1, 2), "reserved for Fidelog itself");
    says(&create("a", 1, 3), "--replication-factor 2");
    says(&create("a", 0, 2), "1 to 10000");
    says(&create("a", 10_001, 2), "1 to 10000");
    says(&create("a", 1, 0), "allowed is 1 to 15");
    let with = |change: &dyn Fn(&mut TopicConfig, &mut bool)| {
        let mut proposal = create("a", 1, 1);
        let Proposal::CreateTopic { config, allow_unreplicated, .. } = &mut proposal else { unreachable!() };
        change(config, allow_unreplicated);
        proposal
    };
    says(&with(&|_, allow| *allow = false), "--allow-unreplicated");
    says(&with(&|config, _| config.min_insync_replicas = Some(2)), "above the replication factor 1");
    says(&with(&|config, _| config.segment_bytes = Some(1000)), "segment_bytes = 1000");
}

fn create_by_default(name: &str, replication_factor: u16) -> Proposal {
    let mut proposal = create(name, 1, replication_factor);
    if let Proposal::CreateTopic { config, .. } = &mut proposal {
        *config = TopicConfig::default();
    }
    proposal
}

#[test]
fn a_topic_keeps_its_minimum_in_its_own_settings_and_tells_who_set_it() {
    let mut state = opened(2);
    step(&mut state, &create_by_default("two", 2), 0xcc).unwrap();
    step(&mut state, &create_by_default("one", 1), 0xbb).unwrap();
    let config = |state: &ClusterState, id| state.topic(topic_id(id)).unwrap().config.clone();
    assert_eq!(config(&state, 0xcc).min_insync_replicas, Some(2));
    assert!(config(&state, 0xcc).min_insync_inherited, "nobody asked for it");
    assert_eq!(state.topic(topic_id(0xbb)).unwrap().min_insync_replicas(), 1);
    let alter = |value| Proposal::AlterTopic {
        topic: topic_id(0xcc),
        changes: vec![ConfigChange { key: ConfigKey::MinInsyncReplicas, value }],
        allow_unreplicated: false,
    };
    done(&mut state, &alter(Some(2)));
    assert!(!config(&state, 0xcc).min_insync_inherited, "now it was asked for");
    done(&mut state, &alter(None));
    assert!(config(&state, 0xcc).min_insync_inherited, "and now not any more");
}

/// Several replicas whose acknowledgement stands for one are as unsafe as one replica, and nobody gets them by
/// mistake: `--config min_insync_replicas=1` alone made such a topic once.
#[test]
fn a_minimum_of_one_needs_its_permission_at_creation_and_at_alteration() {
    let mut state = opened(3);
    let with_minimum_of_one = |allow| {
        let mut proposal = create("mini", 1, 3);
        if let Proposal::CreateTopic { config, allow_unreplicated, .. } = &mut proposal {
            (config.min_insync_replicas, *allow_unreplicated) = (Some(1), allow);
        }
        proposal
    };
    let refusal = refused(&state, &with_minimum_of_one(false));
    assert_eq!(refusal, Refusal::MinInsyncOneNotAllowed { replication_factor: 3 });
    assert!(refusal.to_string().contains("--allow-unreplicated"), "{refusal}");
    step(&mut state, &with_minimum_of_one(true), 0xbb).unwrap();

    let alter = |topic, value, allow_unreplicated| Proposal::AlterTopic {
        topic: topic_id(topic),
        changes: vec![ConfigChange { key: ConfigKey::MinInsyncReplicas, value }],
        allow_unreplicated,
    };
    let refusal = refused(&state, &alter(0xaa, Some(1), false));
    assert_eq!(refusal, Refusal::MinInsyncOneNotAllowed { replication_factor: 3 });
    done(&mut state, &alter(0xbb, Some(1), false));
    done(&mut state, &alter(0xaa, Some(1), true));
    assert_eq!(state.topic(topic_id(0xaa)).unwrap().min_insync_replicas(), 1);
}

#[test]
fn a_change_of_the_minimum_raises_the_partition_epochs_and_stays_within_the_replicas() {
    let mut state = opened(3);
    let before = orders(&state).epoch;
    let alter = |key, value| Proposal::AlterTopic {
        topic: topic_id(0xaa),
        changes: vec![ConfigChange { key, value }],
        allow_unreplicated: false,
    };
    done(&mut state, &alter(ConfigKey::MinInsyncReplicas, Some(3)));
    assert_eq!(orders(&state).epoch, before.next());
    done(&mut state, &alter(ConfigKey::RetentionMs, Some(1_209_600_000)));
    assert_eq!(orders(&state).epoch, before.next(), "another setting changes no partition");
    let refusal = refused(&state, &alter(ConfigKey::MinInsyncReplicas, Some(4)));
    assert!(matches!(refusal, Refusal::MinInsyncAboveReplicationFactor { min: 4, .. }));
    done(&mut state, &alter(ConfigKey::MinInsyncReplicas, None));
    assert_eq!(state.topic(topic_id(0xaa)).unwrap().min_insync_replicas(), 2);
}

#[test]
fn a_deleted_topic_stays_a_tombstone_until_all_confirmed_and_its_name_is_free() {
    let mut state = opened(2);
    done(&mut state, &Proposal::DeleteTopic { topic: topic_id(0xaa) });
    assert!(state.topic_by_name("orders").is_none() && state.partition(at(0xaa, 0)).is_none());
    assert_eq!(state.tombstone(topic_id(0xaa)).unwrap().pending, ids(&[1, 2]));
    let taken = state.decide(&create("orders", 1, 2), NOW_MS, &Minted { topic: topic_id(0xaa) });
    assert!(matches!(taken, Err(Refusal::TopicIdTaken { .. })), "a deleted id is never used again");
    step(&mut state, &create("orders", 1, 2), 0xbb).unwrap();
    for n in [1, 2] {
        let broker_epoch = state.broker(BrokerId(n)).unwrap().epoch;
        done(
            &mut state,
            &Proposal::ReplicaDeleted { broker: BrokerId(n), broker_epoch, topic: topic_id(0xaa) },
        );
    }
    assert!(state.tombstone(topic_id(0xaa)).is_none());
    assert_eq!(state.topic_by_name("orders").unwrap().id, topic_id(0xbb));
}

#[test]
fn an_internal_topic_needs_its_prefix_and_is_not_deleted() {
    let mut state = opened(2);
    let internal = |name: &str| {
        let mut proposal = create("x", 1, 2);
        let Proposal::CreateTopic { internal, name: given, .. } = &mut proposal else { unreachable!() };
        (*internal, *given) = (true, TopicName::internal(name).unwrap());
        proposal
    };
    assert!(matches!(refused(&state, &internal("positions")), Refusal::InternalNameExpected { .. }));
    step(&mut state, &internal("__positions"), 0xbb).unwrap();
    let delete = Proposal::DeleteTopic { topic: topic_id(0xbb) };
    assert!(matches!(refused(&state, &delete), Refusal::TopicIsInternal { .. }));
}

#[test]
fn producer_ids_begin_at_one_and_are_given_once() {
    let mut state = opened(2);
    let grant = |n, count| Proposal::GrantProducerIds { broker: BrokerId(n), count };
    let first = step(&mut state, &grant(1, 100), 0).unwrap();
    let second = step(&mut state, &grant(2, 1), 0).unwrap();
    assert_eq!(first, Entry::ProducerIdsGranted { broker: BrokerId(1), from: 1, to_end: 101 });
    assert_eq!(second, Entry::ProducerIdsGranted { broker: BrokerId(2), from: 101, to_end: 102 });
    assert!(matches!(refused(&state, &grant(1, 0)), Refusal::ProducerIdCount { given: 0 }));
    let voter = step(&mut state, &grant(9, 1), 0).unwrap();
    assert_eq!(voter, Entry::ProducerIdsGranted { broker: BrokerId(9), from: 102, to_end: 103 });
}

#[test]
fn replicas_are_spread_evenly_and_over_racks() {
    let mut state = founded();
    for n in 1..=4 {
        let rack = Some(if n <= 2 { "east" } else { "west" }.to_owned());
        start(&mut state, Registration { rack, ..registration(n) });
    }
    step(&mut state, &create("a", 8, 2), 0xaa).unwrap();
    let placed = state.partitions_of(topic_id(0xaa));
    for broker in ids(&[1, 2, 3, 4]) {
        let first = placed.iter().filter(|it| it.replicas[0].broker == broker).count();
        let all = placed.iter().filter(|it| it.has_replica(broker)).count();
        assert_eq!((first, all), (2, 4), "broker {broker}");
    }
    let east = |broker: BrokerId| broker.0 <= 2;
    assert!(placed.iter().all(|it| east(it.replicas[0].broker) != east(it.replicas[1].broker)));
}

/// Beside what other topics had left unevenly, a topic of three partitions could have one broker lead two of them.
#[test]
fn a_topics_own_leaders_are_spread_whatever_else_there_is() {
    for before in 0..12 {
        let mut state = opened(3);
        if before > 0 {
            step(&mut state, &create("before", before, 3), 0xcc).unwrap();
        }
        step(&mut state, &create("pairs", 3, 2), 0xdd).unwrap();
        let placed = state.partitions_of(topic_id(0xdd));
        for broker in ids(&[1, 2, 3]) {
            let first = placed.iter().filter(|it| it.replicas[0].broker == broker).count();
            let all = placed.iter().filter(|it| it.has_replica(broker)).count();
            assert_eq!((first, all), (1, 2), "broker {broker} beside {before} partitions");
        }
    }
}

#[test]
fn an_assignment_names_known_brokers_once() {
    let state = opened(2);
    let given = |assignment: &[&[u32]]| {
        let mut proposal = create("a", 1, 2);
        let Proposal::CreateTopic { assignment: given, .. } = &mut proposal else { unreachable!() };
        *given = Some(assignment.iter().map(|brokers| ids(brokers)).collect());
        state.decide(&proposal, NOW_MS, &Minted { topic: topic_id(0xbb) })
    };
    assert!(given(&[&[2, 1]]).is_ok());
    for wrong in [&[][..], &[&[1][..]], &[&[1, 1][..]], &[&[1, 9][..]], &[&[1, 2][..], &[1, 2]]] {
        assert!(matches!(given(wrong), Err(Refusal::InvalidAssignment { .. })), "{wrong:?}");
    }
}
