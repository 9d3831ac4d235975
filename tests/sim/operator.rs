//! What an operator does while things go wrong: leaderships and replicas move (N9, N15), and replicas that moved away are
//! deleted, as the node does.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fidelog_broker::meta::state::{Changes, ClusterState, Proposal};
use fidelog_record::types::{BrokerId, TopicPartition};
use rand::seq::{IndexedRandom, SliceRandom};

use crate::cluster::Sim;
use crate::event::{Asked, Event, Own};

/// Elections asked for in a row, at most, and within which time, microseconds.
const ELECTIONS_MAX: u64 = 4;
const ELECTIONS_WITHIN: u64 = 250_000;
/// Between two attempts to delete what moved away, microseconds.
const AGAIN: u64 = 400_000;

impl Sim {
    fn some_partition(&mut self) -> Option<TopicPartition> {
        let all: Vec<_> = self.quorum.state().partitions().map(|(at, _)| at).collect();
        all.choose(&mut self.random).copied()
    }

    /// Other members are asked to lead some partition, one soon after another: one process leads, follows, and leads
    /// again while what it was told before is still on its way.
    pub(crate) fn elect(&mut self) {
        let Some(at) = self.some_partition() else { return };
        let Some(entry) = self.quorum.state().partition(at) else { return };
        let replicas = entry.replicas_wanted();
        for _ in 0..=self.below(ELECTIONS_MAX) {
            let broker = replicas.choose(&mut self.random).copied();
            let proposal = Proposal::ElectLeader { partition: at, broker };
            let micros = self.below(ELECTIONS_WITHIN);
            self.agenda.after(micros, Event::Consider(Box::new(Asked { asker: None, proposal })));
        }
    }

    /// A partition is to be on other brokers, or in another order; or its move is cancelled.
    pub(crate) fn move_replicas(&mut self) {
        let Some(at) = self.some_partition() else { return };
        let Some(entry) = self.quorum.state().partition(at) else { return };
        let (moves, count) = (entry.moving.is_some(), entry.replicas_wanted().len());
        let proposal = if moves && self.percent(50) {
            Proposal::CancelMove { partition: at }
        } else {
            let mut replicas: Vec<BrokerId> = self.brokers.iter().map(|broker| broker.id).collect();
            replicas.shuffle(&mut self.random);
            replicas.truncate(count);
            Proposal::MoveReplicas { partition: at, replicas, partition_epoch: None }
        };
        self.consider(Asked { asker: None, proposal });
    }

    /// Begins to delete what this broker holds and is to hold no more.
    pub(crate) fn leave(&mut self, broker: usize, state: &ClusterState, changes: &Changes) {
        let me = self.brokers[broker].id;
        for &at in &changes.partitions {
            let others_only = state.partition(at).is_some_and(|entry| !entry.has_replica(me));
            let Some(life) = self.life_mut(broker).filter(|_| others_only) else { continue };
            let held = life.partitions.contains_key(&at) || life.home.holds(at);
            life.unopened.remove(&at);
            life.owners.positions.unhost(at);
            if held && life.leaving.insert(at) {
                life.partitions.get(&at).into_iter().for_each(|partition| partition.stopping());
                self.settle(broker);
                self.own_later(broker, 1_000, Own::Leave(at));
            }
        }
    }

    /// Deletes a replica that moved away; what the disk refuses is tried again.
    pub(crate) fn delete_replica(&mut self, broker: usize, at: TopicPartition) {
        let Some(life) = self.life_mut(broker) else { return };
        let (flusher, home) = (Arc::clone(&life.flusher), Arc::clone(&life.home));
        let mut closed = true;
        if let Some(partition) = life.partitions.get(&at).cloned() {
            let mut closing = Box::pin(partition.close(true));
            let mut context = Context::from_waker(Waker::noop());
            let _ = closing.as_mut().poll(&mut context);
            flusher.flush_once(Duration::ZERO);
            closed = matches!(closing.as_mut().poll(&mut context), Poll::Ready(Ok(())));
        }
        if closed {
            self.life_mut(broker).into_iter().for_each(|life| drop(life.partitions.remove(&at)));
            self.judge.unhosted(broker, at);
        }
        let removed = closed && home.remove_partition(at).is_ok();
        drop((flusher, home));
        self.settle(broker);
        let Some(life) = self.life_mut(broker) else { return };
        if removed {
            life.leaving.remove(&at);
            self.tell("left", &[broker as u64], || format!("broker {} holds {at} no more", broker + 1));
        } else {
            self.own_later(broker, AGAIN, Own::Leave(at));
        }
    }
}
