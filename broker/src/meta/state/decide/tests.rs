//! What proposals come to, told as short stories.

use std::sync::Arc;

use fidelog_record::types::{
    BrokerEpoch, BrokerId, ClusterId, Generation, Incarnation, LeaderEpoch, MetaIndex, PartitionEpoch,
    TopicName, TopicPartition,
};

use super::super::fixture::*;
use super::super::{
    ClusterState, ConfigChange, ConfigKey, DataFound, Entry, LostReplica, PartitionEntry, Proposal, Refusal,
    TopicConfig, TopicState,
};

mod topics;

fn orders(state: &ClusterState) -> &Arc<PartitionEntry> {
    state.partition(at(0xaa, 0)).unwrap()
}

fn ids(numbers: &[u32]) -> Vec<BrokerId> {
    numbers.iter().copied().map(BrokerId).collect()
}

fn data_found(entry: &Entry) -> DataFound {
    match entry {
        Entry::BrokerRegistered { data, .. } => *data,
        other => panic!("not a registration: {other:?}"),
    }
}

#[test]
fn a_start_raises_the_leader_epoch_of_what_it_leads_and_of_nothing_else() {
    let mut state = opened(3);
    let before = orders(&state).clone();
    done(&mut state, &register(next_start(2, 2)));
    assert_eq!(orders(&state).leader_epoch, LeaderEpoch(1), "a follower's start ends no leadership");
    assert_eq!(orders(&state).epoch, before.epoch.next(), "but it has to join again");
    done(&mut state, &register(next_start(1, 2)));
    assert_eq!((orders(&state).leader, orders(&state).leader_epoch), (Some(BrokerId(3)), LeaderEpoch(2)));
    assert_eq!(state.broker(BrokerId(1)).unwrap().epoch, BrokerEpoch(5), "epochs rise over all brokers");
}

#[test]
fn a_start_from_another_cluster_or_with_newer_metadata_is_refused() {
    let state = opened(2);
    let mut foreign = next_start(1, 2);
    foreign.cluster = ClusterId::from_bytes([9; 16]);
    assert!(matches!(refused(&state, &register(foreign)), Refusal::WrongCluster { .. }));
    let mut other = next_start(1, 2);
    other.incarnation_seen = Some(Incarnation::from_bytes([9; 16]));
    assert!(matches!(refused(&state, &register(other)), Refusal::MetadataLost { .. }));
    let mut ahead = next_start(1, 2);
    ahead.index_seen = state.index().next();
    let refusal = refused(&state, &register(ahead));
    assert!(refusal.to_string().starts_with("metadata lost: broker 1"), "{refusal}");
    let mut alive = next_start(1, 2);
    alive.former_session_alive = true;
    assert!(matches!(refused(&state, &register(alive)), Refusal::FormerSessionAlive { .. }));
    let mut same = next_start(1, 2);
    same.generation_new = same.generation_found;
    assert!(matches!(refused(&state, &register(same.clone())), Refusal::GenerationNotRaised { .. }));
    same.former_session_alive = true;
    assert!(matches!(refused(&state, &register(same)), Refusal::FormerSessionAlive { .. }), "not judged yet");
    let mut nowhere = next_start(1, 2);
    nowhere.client_address = "example".to_owned();
    assert!(matches!(refused(&state, &register(nowhere)), Refusal::InvalidRegistration { .. }));
}

#[test]
fn an_emptied_leader_is_out_of_every_set_and_another_leads() {
    let mut state = opened(3);
    let mut emptied = next_start(1, 2);
    emptied.directory = directory(0x11);
    let entry = step(&mut state, &register(emptied), 0).unwrap();
    assert_eq!(data_found(&entry), DataFound::OtherDirectory);
    let partition = orders(&state);
    assert_eq!((partition.leader, &partition.isr), (Some(BrokerId(2)), &ids(&[2, 3])));
    assert_eq!(partition.leader_epoch, LeaderEpoch(2), "what its former self has under way is fenced");
    assert_eq!((partition.replicas[0].directory, partition.replicas[0].made), (directory(0x11), false));
}

#[test]
fn a_rolled_back_follower_is_out_of_every_set_and_leaps_beyond_its_clones() {
    let mut state = opened(3);
    let epoch = state.broker(BrokerId(3)).unwrap().epoch;
    let (broker, generation) = (BrokerId(3), Generation(7));
    done(&mut state, &Proposal::RaiseGeneration { broker, broker_epoch: epoch, generation });
    let entry = step(&mut state, &register(next_start(3, 4)), 0).unwrap();
    assert_eq!(data_found(&entry), DataFound::RolledBack);
    assert_eq!(orders(&state).isr, ids(&[1, 2]));
    assert!(state.broker(BrokerId(3)).unwrap().generation > Generation(1_000_000));
    assert!(orders(&state).offline.is_none());
    // One that asks before it raises anything is told the same, and needs not raise it: it leaps.
    let mut asks = next_start(3, 5);
    (asks.generation_found, asks.generation_new) = (Generation(6), Generation(6));
    assert_eq!(data_found(&step(&mut state, &register(asks), 0).unwrap()), DataFound::RolledBack);
    // The same start again, since its answer was lost; then what it was copied from, which went on unregistered.
    for start in [4, 20] {
        let entry = step(&mut state, &register(next_start(3, start)), 0).unwrap();
        assert_eq!(data_found(&entry), DataFound::RolledBack);
    }
}

/// A registration was under way for so long that two later starts registered before it arrived. It looks like that of a
/// rolled-back directory, and must cost the broker nothing.
#[test]
fn n13_a_registration_of_a_former_start_that_arrives_late_is_refused() {
    let mut state = opened(3);
    done(&mut state, &register(next_start(1, 3)));
    done(&mut state, &register(next_start(1, 4)));
    let registered = state.broker(BrokerId(1)).unwrap().epoch;
    let refusal = refused(&state, &register(next_start(1, 2)));
    assert_eq!(refusal, Refusal::OtherDataRegistered { broker: BrokerId(1), registered });
    let mut of_old_disk = next_start(1, 2);
    of_old_disk.directory = directory(0x11);
    of_old_disk.replaces = Some(BrokerEpoch(registered.0 - 1));
    assert!(matches!(refused(&state, &register(of_old_disk)), Refusal::OtherDataRegistered { .. }));
}

/// The answer to a registration was lost, and the same process sends it again: the generation it found is below the
/// registered one by now, but it is its own.
#[test]
fn a_registration_sent_again_by_the_same_process_loses_nothing() {
    let mut state = opened(3);
    done(&mut state, &register(next_start(1, 2)));
    let again = step(&mut state, &register(next_start(1, 2)), 0).unwrap();
    assert_eq!(data_found(&again), DataFound::Intact);
    assert!(orders(&state).replicas[0].made);
}

#[test]
fn a_topic_opens_when_the_first_replica_and_the_minimum_are_ready() {
    let mut state = founded();
    (1..=3).for_each(|n| drop(start(&mut state, registration(n))));
    step(&mut state, &create("orders", 1, 3), 0xaa).unwrap();
    let [two, three, one] = [2, 3, 1].map(|n| ready(&state, n, 0xaa));
    done(&mut state, &two);
    done(&mut state, &three);
    assert_eq!(
        state.topic(topic_id(0xaa)).unwrap().state,
        TopicState::Creating,
        "two ready, but not the first"
    );
    assert_eq!(orders(&state).leader, None);
    done(&mut state, &one);
    assert_eq!(state.topic(topic_id(0xaa)).unwrap().state, TopicState::Open);
    let partition = orders(&state);
    assert_eq!((partition.leader, &partition.isr), (Some(BrokerId(1)), &ids(&[1, 2, 3])));
    assert_eq!((partition.leader_epoch, partition.epoch), (LeaderEpoch(1), PartitionEpoch(1)));
}

#[test]
fn a_replica_ready_after_the_opening_joins_by_growth_only() {
    let mut state = founded();
    (1..=3).for_each(|n| drop(start(&mut state, registration(n))));
    step(&mut state, &create("orders", 1, 3), 0xaa).unwrap();
    for n in [1, 2] {
        let proposal = ready(&state, n, 0xaa);
        done(&mut state, &proposal);
    }
    let grow = change_isr(&state, at(0xaa, 0), &[1, 2, 3]);
    assert!(matches!(refused(&state, &grow), Refusal::MemberMismatch { .. }), "it has no directory yet");
    let late = ready(&state, 3, 0xaa);
    done(&mut state, &late);
    assert_eq!(orders(&state).isr, ids(&[1, 2]));
    let grow = change_isr(&state, at(0xaa, 0), &[3, 2, 1]);
    done(&mut state, &grow);
    assert_eq!(orders(&state).isr, ids(&[1, 2, 3]), "kept in the order of the replicas");
}

#[test]
fn a_missing_replica_directory_is_lost_and_never_empty() {
    let mut state = opened(3);
    let epoch = state.broker(BrokerId(2)).unwrap().epoch;
    let broker = BrokerId(2);
    let report = |state: &ClusterState, partitions: &[TopicPartition]| {
        let lost = partitions.iter().map(|&it| LostReplica::seen(state, broker, it)).collect();
        Proposal::ReplicasLost { broker, broker_epoch: epoch, lost }
    };
    let lost = report(&state, &[at(0xaa, 0), at(0xaa, 0)]);
    done(&mut state, &lost);
    assert_eq!(orders(&state).isr, ids(&[1, 3]));
    assert!(!orders(&state).replicas[1].made);
    assert!(matches!(refused(&state, &lost), Refusal::NothingNamed { .. }), "it cannot be lost twice");
    // The report was under way for so long that the replica is made anew.
    let made = ready(&state, 2, 0xaa);
    done(&mut state, &made);
    assert!(
        matches!(refused(&state, &lost), Refusal::NothingNamed { .. }),
        "it says nothing of the later copy"
    );
    step(&mut state, &create("more", 1, 3), 0xbb).unwrap();
    for n in 1..=3 {
        let made = ready(&state, n, 0xbb);
        done(&mut state, &made);
    }
    let mut lost = report(&state, &[at(0xaa, 0), at(0xbb, 0), at(0xcc, 0)]);
    if let Proposal::ReplicasLost { lost, .. } = &mut lost {
        lost[0].since = PartitionEpoch(0); // an earlier copy
    }
    let told = step(&mut state, &lost, 0).unwrap();
    assert_eq!(told, Entry::ReplicasLost { broker: BrokerId(2), partitions: vec![at(0xbb, 0)] });
}

/// They were all refused with it: brokers that had caught up beside one that drains stayed out, and who lags stayed in.
#[test]
fn n8_whoever_cannot_be_added_keeps_no_other_from_coming_and_going() {
    let mut state = opened(4);
    let shrink = change_isr(&state, at(0xaa, 0), &[1, 2]);
    done(&mut state, &shrink);
    done(&mut state, &Proposal::DrainBroker { broker: BrokerId(3) });
    let all = change_isr(&state, at(0xaa, 0), &[1, 2, 3, 4]);
    let taken = step(&mut state, &all, 0).unwrap();
    assert_eq!(taken, Entry::IsrChanged { partition: at(0xaa, 0), isr: ids(&[1, 2, 4]) });
    let without_two = change_isr(&state, at(0xaa, 0), &[1, 3, 4]);
    let taken = step(&mut state, &without_two, 0).unwrap();
    assert_eq!(taken, Entry::IsrChanged { partition: at(0xaa, 0), isr: ids(&[1, 4]) });
    let nobody_else = change_isr(&state, at(0xaa, 0), &[1, 3, 4]);
    assert!(matches!(refused(&state, &nobody_else), Refusal::MemberMismatch { .. }));
    let below = change_isr(&state, at(0xaa, 0), &[1, 3]);
    assert!(matches!(refused(&state, &below), Refusal::MemberMismatch { .. }), "two were named, the minimum");
}

#[test]
fn a_change_of_the_isr_is_the_leaders_against_what_it_has_seen() {
    let state = opened(3);
    let good = change_isr(&state, at(0xaa, 0), &[1, 2]);
    let with = |change: &dyn Fn(&mut Proposal)| {
        let mut proposal = good.clone();
        change(&mut proposal);
        refused(&state, &proposal)
    };
    let cas = with(&|it| {
        if let Proposal::ChangeIsr { partition_epoch, .. } = it {
            *partition_epoch = PartitionEpoch(1);
        }
    });
    assert!(matches!(cas, Refusal::StalePartitionEpoch { .. }));
    let older = with(&|it| {
        if let Proposal::ChangeIsr { leader_epoch, .. } = it {
            *leader_epoch = LeaderEpoch(0);
        }
    });
    assert!(matches!(older, Refusal::StaleLeaderEpoch { .. }));
    let former = with(&|it| {
        if let Proposal::ChangeIsr { broker_epoch, .. } = it {
            *broker_epoch = BrokerEpoch(0);
        }
    });
    assert!(matches!(former, Refusal::StaleBrokerEpoch { .. }));
    let usurper = with(&|it| {
        if let Proposal::ChangeIsr { broker, broker_epoch, .. } = it {
            (*broker, *broker_epoch) = (BrokerId(2), BrokerEpoch(2));
        }
    });
    assert!(matches!(usurper, Refusal::NotLeader { leader: Some(BrokerId(1)), .. }));
    for (isr, name) in [(&[][..], "nobody"), (&[2, 3], "the leader not among them")] {
        let proposal = change_isr(&state, at(0xaa, 0), isr);
        assert!(matches!(refused(&state, &proposal), Refusal::LeaderLeaves { .. }), "{name}");
    }
    let twice = change_isr(&state, at(0xaa, 0), &[1, 2, 2]);
    assert!(matches!(refused(&state, &twice), Refusal::NamedTwice { .. }));
}

#[test]
fn a_member_is_added_only_as_the_one_the_leader_has_matched() {
    let mut state = opened(3);
    let shrink = change_isr(&state, at(0xaa, 0), &[1, 2]);
    done(&mut state, &shrink);
    let before = member(&state, 3);
    start(&mut state, next_start(3, 2));
    let mut grow = change_isr(&state, at(0xaa, 0), &[1, 2, 3]);
    done(&mut state.clone(), &grow);
    let Proposal::ChangeIsr { isr, .. } = &mut grow else { unreachable!() };
    isr[2] = before;
    assert!(matches!(refused(&state, &grow), Refusal::MemberMismatch { .. }), "it has started anew since");
    let Proposal::ChangeIsr { isr, .. } = &mut grow else { unreachable!() };
    isr[2] = member(&state, 3);
    isr[2].directory = directory(0x33);
    assert!(matches!(refused(&state, &grow), Refusal::MemberMismatch { .. }), "another directory");
}

#[test]
fn proposing_the_present_set_again_withdraws_a_growth() {
    let mut state = opened(3);
    let before = orders(&state).epoch;
    let growth = change_isr(&state, at(0xaa, 0), &[1, 2, 3]);
    let again = change_isr(&state, at(0xaa, 0), &[1, 2, 3]);
    done(&mut state, &again);
    assert_eq!(orders(&state).epoch, before.next());
    assert!(matches!(refused(&state, &growth), Refusal::StalePartitionEpoch { .. }));
}

#[test]
fn an_entry_out_of_order_is_refused_and_changes_nothing() {
    let mut state = opened(2);
    let before = state.clone();
    let entry = Entry::ProducerIdsGranted { broker: BrokerId(1), from: 1, to_end: 2 };
    assert!(state.apply(state.index(), &entry).is_err());
    assert!(state.apply(state.index().next().next(), &entry).is_err());
    assert!(
        state
            .apply(
                MetaIndex(state.index().0 + 1),
                &Entry::TopicDeleted { topic: topic_id(9), deleted_at_ms: 1 }
            )
            .is_err()
    );
    assert_eq!(state, before);
}
