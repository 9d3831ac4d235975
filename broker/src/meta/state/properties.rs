//! Random histories keep what must always be true. Proptest prints the failing case; a seed reproduces it.

use std::collections::BTreeSet;

use fidelog_record::types::{
    BrokerId, Generation, LeaderEpoch, MetaIndex, Offset, PartitionEpoch, TopicName, TopicPartition,
};
use proptest::prelude::*;

use super::fixture::*;
use super::*;

/// A wish, small enough to shrink; made into a proposal against the state it meets.
#[derive(Clone, Debug)]
enum Wish {
    Register { broker: u32, found: u64, directory: u32, start: u8, clean: bool },
    Fence { broker: u32, stopping: bool },
    Unfence { broker: u32 },
    Ends { broker: u32, partition: usize, epoch: u32, end: u64 },
    ElectUnclean { partition: usize },
    Create { name: u8, partitions: u32, replicas: u16, min: Option<u16>, id: u8 },
    Ready { broker: u32, topic: usize },
    Lost { broker: u32, partition: usize },
    Isr { partition: usize, isr: Vec<u32>, stale: bool },
    Alter { topic: usize, min: Option<u64> },
    Delete { topic: usize },
    Confirm { broker: u32, topic: usize },
    Grant { broker: u32, count: u32 },
}

fn wish() -> impl Strategy<Value = Wish> {
    let broker = 1..5u32;
    prop_oneof![
        4 => (broker.clone(), 0..4u64, 1..7u32, 1..9u8).prop_map(|(broker, found, extra, start)| {
            // Mostly the broker's own directory, now and then another.
            let directory = if extra == 6 { 0x40 + broker } else { broker };
            Wish::Register { broker, found, directory, start, clean: start % 2 == 0 }
        }),
        3 => (broker.clone(), proptest::bool::weighted(0.2))
            .prop_map(|(broker, stopping)| Wish::Fence { broker, stopping }),
        8 => broker.clone().prop_map(|broker| Wish::Unfence { broker }),
        3 => (broker.clone(), 0..8usize, 0..3u32, 0..3u64)
            .prop_map(|(broker, partition, epoch, end)| Wish::Ends { broker, partition, epoch, end }),
        1 => (0..8usize).prop_map(|partition| Wish::ElectUnclean { partition }),
        3 => (0..4u8, 1..4u32, 1..4u16, proptest::option::of(1..4u16), 1..250u8)
            .prop_map(|(name, partitions, replicas, min, id)| Wish::Create { name, partitions, replicas, min, id }),
        8 => (broker.clone(), 0..4usize).prop_map(|(broker, topic)| Wish::Ready { broker, topic }),
        1 => (broker.clone(), 0..8usize).prop_map(|(broker, partition)| Wish::Lost { broker, partition }),
        8 => (0..8usize, proptest::collection::vec(1..5u32, 0..4), proptest::bool::weighted(0.1))
            .prop_map(|(partition, isr, stale)| Wish::Isr { partition, isr, stale }),
        1 => (0..4usize, proptest::option::of(1..5u64)).prop_map(|(topic, min)| Wish::Alter { topic, min }),
        1 => (0..4usize).prop_map(|topic| Wish::Delete { topic }),
        2 => (broker.clone(), 0..4usize).prop_map(|(broker, topic)| Wish::Confirm { broker, topic }),
        1 => (broker, 0..50u32).prop_map(|(broker, count)| Wish::Grant { broker, count }),
    ]
}

fn nth_topic(state: &ClusterState, n: usize) -> fidelog_record::types::TopicId {
    state.topics().nth(n).map_or(topic_id(0xfe), |topic| topic.id)
}

fn nth_partition(state: &ClusterState, n: usize) -> TopicPartition {
    state.partitions().nth(n).map_or(at(0xfe, 0), |(id, _)| id)
}

fn epoch_of(state: &ClusterState, broker: u32) -> fidelog_record::types::BrokerEpoch {
    state.broker(BrokerId(broker)).map(|it| it.epoch).unwrap_or_default()
}

fn propose(state: &ClusterState, wish: &Wish) -> (Proposal, u32) {
    let proposal = match wish {
        Wish::Fence { broker, stopping: true } => {
            Proposal::HandOver { broker: BrokerId(*broker), broker_epoch: epoch_of(state, *broker) }
        }
        Wish::Fence { broker, stopping: false } => Proposal::FenceBroker {
            broker: BrokerId(*broker),
            broker_epoch: epoch_of(state, *broker),
            reason: FenceReason::ConnectionRefused,
        },
        Wish::Unfence { broker } => {
            Proposal::UnfenceBroker { broker: BrokerId(*broker), broker_epoch: epoch_of(state, *broker) }
        }
        Wish::Ends { broker, partition, epoch, end } => Proposal::ReportEnds {
            broker: BrokerId(*broker),
            broker_epoch: epoch_of(state, *broker),
            ends: vec![ReplicaEnd {
                partition: nth_partition(state, *partition),
                last_epoch: LeaderEpoch(*epoch),
                durable_end: Offset(*end),
            }],
        },
        Wish::ElectUnclean { partition } => {
            Proposal::ElectUnclean { partitions: vec![nth_partition(state, *partition)] }
        }
        Wish::Register { broker, found, directory: n, start, clean } => {
            let mut it = registration(*broker);
            (it.generation_found, it.generation_new) = (Generation(*found), Generation(found + 1));
            (it.directory, it.start) = (directory(*n), StartId::from_random([*start; 16]));
            it.clean = *clean;
            it.replaces = state.broker(it.id).map(|known| known.epoch);
            register(it)
        }
        Wish::Create { name, partitions, replicas, min, id } => {
            let name = ["orders", "ORDERS", "b", "c"][usize::from(*name)];
            let mut proposal = create(name, *partitions, *replicas);
            if let Proposal::CreateTopic { config, name: given, allow_unreplicated, .. } = &mut proposal {
                config.min_insync_replicas = *min;
                // Now and then one copy is wanted and not allowed.
                *allow_unreplicated |= *min == Some(1) && id % 4 > 0;
                *given = TopicName::new(name).unwrap();
            }
            return (proposal, u32::from(*id));
        }
        Wish::Ready { broker, topic } => {
            let directory = state.broker(BrokerId(*broker)).map(|it| it.directory).unwrap_or_default();
            let (broker_epoch, topic) = (epoch_of(state, *broker), nth_topic(state, *topic));
            let made = state.unmade(BrokerId(*broker), topic);
            Proposal::ReplicasReady { broker: BrokerId(*broker), broker_epoch, directory, topic, made }
        }
        Wish::Lost { broker, partition } => {
            let (broker, broker_epoch) = (BrokerId(*broker), epoch_of(state, *broker));
            let lost = vec![LostReplica::seen(state, broker, nth_partition(state, *partition))];
            Proposal::ReplicasLost { broker, broker_epoch, lost }
        }
        Wish::Isr { partition, isr, stale } => {
            let partition = nth_partition(state, *partition);
            let entry = state.partition(partition);
            let leader = entry.and_then(|it| it.leader).unwrap_or(BrokerId(1));
            let named = isr.iter().map(|&n| IsrMember {
                broker: BrokerId(n),
                broker_epoch: epoch_of(state, n),
                directory: state.broker(BrokerId(n)).map(|it| it.directory).unwrap_or_default(),
            });
            Proposal::ChangeIsr {
                partition,
                broker: leader,
                broker_epoch: epoch_of(state, leader.0),
                leader_epoch: entry.map(|it| it.leader_epoch).unwrap_or_default(),
                partition_epoch: PartitionEpoch(entry.map_or(0, |it| it.epoch.0) + u64::from(*stale)),
                isr: named.collect(),
            }
        }
        Wish::Alter { topic, min } => {
            let changes = vec![ConfigChange { key: ConfigKey::MinInsyncReplicas, value: *min }];
            let allow_unreplicated = *topic % 2 == 0;
            Proposal::AlterTopic { topic: nth_topic(state, *topic), changes, allow_unreplicated }
        }
        Wish::Delete { topic } => Proposal::DeleteTopic { topic: nth_topic(state, *topic) },
        Wish::Confirm { broker, topic } => {
            let topic = state.tombstones().nth(*topic).map_or(topic_id(0xfe), |it| it.topic);
            let broker_epoch = epoch_of(state, *broker);
            Proposal::ReplicaDeleted { broker: BrokerId(*broker), broker_epoch, topic }
        }
        Wish::Grant { broker, count } => {
            Proposal::GrantProducerIds { broker: BrokerId(*broker), count: *count }
        }
    };
    (proposal, 0xfd)
}

fn check_state(state: &ClusterState) {
    let names: BTreeSet<String> = state.topics().map(|it| it.name.as_str().to_ascii_lowercase()).collect();
    assert_eq!(names.len(), state.topics().count(), "names are unique without regard to case");
    for (id, partition) in state.partitions() {
        let topic = state.topic(id.topic).expect("a partition has a topic");
        let replicas: Vec<BrokerId> = partition.replicas.iter().map(|it| it.broker).collect();
        assert_eq!(replicas.len(), usize::from(topic.replication_factor));
        assert_eq!(
            partition.isr,
            partition.in_replica_order(&partition.isr),
            "{id}: the isr is replicas, in order"
        );
        assert!(
            partition.eligible.iter().all(|it| replicas.contains(it) && !partition.isr.contains(it)),
            "{id}"
        );
        assert!(partition.leader.is_none_or(|leader| partition.isr.contains(&leader)), "{id}: leader in isr");
        let open = topic.state == TopicState::Open;
        let explained = partition.offline.is_some();
        assert_eq!(open && partition.leader.is_none(), explained, "{id}: no leader has a reason");
        assert!(!open || partition.epoch > PartitionEpoch(0), "{id}");
        let min = usize::from(topic.min_insync_replicas());
        assert!((1..=replicas.len()).contains(&min), "{id}");
        assert!(
            partition.eligible.is_empty() || partition.isr.len() < min || partition.leader.is_none(),
            "{id}: eligible only while nothing is acknowledged without them"
        );
        let lives = |broker: BrokerId| state.broker(broker).is_some_and(|it| !it.fenced);
        assert!(partition.leader.is_none_or(lives), "{id}: the leader lives");
        let proven = |broker: &BrokerId| !partition.unproven.contains(broker);
        assert!(
            partition.leader.is_some() || !partition.members().any(|it| lives(it) && proven(&it)),
            "{id}: a live candidate leads"
        );
        assert!(partition.unproven.iter().all(|it| partition.is_member(*it)), "{id}");
        let home = |broker| state.broker(broker).map(|it| it.directory);
        assert!(
            partition.replicas.iter().all(|it| home(it.broker) == Some(it.directory)),
            "{id}: directories"
        );
        let made = |broker: &BrokerId| partition.replica(*broker).is_some_and(|it| it.made);
        assert!(partition.isr.iter().chain(&partition.eligible).all(made), "{id}: members were made");
    }
}

fn check_step(old: &ClusterState, new: &ClusterState, changes: &Changes) {
    assert_eq!(new.index(), old.index().next());
    assert!(new.next_producer_id() >= old.next_producer_id());
    for broker in old.brokers() {
        assert!(new.broker(broker.id).expect("brokers stay").epoch >= broker.epoch);
    }
    for (id, before) in old.partitions() {
        let Some(after) = new.partition(id) else { continue };
        assert!(
            after.leader_epoch >= before.leader_epoch && after.epoch >= before.epoch,
            "{id}: epochs only rise"
        );
        if after.leader != before.leader {
            assert!(after.leader_epoch > before.leader_epoch, "{id}: another leader, another epoch");
        }
        if after != before && after.epoch == before.epoch {
            assert_eq!(
                after.leader_epoch,
                LeaderEpoch(0),
                "{id}: every change of an open partition raises its epoch"
            );
        }
    }
    let mut differing = Changes::between(old, new);
    differing.merge(changes.clone());
    assert_eq!(&differing, changes, "what differs was named");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_invariants(wishes in proptest::collection::vec(wish(), 1..80)) {
        let mut state = founded();
        let mut granted = 1;
        let mut entries = Vec::new();
        let middle = wishes.len() / 2;
        let mut snapshot = state.to_bytes();
        let mut last_epoch = state.last_broker_epoch;
        for (turn, wish) in wishes.iter().enumerate() {
            let (proposal, id) = propose(&state, wish);
            prop_assert_eq!(&Proposal::from_bytes(&proposal.to_bytes()).unwrap(), &proposal);
            let minted = Minted { topic: topic_id(id) };
            let decision = state.decide(&proposal, NOW_MS, &minted);
            prop_assert_eq!(&decision, &state.decide(&proposal, NOW_MS, &minted), "deciding is deterministic");
            let entry = match decision {
                Ok(entry) => entry,
                Err(refusal) => {
                    prop_assert_eq!(&Refusal::from_bytes(&refusal.to_bytes()).unwrap(), &refusal);
                    continue;
                }
            };
            prop_assert_eq!(&Entry::from_bytes(&entry.to_bytes()).unwrap(), &entry);
            let old = state.clone();
            let changes = state.apply(old.index().next(), &entry).expect("what was decided applies");
            check_state(&state);
            check_step(&old, &state, &changes);
            if let Entry::BrokerRegistered { broker, .. } = &entry {
                prop_assert!(broker.epoch > last_epoch);
                last_epoch = broker.epoch;
            }
            if let Entry::ProducerIdsGranted { from, to_end, .. } = entry {
                prop_assert!(from == granted && to_end > from, "producer ids are given once");
                granted = to_end;
            }
            entries.push(entry);
            if turn == middle {
                snapshot = state.to_bytes();
            }
        }
        let mut replayed = ClusterState::from_bytes(&snapshot).unwrap();
        for (index, entry) in (1..).zip(&entries) {
            if MetaIndex(index) > replayed.index() {
                replayed.apply(MetaIndex(index), entry).unwrap();
            }
        }
        prop_assert_eq!(&replayed, &state, "a snapshot and what follows it come to the same");
        prop_assert_eq!(replayed.to_bytes(), state.to_bytes());
    }
}
