//! Bytes written by every version, kept for ever: each file of `golden/` decodes and encodes to itself.
//!
//! A changed file is a broken promise to those who have such bytes on disk. A new kind gets a new file, with the bytes
//! that the failing test prints.

use super::fixture::{at, directory, founded, opened, topic_id};
use super::*;
use fidelog_record::types::{
    BrokerEpoch, BrokerId, Generation, LeaderEpoch, MetaIndex, Offset, PartitionIndex, TopicName,
};

fn entries() -> Vec<(&'static str, Entry)> {
    let broker = BrokerEntry {
        id: BrokerId(1),
        epoch: BrokerEpoch(7),
        start: StartId::from_random([1; 16]),
        directory: directory(1),
        generation: Generation(3),
        clean: true,
        client_address: "b1.example:9094".to_owned(),
        peer_address: "b1.example:9095".to_owned(),
        rack: Some("east".to_owned()),
        feature_level: 1,
        registered_at_ms: 1_750_000_000_000,
        fenced: false,
        fence_reason: None,
        fenced_at_ms: 0,
        draining: false,
    };
    let starting = BrokerEntry {
        fenced: true,
        fence_reason: Some(FenceReason::Starting),
        fenced_at_ms: 1_750_000_000_000,
        draining: true,
        ..broker.clone()
    };
    let end = ReplicaEnd { partition: at(0xaa, 1), last_epoch: LeaderEpoch(5), durable_end: Offset(1234) };
    let config =
        TopicConfig { min_insync_replicas: Some(2), retention_ms: Some(3_600_000), ..TopicConfig::default() };
    let topic = TopicEntry {
        id: topic_id(0xaa),
        name: TopicName::new("orders").unwrap(),
        partition_count: 2,
        replication_factor: 2,
        config: config.clone(),
        created_at_ms: 1_750_000_000_000,
        state: TopicState::Creating,
        internal: false,
    };
    let (one, two, topic_id) = (BrokerId(1), BrokerId(2), topic_id(0xaa));
    vec![
        ("broker_registered", Entry::BrokerRegistered { broker, data: DataFound::RolledBack }),
        ("broker_registered_fenced", Entry::BrokerRegistered { broker: starting, data: DataFound::Intact }),
        (
            "broker_fenced",
            Entry::BrokerFenced {
                broker: one,
                reason: FenceReason::HeartbeatsMissing,
                fenced_at_ms: 1_750_000_000_002,
            },
        ),
        ("broker_unfenced", Entry::BrokerUnfenced { broker: one }),
        ("ends_reported", Entry::EndsReported { broker: one, broker_epoch: BrokerEpoch(7), ends: vec![end] }),
        ("unclean_elected", Entry::UncleanElected { partitions: vec![at(0xaa, 1)] }),
        ("broker_draining", Entry::BrokerDraining { broker: one }),
        ("broker_resumed", Entry::BrokerResumed { broker: one }),
        (
            "replicas_failed",
            Entry::ReplicasFailed {
                broker: one,
                partitions: vec![at(0xaa, 1)],
                reason: ReplicaFailure::Damaged,
            },
        ),
        (
            "replicas_repaired",
            Entry::ReplicasRepaired { broker: one, partitions: vec![at(0xaa, 1)], reason: None },
        ),
        ("leader_moved", Entry::LeaderMoved { partition: at(0xaa, 1), leader: two, chosen: false }),
        ("leader_chosen", Entry::LeaderMoved { partition: at(0xaa, 1), leader: two, chosen: true }),
        ("controller_registered", Entry::ControllerRegistered { controller: controller() }),
        (
            "controller_generation_raised",
            Entry::ControllerGenerationRaised { broker: one, generation: Generation(5) },
        ),
        ("controller_removed", Entry::ControllerRemoved { broker: one }),
        ("feature_level_raised", Entry::FeatureLevelRaised { level: 2 }),
        ("move_started", Entry::MoveStarted { partition: at(0xaa, 1), replicas: vec![two, one] }),
        ("move_cancelled", Entry::MoveCancelled { partition: at(0xaa, 1) }),
        (
            "partition_recovered",
            Entry::PartitionRecovered { partition: at(0xaa, 1), leader: two, cut_end: Offset(77) },
        ),
        ("partitions_added", Entry::PartitionsAdded { topic: topic_id, assignment: vec![vec![two, one]] }),
        (
            "replication_factor_set",
            Entry::ReplicationFactorSet { topic: topic_id, replication_factor: 3, config: config.clone() },
        ),
        ("generation_raised", Entry::GenerationRaised { broker: one, generation: Generation(4) }),
        ("topic_defaults_set", Entry::TopicDefaultsSet { defaults: TopicDefaults::default() }),
        ("topic_created", Entry::TopicCreated { topic, assignment: vec![vec![one, two], vec![two, one]] }),
        (
            "replicas_ready",
            Entry::ReplicasReady {
                broker: one,
                directory: directory(1),
                topic: topic_id,
                partitions: Vec::new(),
            },
        ),
        (
            "replicas_ready_named",
            Entry::ReplicasReady {
                broker: one,
                directory: directory(1),
                topic: topic_id,
                partitions: vec![PartitionIndex(0), PartitionIndex(3)],
            },
        ),
        ("replicas_lost", Entry::ReplicasLost { broker: one, partitions: vec![at(0xaa, 1)] }),
        ("isr_changed", Entry::IsrChanged { partition: at(0xaa, 1), isr: vec![two] }),
        ("topic_altered", Entry::TopicAltered { topic: topic_id, config: config.clone() }),
        (
            "topic_altered_inherited",
            Entry::TopicAltered {
                topic: topic_id,
                config: TopicConfig { min_insync_inherited: true, ..config },
            },
        ),
        ("topic_deleted", Entry::TopicDeleted { topic: topic_id, deleted_at_ms: 1_750_000_000_001 }),
        ("replica_deleted", Entry::ReplicaDeleted { broker: two, topic: topic_id }),
        ("producer_ids_granted", Entry::ProducerIdsGranted { broker: one, from: 1, to_end: 1001 }),
    ]
}

fn controller() -> ControllerEntry {
    ControllerEntry {
        broker: BrokerId(1),
        start: StartId::from_random([1; 16]),
        node_id: 0xfeed_0001,
        directory: directory(1),
        generation: Generation(3),
        address: "b1.example:9095".to_owned(),
        feature_level: 1,
        registered_at_ms: 1_750_000_000_000,
    }
}

/// Everything a partition and a cluster can have besides.
fn snapshot_moving() -> ClusterState {
    let mut state = opened(3);
    let controller = Entry::ControllerRegistered { controller: controller() };
    state.apply(state.index().next(), &controller).unwrap();
    super::fixture::start(&mut state, super::fixture::registration(4));
    super::fixture::done(&mut state, &Proposal::DrainBroker { broker: BrokerId(3) });
    super::fixture::done(
        &mut state,
        &Proposal::MoveReplicas {
            partition: at(0xaa, 0),
            replicas: [4, 1, 2].map(BrokerId).to_vec(),
            partition_epoch: None,
        },
    );
    for (n, reason) in [(1, ReplicaFailure::Damaged), (2, ReplicaFailure::Unusable)] {
        let (broker, broker_epoch) = (BrokerId(n), state.broker(BrokerId(n)).unwrap().epoch);
        let partitions = vec![super::fixture::seen(&state, at(0xaa, 0))];
        super::fixture::done(
            &mut state,
            &Proposal::ReplicasFailed { broker, broker_epoch, partitions, reason },
        );
    }
    state
}

fn snapshot() -> ClusterState {
    let mut state = opened(3);
    let mut emptied = super::fixture::next_start(1, 2);
    emptied.directory = directory(0x11);
    super::fixture::done(&mut state, &super::fixture::register(emptied));
    for n in [2, 3] {
        let unclean = Registration { clean: false, ..super::fixture::next_start(n, 2) };
        super::fixture::start(&mut state, unclean);
    }
    super::fixture::step(&mut state, &super::fixture::create("gone", 1, 2), 0xbb).unwrap();
    super::fixture::done(&mut state, &Proposal::DeleteTopic { topic: topic_id(0xbb) });
    state
}

macro_rules! golden_files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("golden/", $name, ".json")))),*]
    };
}

const GOLDEN: &[(&str, &[u8])] = golden_files![
    "broker_registered",
    "generation_raised",
    "topic_defaults_set",
    "topic_created",
    "replicas_ready",
    "replicas_ready_named",
    "replicas_lost",
    "isr_changed",
    "topic_altered",
    "topic_altered_inherited",
    "topic_deleted",
    "replica_deleted",
    "producer_ids_granted",
    "broker_registered_fenced",
    "broker_fenced",
    "broker_unfenced",
    "ends_reported",
    "unclean_elected",
    "broker_draining",
    "broker_resumed",
    "replicas_failed",
    "replicas_repaired",
    "leader_moved",
    "leader_chosen",
    "controller_registered",
    "controller_generation_raised",
    "controller_removed",
    "feature_level_raised",
    "move_started",
    "move_cancelled",
    "partition_recovered",
    "partitions_added",
    "replication_factor_set",
    "snapshot",
    "snapshot_moving",
    "snapshot_copies",
    "snapshot_restarted",
    "snapshot_founded",
];

fn golden(name: &str) -> &'static [u8] {
    GOLDEN.iter().find(|(file, _)| *file == name).unwrap_or_else(|| panic!("no golden file {name}")).1
}

fn check<T: Stored + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    let bytes = golden(name);
    assert_eq!(&T::from_bytes(bytes).unwrap(), value, "{name} means something else now");
    let text = String::from_utf8(value.to_bytes()).unwrap();
    assert_eq!(text, String::from_utf8(bytes.to_vec()).unwrap(), "{name} would be written differently now");
}

#[test]
fn every_golden_entry_decodes_and_encodes_to_itself() {
    for (name, entry) in entries() {
        check(name, &entry);
    }
}

#[test]
fn the_golden_snapshot_decodes_and_encodes_to_itself() {
    check("snapshot_restarted", &snapshot());
    check("snapshot_copies", &snapshot_moving());
    // Written before copies told since when they are what they are.
    check("snapshot_moving", &ClusterState::from_bytes(golden("snapshot_moving")).unwrap());
    check("snapshot_founded", &founded());
    // Written before brokers could be fenced, by rules that elected nobody.
    let before_fences = ClusterState::from_bytes(golden("snapshot")).unwrap();
    assert!(before_fences.brokers().all(|broker| !broker.fenced));
    check("snapshot", &before_fences);
}

#[test]
fn what_this_version_does_not_know_is_refused() {
    let unknown_kind = br#"{"kind":"partition_moved","partition":1}"#;
    assert!(Entry::from_bytes(unknown_kind).is_err());
    let known = String::from_utf8(golden("generation_raised").to_vec()).unwrap();
    let unknown_field = known.replace("\"generation\"", "\"later\":1,\"generation\"");
    assert!(Entry::from_bytes(unknown_field.as_bytes()).is_err());
    let inner = String::from_utf8(golden("broker_registered").to_vec()).unwrap();
    let unknown_inner = inner.replace("\"rack\"", "\"later\":1,\"rack\"");
    assert_ne!(inner, unknown_inner);
    assert!(Entry::from_bytes(unknown_inner.as_bytes()).is_err());
    let trailing = format!("{known}{{}}");
    assert!(Entry::from_bytes(trailing.as_bytes()).is_err());
    let newer =
        String::from_utf8(golden("snapshot").to_vec()).unwrap().replace("\"format\":1", "\"format\":2");
    assert!(ClusterState::from_bytes(newer.as_bytes()).is_err());
    let level = String::from_utf8(golden("snapshot").to_vec())
        .unwrap()
        .replace("\"feature_level\":1", "\"feature_level\":9");
    assert!(ClusterState::from_bytes(level.as_bytes()).is_err());
}

#[test]
fn proposals_refusals_and_outcomes_survive_their_bytes() {
    let proposal = super::fixture::change_isr(&opened(3), at(0xaa, 0), &[1, 2]);
    assert_eq!(Proposal::from_bytes(&proposal.to_bytes()).unwrap(), proposal);
    let refusal = super::fixture::refused(&opened(2), &super::fixture::create("ORDERS", 1, 2));
    assert_eq!(Refusal::from_bytes(&refusal.to_bytes()).unwrap(), refusal);
    for (_, entry) in entries() {
        let outcome = Outcome::of(&entry);
        assert_eq!(Outcome::from_bytes(&outcome.to_bytes()).unwrap(), outcome);
    }
    assert_eq!(opened(3).index(), MetaIndex(11));
}
