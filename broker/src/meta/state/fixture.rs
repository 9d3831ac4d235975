//! Short ways to states that tests start from. Broker n has directory, start id and generation made of n.

use fidelog_record::types::{
    BrokerId, ClusterId, DirectoryId, Generation, Incarnation, MetaIndex, TopicId, TopicName, TopicPartition,
};
use fidelog_record::types::{LeaderEpoch, PartitionEpoch, PartitionIndex};

use super::{
    ClusterState, Entry, FenceReason, IsrMember, Minted, Proposal, Refusal, Registration, SeenPartition,
    StartId, TopicConfig, TopicDefaults,
};

pub(in crate::meta) const NOW_MS: u64 = 1_750_000_000_000;

pub(in crate::meta) fn cluster() -> ClusterId {
    ClusterId::from_bytes([0xc1; 16])
}

pub(in crate::meta) fn founded() -> ClusterState {
    ClusterState::founded(cluster(), Incarnation::from_bytes([0x1c; 16]), TopicDefaults::default()).unwrap()
}

pub(in crate::meta) fn directory(n: u32) -> DirectoryId {
    DirectoryId::from_bytes([u8::try_from(n).unwrap(); 16])
}

pub(in crate::meta) fn topic_id(n: u32) -> TopicId {
    TopicId::from_bytes([u8::try_from(n).unwrap(); 16])
}

pub(in crate::meta) fn at(topic: u32, partition: u32) -> TopicPartition {
    TopicPartition { topic: topic_id(topic), partition: PartitionIndex(partition) }
}

pub(in crate::meta) fn registration(n: u32) -> Registration {
    Registration {
        cluster: cluster(),
        id: BrokerId(n),
        start: StartId::from_random([1; 16]),
        directory: directory(n),
        generation_found: Generation(0),
        generation_new: Generation(1),
        clean: true,
        client_address: format!("10.0.0.{n}:9094"),
        peer_address: format!("10.0.0.{n}:9095"),
        rack: None,
        feature_level: 1,
        incarnation_seen: None,
        index_seen: MetaIndex(0),
        former_session_alive: false,
        replaces: None,
    }
}

/// The next start of the same broker on the same directory.
pub(in crate::meta) fn next_start(n: u32, start: u8) -> Registration {
    Registration {
        start: StartId::from_random([start; 16]),
        generation_found: Generation(u64::from(start) - 1),
        generation_new: Generation(u64::from(start)),
        ..registration(n)
    }
}

pub(in crate::meta) fn register(registration: Registration) -> Proposal {
    Proposal::RegisterBroker { registration }
}

pub(in crate::meta) fn create(name: &str, partitions: u32, replication_factor: u16) -> Proposal {
    Proposal::CreateTopic {
        name: TopicName::internal(name).unwrap(),
        partition_count: Some(partitions),
        replication_factor: Some(replication_factor),
        // As old entries have it: set, and nobody says by whom.
        config: TopicConfig {
            min_insync_replicas: Some(replication_factor.clamp(1, 2)),
            ..TopicConfig::default()
        },
        allow_unreplicated: replication_factor == 1,
        internal: false,
        assignment: None,
    }
}

pub(in crate::meta) fn ready(state: &ClusterState, n: u32, topic: u32) -> Proposal {
    let broker = state.broker(BrokerId(n)).unwrap();
    Proposal::ReplicasReady {
        broker: broker.id,
        broker_epoch: broker.epoch,
        directory: broker.directory,
        topic: topic_id(topic),
        made: state.unmade(broker.id, topic_id(topic)),
    }
}

pub(in crate::meta) fn member(state: &ClusterState, n: u32) -> IsrMember {
    let broker = state.broker(BrokerId(n)).unwrap();
    IsrMember { broker: broker.id, broker_epoch: broker.epoch, directory: broker.directory }
}

/// The leader's proposal of `isr`, right in everything else.
pub(in crate::meta) fn seen(state: &ClusterState, at: TopicPartition) -> SeenPartition {
    SeenPartition { partition: at, epoch: state.partition(at).unwrap().epoch }
}

pub(in crate::meta) fn change_isr(state: &ClusterState, at: TopicPartition, isr: &[u32]) -> Proposal {
    let partition = state.partition(at).unwrap();
    let leader = partition.leader.unwrap();
    Proposal::ChangeIsr {
        partition: at,
        broker: leader,
        broker_epoch: state.broker(leader).unwrap().epoch,
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.epoch,
        isr: isr.iter().map(|&n| member(state, n)).collect(),
    }
}

pub(in crate::meta) fn unfence(state: &ClusterState, n: u32) -> Proposal {
    let broker = state.broker(BrokerId(n)).unwrap();
    Proposal::UnfenceBroker { broker: broker.id, broker_epoch: broker.epoch }
}

pub(in crate::meta) fn fence(state: &ClusterState, n: u32) -> Proposal {
    let broker = state.broker(BrokerId(n)).unwrap();
    let reason = FenceReason::HeartbeatsMissing;
    Proposal::FenceBroker { broker: broker.id, broker_epoch: broker.epoch, reason }
}

/// A start, and the heartbeat that ends its fence.
pub(in crate::meta) fn start(state: &mut ClusterState, registration: Registration) -> Entry {
    let n = registration.id.0;
    let entry = step(state, &register(registration), 0).unwrap();
    let proposal = unfence(state, n);
    done(state, &proposal);
    entry
}

/// Decides and applies; the topic id, if one is needed, is made of `topic`. A registration that is asked whether it means
/// it does.
pub(in crate::meta) fn step(
    state: &mut ClusterState,
    proposal: &Proposal,
    topic: u32,
) -> Result<Entry, Refusal> {
    let minted = Minted { topic: topic_id(topic) };
    let entry = match (state.decide(proposal, NOW_MS, &minted), proposal) {
        (Err(Refusal::OtherDataRegistered { registered, .. }), Proposal::RegisterBroker { registration }) => {
            let replaces = Some(registered);
            state.decide(&register(Registration { replaces, ..registration.clone() }), NOW_MS, &minted)?
        }
        (decided, _) => decided?,
    };
    state.apply(state.index().next(), &entry).expect("what was decided applies");
    Ok(entry)
}

pub(in crate::meta) fn done(state: &mut ClusterState, proposal: &Proposal) {
    step(state, proposal, 0xee).unwrap();
}

pub(in crate::meta) fn refused(state: &ClusterState, proposal: &Proposal) -> Refusal {
    state.decide(proposal, NOW_MS, &Minted { topic: topic_id(0xee) }).unwrap_err()
}

/// `brokers` brokers, and topic 0xaa named `orders` with one partition on all of them, open.
pub(in crate::meta) fn opened(brokers: u32) -> ClusterState {
    let mut state = founded();
    for n in 1..=brokers {
        start(&mut state, registration(n));
    }
    step(&mut state, &create("orders", 1, u16::try_from(brokers).unwrap()), 0xaa).unwrap();
    for n in 1..=brokers {
        let proposal = ready(&state, n, 0xaa);
        done(&mut state, &proposal);
    }
    // The topic opened when the minimum was ready; the rest joins by growth.
    let all: Vec<u32> = (1..=brokers).collect();
    let proposal = change_isr(&state, at(0xaa, 0), &all);
    done(&mut state, &proposal);
    assert_eq!(state.partition(at(0xaa, 0)).unwrap().leader_epoch, LeaderEpoch(1));
    assert_eq!(state.partition(at(0xaa, 0)).unwrap().isr.len(), all.len());
    assert!(state.partition(at(0xaa, 0)).unwrap().epoch > PartitionEpoch(1));
    state
}
