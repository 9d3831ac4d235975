//! Plans over random clusters: what they name is allowed, what they promise holds, and the quorum agrees with each move.

use std::collections::BTreeMap;

use fidelog_record::types::{
    BrokerId, ClusterId, DirectoryId, Generation, Incarnation, MetaIndex, TopicId, TopicName,
};

use super::*;
use crate::meta::state::{Minted, Proposal, Registration, StartId, TopicConfig, TopicDefaults};

const SEEDS: u64 = 300;

/// Splitmix: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    /// Both ends included.
    fn between(&mut self, least: u32, most: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let spread = u64::from(most - least) + 1;
        least + u32::try_from((mixed ^ (mixed >> 31)) % spread).unwrap()
    }
}

struct Random {
    state: ClusterState,
    brokers: u32,
    dice: Dice,
}

impl Random {
    /// Two to seven brokers, with and without racks, and a few topics, unevenly placed.
    fn new(seed: u64) -> Self {
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let brokers = dice.between(2, 7);
        let racks = dice.between(0, 3);
        let founded = ClusterState::founded(
            ClusterId::from_bytes([1; 16]),
            Incarnation::from_bytes([2; 16]),
            TopicDefaults::default(),
        );
        let mut cluster = Self { state: founded.unwrap(), brokers, dice };
        for n in 1..=brokers {
            let rack = (racks > 0).then(|| format!("r{}", cluster.dice.between(1, racks)));
            cluster.register(n, rack);
        }
        for topic in 1..=cluster.dice.between(1, 4) {
            cluster.create(u8::try_from(topic).unwrap());
        }
        cluster
    }

    fn apply(&mut self, proposal: &Proposal, topic: u8) {
        let minted = Minted { topic: TopicId::from_bytes([topic; 16]) };
        let entry = self.state.decide(proposal, 1_000, &minted).unwrap();
        self.state.apply(self.state.index().next(), &entry).unwrap();
    }

    fn register(&mut self, n: u32, rack: Option<String>) {
        let byte = u8::try_from(n).unwrap();
        let registration = Registration {
            cluster: ClusterId::from_bytes([1; 16]),
            id: BrokerId(n),
            start: StartId::from_random([byte; 16]),
            directory: DirectoryId::from_bytes([byte; 16]),
            generation_found: Generation(0),
            generation_new: Generation(1),
            clean: true,
            client_address: format!("b{n}:9094"),
            peer_address: format!("b{n}:9095"),
            rack,
            feature_level: 1,
            incarnation_seen: None,
            index_seen: MetaIndex(0),
            former_session_alive: false,
            replaces: None,
        };
        self.apply(&Proposal::RegisterBroker { registration }, 0);
        let broker_epoch = self.state.broker(BrokerId(n)).unwrap().epoch;
        self.apply(&Proposal::UnfenceBroker { broker: BrokerId(n), broker_epoch }, 0);
    }

    fn create(&mut self, topic: u8) {
        let factor = self.dice.between(1, self.brokers.min(3));
        let partitions = self.dice.between(1, 12);
        let mut assignment = Vec::new();
        for _ in 0..partitions {
            let mut homes: Vec<u32> = (1..=self.brokers).collect();
            // Low ids get more than their share.
            while homes.len() > factor as usize {
                let count = u32::try_from(homes.len()).unwrap();
                homes.remove(self.dice.between(count / 2, count - 1) as usize);
            }
            assignment.push(homes.into_iter().map(BrokerId).collect());
        }
        let create = Proposal::CreateTopic {
            name: TopicName::new(&format!("t{topic}")).unwrap(),
            partition_count: Some(partitions),
            replication_factor: Some(u16::try_from(factor).unwrap()),
            config: TopicConfig::default(),
            allow_unreplicated: factor == 1,
            internal: false,
            assignment: Some(assignment),
        };
        self.apply(&create, topic);
        for n in 1..=self.brokers {
            let broker = self.state.broker(BrokerId(n)).unwrap().clone();
            let id = TopicId::from_bytes([topic; 16]);
            let holds = self.state.partitions_of(id).iter().any(|entry| entry.has_replica(broker.id));
            if holds {
                let ready = Proposal::ReplicasReady {
                    broker: broker.id,
                    broker_epoch: broker.epoch,
                    directory: broker.directory,
                    topic: id,
                    made: self.state.unmade(broker.id, id),
                };
                self.apply(&ready, topic);
            }
        }
    }

    /// Where everything lies once the plan is done, after the quorum agreed with each of its moves.
    fn after(&self, plan: &Plan) -> BTreeMap<TopicPartition, Vec<BrokerId>> {
        let mut after: BTreeMap<_, _> =
            self.state.partitions().map(|(at, entry)| (at, entry.replicas_wanted())).collect();
        for step in &plan.moves {
            let order = Proposal::MoveReplicas {
                partition: step.at,
                replicas: step.to.clone(),
                partition_epoch: Some(step.epoch),
            };
            let minted = Minted { topic: TopicId::from_bytes([0; 16]) };
            self.state.decide(&order, 1_000, &minted).unwrap();
            assert_eq!(after.insert(step.at, step.to.clone()), Some(step.from.clone()));
        }
        after
    }
}

fn spread(counts: &BTreeMap<BrokerId, usize>) -> usize {
    counts.values().max().unwrap() - counts.values().min().unwrap()
}

#[test]
fn a_drained_broker_is_left_by_all_that_have_somewhere_to_go() {
    for seed in 0..SEEDS {
        let mut cluster = Random::new(seed);
        let broker = BrokerId(cluster.dice.between(1, cluster.brokers));
        cluster.apply(&Proposal::DrainBroker { broker }, 0);
        let plan = drain(&cluster.state, broker);
        let after = cluster.after(&plan);
        let left: Vec<_> = after.iter().filter(|(_, it)| it.contains(&broker)).map(|(at, _)| *at).collect();
        assert_eq!(left, plan.stays.iter().map(|(at, _)| *at).collect::<Vec<_>>());
        for at in left {
            assert_eq!(after[&at].len(), cluster.brokers as usize, "it could have gone elsewhere");
        }
    }
}

#[test]
fn a_rebalanced_cluster_is_even_and_stays_as_it_is() {
    for seed in 0..SEEDS {
        let cluster = Random::new(seed);
        let plan = rebalance(&cluster.state);
        let after = cluster.after(&plan);
        let none = || (1..=cluster.brokers).map(|n| (BrokerId(n), 0)).collect::<BTreeMap<_, usize>>();
        let (mut load, mut first) = (none(), none());
        for replicas in after.values() {
            replicas.iter().for_each(|broker| *load.get_mut(broker).unwrap() += 1);
            *first.get_mut(&replicas[0]).unwrap() += 1;
        }
        let racks = cluster.state.brokers().any(|broker| broker.rack.is_some());
        // Racks may stand in the way of an even spread.
        assert!(racks || spread(&load) <= 1, "{load:?}");
        let before: usize = cluster.state.partitions().map(|(_, entry)| entry.replicas.len()).sum();
        assert_eq!(load.values().sum::<usize>(), before);
        let all_everywhere = after.values().all(|replicas| replicas.len() == cluster.brokers as usize);
        assert!(!all_everywhere || spread(&first) <= 1, "{first:?}");
    }
}

#[test]
fn a_topic_gets_the_replicas_it_is_to_have_and_keeps_its_leader() {
    for seed in 0..SEEDS {
        let mut cluster = Random::new(seed);
        let topic = cluster.state.topics().next().unwrap().id;
        let factor = cluster.dice.between(1, cluster.brokers.min(4));
        if cluster.state.topic(topic).unwrap().replication_factor == u16::try_from(factor).unwrap() {
            continue;
        }
        cluster.apply(
            &Proposal::SetReplicationFactor {
                topic,
                replication_factor: u16::try_from(factor).unwrap(),
                allow_unreplicated: true,
            },
            0,
        );
        let plan = with_factor(&cluster.state, topic, factor as usize);
        assert_eq!(plan.stays, []);
        for (at, replicas) in cluster.after(&plan).into_iter().filter(|(at, _)| at.topic == topic) {
            assert_eq!(replicas.len(), factor as usize);
            let leader = cluster.state.partition(at).unwrap().leader.unwrap();
            assert!(replicas.contains(&leader), "its leader stays");
        }
    }
}
