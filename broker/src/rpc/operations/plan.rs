//! Where replicas should lie: plans of moves that empty a broker, spread the load, or give a topic another number of
//! replicas. Pure.
//!
//! Always true: a plan names only brokers that live and are not drained as new homes, never one broker twice in a
//! partition, and prefers racks that a partition is not in yet; what it cannot move it says, with the reason. Not here:
//! doing it ([`super::moves`]), and whether the quorum agrees (`meta/state`).

use std::collections::{BTreeMap, BTreeSet};

use fidelog_record::types::{BrokerId, PartitionEpoch, TopicId, TopicPartition};

use crate::meta::state::{ClusterState, PartitionEntry, TopicState};

/// A plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) moves: Vec<Move>,
    /// What should move and cannot, and why.
    pub(super) stays: Vec<(TopicPartition, String)>,
}

/// One partition's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) at: TopicPartition,
    /// The version of the entry that it was planned on.
    pub(super) epoch: PartitionEpoch,
    pub(super) from: Vec<BrokerId>,
    pub(super) to: Vec<BrokerId>,
}

/// The moves that leave nothing on `broker`.
pub(super) fn drain(state: &ClusterState, broker: BrokerId) -> Plan {
    let mut layout = Layout::new(state);
    layout.able.remove(&broker);
    let held = layout.places_of(broker);
    for at in held {
        if layout.moving.contains(&at) {
            layout.stay(at, "it is being moved already; drain again when it is there");
        } else if !layout.replace(at, broker) {
            layout.stay(at, "there is no other live broker without a replica of it");
        }
    }
    layout.plan()
}

/// The moves that give each live broker as many replicas, and as many preferred leaders, as any other, give or take
/// one, as far as racks allow. As few as that takes.
pub(super) fn rebalance(state: &ClusterState) -> Plan {
    let mut layout = Layout::new(state);
    while layout.level_replicas() {}
    while layout.level_leaders() {}
    layout.plan()
}

/// The moves that give each partition of a topic `factor` replicas.
pub(super) fn with_factor(state: &ClusterState, topic: TopicId, factor: usize) -> Plan {
    let mut layout = Layout::new(state);
    let all: Vec<TopicPartition> = layout.wanted.keys().copied().filter(|at| at.topic == topic).collect();
    for at in all {
        if layout.moving.contains(&at) {
            layout.stay(at, "it is being moved already; ask again when it is there");
            continue;
        }
        while layout.wanted[&at].len() < factor && layout.add(at) {}
        while layout.wanted[&at].len() > factor {
            layout.drop_one(at);
        }
        if layout.wanted[&at].len() < factor {
            layout.stay(at, "there are not enough live brokers without a replica of it");
        }
    }
    layout.plan()
}

/// Where replicas lie, and will.
struct Layout<'a> {
    state: &'a ClusterState,
    /// Brokers that may get replicas.
    able: BTreeSet<BrokerId>,
    wanted: BTreeMap<TopicPartition, Vec<BrokerId>>,
    /// How many replicas each broker will have.
    load: BTreeMap<BrokerId, usize>,
    /// Of how many partitions each will be the preferred leader.
    first: BTreeMap<BrokerId, usize>,
    moving: BTreeSet<TopicPartition>,
    stays: Vec<(TopicPartition, String)>,
}

impl<'a> Layout<'a> {
    fn new(state: &'a ClusterState) -> Self {
        let able = state.brokers().filter(|broker| !broker.fenced && !broker.draining);
        let mut layout = Self {
            state,
            able: able.map(|broker| broker.id).collect(),
            wanted: BTreeMap::new(),
            load: BTreeMap::new(),
            first: BTreeMap::new(),
            moving: BTreeSet::new(),
            stays: Vec::new(),
        };
        let open =
            |at: &TopicPartition| state.topic(at.topic).is_some_and(|topic| topic.state == TopicState::Open);
        for (at, entry) in state.partitions().filter(|(at, entry)| open(at) && entry.is_open()) {
            if entry.moving.is_some() {
                layout.moving.insert(at);
            }
            layout.want(at, entry.replicas_wanted());
        }
        layout
    }

    /// The partition is to be on these.
    fn want(&mut self, at: TopicPartition, replicas: Vec<BrokerId>) {
        if let Some(former) = self.wanted.remove(&at) {
            for broker in &former {
                *self.load.entry(*broker).or_default() -= 1;
            }
            if let Some(first) = former.first() {
                *self.first.entry(*first).or_default() -= 1;
            }
        }
        for broker in &replicas {
            *self.load.entry(*broker).or_default() += 1;
        }
        if let Some(first) = replicas.first() {
            *self.first.entry(*first).or_default() += 1;
        }
        self.wanted.insert(at, replicas);
    }

    fn stay(&mut self, at: TopicPartition, why: &str) {
        self.stays.push((at, why.to_owned()));
    }

    fn places_of(&self, broker: BrokerId) -> Vec<TopicPartition> {
        self.wanted.iter().filter(|(_, replicas)| replicas.contains(&broker)).map(|(at, _)| *at).collect()
    }

    fn load(&self, broker: BrokerId) -> usize {
        self.load.get(&broker).copied().unwrap_or_default()
    }

    fn first(&self, broker: BrokerId) -> usize {
        self.first.get(&broker).copied().unwrap_or_default()
    }

    fn rack(&self, broker: BrokerId) -> Option<&str> {
        self.state.broker(broker)?.rack.as_deref()
    }

    /// Whether another of `replicas` shares the broker's rack.
    fn shares_rack(&self, broker: BrokerId, replicas: &[BrokerId]) -> bool {
        let Some(rack) = self.rack(broker) else { return false };
        replicas.iter().any(|&other| other != broker && self.rack(other) == Some(rack))
    }

    /// The best new home beside `others`.
    fn best(&self, others: &[BrokerId]) -> Option<BrokerId> {
        let free = self.able.iter().copied().filter(|broker| !others.contains(broker));
        free.min_by_key(|&broker| (self.shares_rack(broker, others), self.load(broker), broker))
    }

    /// Somebody else takes the broker's place in the partition.
    fn replace(&mut self, at: TopicPartition, broker: BrokerId) -> bool {
        let replicas = self.wanted[&at].clone();
        let others: Vec<BrokerId> = replicas.iter().copied().filter(|&it| it != broker).collect();
        // The one that leaves takes no part in the choice, and is not chosen again.
        let home = self.able.iter().copied().filter(|it| !replicas.contains(it));
        let home = home.min_by_key(|&it| (self.shares_rack(it, &others), self.load(it), it));
        let Some(home) = home else { return false };
        let swapped = replicas.iter().map(|&it| if it == broker { home } else { it }).collect();
        self.want(at, swapped);
        true
    }

    fn add(&mut self, at: TopicPartition) -> bool {
        let mut replicas = self.wanted[&at].clone();
        let Some(home) = self.best(&replicas) else { return false };
        replicas.push(home);
        self.want(at, replicas);
        true
    }

    /// Takes away the replica that is missed least: not its leader, one that is out of sync rather than in, one on a
    /// broker that is away rather than up, of the fullest broker.
    fn drop_one(&mut self, at: TopicPartition) {
        let mut replicas = self.wanted[&at].clone();
        let entry = self.state.partition(at);
        let missed = |broker: BrokerId| {
            let leads = entry.is_some_and(|entry| entry.leader == Some(broker));
            let in_sync = entry.is_some_and(|entry| entry.isr.contains(&broker));
            (leads, in_sync, self.able.contains(&broker), std::cmp::Reverse(self.load(broker)))
        };
        let least =
            (0..replicas.len()).min_by_key(|&place| (missed(replicas[place]), std::cmp::Reverse(place)));
        if let Some(place) = least {
            replicas.remove(place);
        }
        self.want(at, replicas);
    }

    /// Moves one replica from the fullest broker to an emptier one, if that makes both more alike.
    fn level_replicas(&mut self) -> bool {
        let mut by_load: Vec<BrokerId> = self.able.iter().copied().collect();
        by_load.sort_by_key(|&broker| (self.load(broker), broker));
        for &full in by_load.iter().rev() {
            for &empty in &by_load {
                if self.load(full) < self.load(empty) + 2 {
                    break;
                }
                if let Some((at, replicas)) = self.swap(full, empty) {
                    self.want(at, replicas);
                    return true;
                }
            }
        }
        false
    }

    /// A partition whose replica on `full` may go to `empty` without sharing a rack that it did not share before.
    fn swap(&self, full: BrokerId, empty: BrokerId) -> Option<(TopicPartition, Vec<BrokerId>)> {
        let movable = self.wanted.iter().filter(|(at, replicas)| {
            let fits = replicas.contains(&full) && !replicas.contains(&empty) && !self.moving.contains(at);
            let others: Vec<BrokerId> = replicas.iter().copied().filter(|&it| it != full).collect();
            fits && (!self.shares_rack(empty, &others) || self.shares_rack(full, &others))
        });
        // One that moves anyway costs nothing more; then one that `full` does not lead.
        let (at, replicas) = movable.min_by_key(|(at, replicas)| {
            let entry = self.state.partition(**at);
            let still = entry.is_some_and(|entry| entry.replicas_wanted() == **replicas);
            (still, replicas.first() == Some(&full))
        })?;
        Some((*at, replicas.iter().map(|&it| if it == full { empty } else { it }).collect()))
    }

    /// Makes another replica of one partition its preferred leader, if that spreads leaders better.
    fn level_leaders(&mut self) -> bool {
        let better = self.wanted.iter().find_map(|(at, replicas)| {
            let first = *replicas.first()?;
            let able = |it: &BrokerId| self.able.contains(it) && !self.moving.contains(at);
            let other = replicas[1..].iter().copied().filter(able).min_by_key(|&it| (self.first(it), it))?;
            (self.first(first) >= self.first(other) + 2).then_some((*at, first, other))
        });
        let Some((at, first, other)) = better else { return false };
        let mut replicas = self.wanted[&at].clone();
        replicas.retain(|&it| it != other);
        replicas.insert(0, other);
        debug_assert_eq!(replicas.get(1), Some(&first), "the former first comes next");
        self.want(at, replicas);
        true
    }

    fn plan(self) -> Plan {
        let changed = |at: &TopicPartition, entry: &PartitionEntry| {
            (entry.replicas_wanted() != self.wanted[at]).then(|| self.wanted[at].clone())
        };
        let moves = self.wanted.keys().filter_map(|&at| {
            let entry = self.state.partition(at)?;
            let to = changed(&at, entry)?;
            Some(Move { at, epoch: entry.epoch, from: entry.replicas_wanted(), to })
        });
        Plan { moves: moves.collect(), stays: self.stays }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
