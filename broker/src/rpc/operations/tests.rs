//! A broker dies and comes back, as lists, findings and events tell it.

use fidelog_proto::v1::{self, PartitionFilter, Severity};
use fidelog_record::types::{
    BrokerId, ClusterId, DirectoryId, Generation, Incarnation, MetaIndex, TopicId, TopicName,
};

use super::{events, health, partitions, recovery};
use crate::meta::state::{
    Changes, ClusterState, Entry, FenceReason, Minted, Proposal, Registration, StartId, TopicConfig,
    TopicDefaults,
};

struct Cluster {
    state: ClusterState,
    before: ClusterState,
}

impl Cluster {
    /// Three brokers, and a topic of one partition on all of them.
    fn new() -> Self {
        let defaults = TopicDefaults::default();
        let state =
            ClusterState::founded(ClusterId::from_bytes([1; 16]), Incarnation::from_bytes([2; 16]), defaults);
        let state = state.unwrap();
        let mut cluster = Self { before: state.clone(), state };
        for n in 1..=3 {
            cluster.apply(&Proposal::RegisterBroker { registration: registration(n) });
            cluster.unfence(n);
        }
        let create = Proposal::CreateTopic {
            name: TopicName::new("orders").unwrap(),
            partition_count: Some(1),
            replication_factor: Some(3),
            config: TopicConfig::default(),
            allow_unreplicated: false,
            internal: false,
            assignment: Some(vec![[1, 2, 3].map(BrokerId).to_vec()]),
        };
        cluster.apply(&create);
        for n in 1..=3 {
            let broker = cluster.state.broker(BrokerId(n)).unwrap().clone();
            cluster.apply(&Proposal::ReplicasReady {
                broker: broker.id,
                broker_epoch: broker.epoch,
                directory: broker.directory,
                topic: TopicId::from_bytes([7; 16]),
                made: cluster.state.unmade(broker.id, TopicId::from_bytes([7; 16])),
            });
        }
        cluster
    }

    fn apply(&mut self, proposal: &Proposal) -> Entry {
        self.apply_minting(proposal, 7)
    }

    fn apply_minting(&mut self, proposal: &Proposal, topic: u8) -> Entry {
        let minted = Minted { topic: TopicId::from_bytes([topic; 16]) };
        let entry = self.state.decide(proposal, 1_000, &minted).unwrap();
        self.state.apply(self.state.index().next(), &entry).unwrap();
        entry
    }

    fn unfence(&mut self, n: u32) {
        let broker_epoch = self.state.broker(BrokerId(n)).unwrap().epoch;
        self.apply(&Proposal::UnfenceBroker { broker: BrokerId(n), broker_epoch });
    }

    fn fence(&mut self, n: u32) {
        let broker_epoch = self.state.broker(BrokerId(n)).unwrap().epoch;
        let reason = FenceReason::HeartbeatsMissing;
        self.apply(&Proposal::FenceBroker { broker: BrokerId(n), broker_epoch, reason });
    }

    /// What happened since this was asked last.
    fn happened(&mut self) -> Vec<v1::ClusterEvent> {
        let before = std::mem::replace(&mut self.before, self.state.clone());
        events::between(&before, &self.state, &Changes::between(&before, &self.state))
    }

    fn kinds(&mut self) -> Vec<String> {
        self.happened().into_iter().map(|event| event.kind).collect()
    }

    fn findings(&self) -> Vec<(Severity, String)> {
        let found = health::findings(&self.state, |_| true);
        found.into_iter().map(|finding| (finding.severity(), finding.kind)).collect()
    }

    fn listed(&self, filter: PartitionFilter) -> usize {
        let request = v1::ListPartitionsRequest { filter: filter.into(), ..Default::default() };
        partitions::list(&self.state, &request).unwrap().partitions.len()
    }
}

fn registration(n: u32) -> Registration {
    let byte = u8::try_from(n).unwrap();
    Registration {
        cluster: ClusterId::from_bytes([1; 16]),
        id: BrokerId(n),
        start: StartId::from_random([byte; 16]),
        directory: DirectoryId::from_bytes([byte; 16]),
        generation_found: Generation(0),
        generation_new: Generation(1),
        clean: true,
        client_address: format!("b{n}:9094"),
        peer_address: format!("b{n}:9095"),
        rack: None,
        feature_level: 1,
        incarnation_seen: None,
        index_seen: MetaIndex(0),
        former_session_alive: false,
        replaces: None,
    }
}

#[test]
fn the_loss_of_a_leader_is_told_from_warning_to_critical() {
    let mut cluster = Cluster::new();
    let kinds = cluster.kinds();
    assert!(kinds.contains(&"topic_created".to_owned()) && kinds.contains(&"broker_registered".to_owned()));
    let leader = cluster.state.partitions().next().unwrap().1.leader.unwrap().0;
    cluster.fence(leader);
    let events = cluster.happened();
    let changed = events.iter().find(|event| event.kind == "leader_changed").expect("a new leader");
    assert_eq!((changed.topic.as_str(), changed.partition), ("orders", Some(0)));
    assert_eq!(changed.before, leader.to_string());
    assert_ne!(changed.after, changed.before);
    let fenced = events.iter().find(|event| event.kind == "broker_fenced").expect("it is fenced");
    assert_eq!(fenced.broker_id, leader);
    assert!(fenced.message.contains("heartbeats"), "{}", fenced.message);
    assert!(cluster.findings().contains(&(Severity::Warning, "broker_fenced".to_owned())));
    assert_eq!(cluster.listed(PartitionFilter::UnderReplicated), 1);
    assert_eq!(cluster.listed(PartitionFilter::Leaderless), 0);

    for n in 1..=3 {
        if n != leader {
            cluster.fence(n);
        }
    }
    assert!(cluster.kinds().contains(&"partition_offline".to_owned()));
    assert!(cluster.findings().contains(&(Severity::Critical, "partition_offline".to_owned())));
    assert_eq!(cluster.listed(PartitionFilter::Leaderless), 1);

    for n in 1..=3 {
        cluster.unfence(n);
    }
    let kinds = cluster.kinds();
    assert!(kinds.contains(&"leader_changed".to_owned()) && kinds.contains(&"broker_unfenced".to_owned()));
    assert_eq!(cluster.listed(PartitionFilter::Leaderless), 0);
}

/// It stays so until they are back, and no partition is listed for it.
#[test]
fn a_topic_that_waits_for_a_broker_that_is_away_is_told() {
    let mut cluster = Cluster::new();
    let create = Proposal::CreateTopic {
        name: TopicName::new("waiting").unwrap(),
        partition_count: Some(1),
        replication_factor: Some(3),
        config: TopicConfig::default(),
        assignment: None,
        allow_unreplicated: false,
        internal: false,
    };
    cluster.apply_minting(&create, 0xbb);
    let waits = (Severity::Warning, "topic_waits".to_owned());
    assert!(!cluster.findings().contains(&waits), "everybody is there");
    cluster.fence(2);
    assert!(cluster.findings().contains(&waits), "{:?}", cluster.findings());
    cluster.unfence(2);
    assert!(!cluster.findings().contains(&waits));
}

#[test]
fn a_partition_is_told_once_by_the_worst_of_its_troubles() {
    let mut cluster = Cluster::new();
    (1..=3).for_each(|n| cluster.fence(n));
    let about_partitions = |kind: &str| kind.contains("partition") || kind.contains("minimum");
    let told = cluster.findings().into_iter().filter(|(_, kind)| about_partitions(kind)).count();
    assert_eq!(told, 1, "{:?}", cluster.findings());
}

#[test]
fn pages_of_partitions_are_in_the_order_of_numbers() {
    let mut cluster = Cluster::new();
    let create = Proposal::CreateTopic {
        name: TopicName::new("wide").unwrap(),
        partition_count: Some(120),
        replication_factor: Some(3),
        config: TopicConfig::default(),
        allow_unreplicated: false,
        internal: false,
        assignment: None,
    };
    let minted = Minted { topic: TopicId::from_bytes([9; 16]) };
    let entry = cluster.state.decide(&create, 1_000, &minted).unwrap();
    cluster.state.apply(cluster.state.index().next(), &entry).unwrap();
    let mut request = v1::ListPartitionsRequest { page_size: 50, ..Default::default() };
    let mut seen = Vec::new();
    loop {
        let page = partitions::list(&cluster.state, &request).unwrap();
        seen.extend(page.partitions.into_iter().map(|it| (it.topic, it.partition)));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let wide: Vec<u32> = seen.iter().filter(|(topic, _)| topic == "wide").map(|(_, it)| *it).collect();
    assert_eq!(wide, (0..120).collect::<Vec<u32>>());
    assert_eq!(seen.len(), 121);
}

#[test]
fn the_live_replica_that_holds_most_is_to_lead_and_its_plan_is_bound_to_what_was_seen() {
    let mut cluster = Cluster::new();
    (1..=3).for_each(|n| cluster.fence(n));
    (2..=3).for_each(|n| cluster.unfence(n));
    let (at, entry) = cluster.state.partitions().next().unwrap();
    let replica = |broker_id, fenced, last_epoch, committed_end, durable_end| v1::RecoveryReplica {
        broker_id,
        fenced,
        tail: Some(v1::DescribeTailResponse {
            broker_id,
            last_epoch,
            committed_end,
            durable_end,
            ..Default::default()
        }),
        ..Default::default()
    };
    let seen = [replica(1, true, 9, 100, 100), replica(2, false, 2, 50, 60), replica(3, false, 2, 40, 70)];
    let choose =
        |replicas: &[_], wanted| recovery::choose(&cluster.state, at, entry, replicas, BrokerId(wanted));
    let plan = choose(&seen, 0).unwrap();
    assert_eq!((plan.leader, plan.cut_end.0, plan.ends.len()), (BrokerId(3), 40, 3));
    let other = choose(&seen, 2).unwrap();
    assert_eq!((other.leader, other.cut_end.0), (BrokerId(2), 50));
    assert!(choose(&seen, 1).is_none(), "who is down cannot lead");
    let later = [replica(1, true, 9, 100, 100), replica(2, false, 2, 50, 60), replica(3, false, 2, 40, 71)];
    assert_ne!(choose(&later, 0).unwrap().hash(), plan.hash());
}
