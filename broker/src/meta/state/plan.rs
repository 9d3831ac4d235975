//! Plans of moves: to empty a broker, to spread what there is, to reach another replication factor.
//!
//! Always true: a plan only proposes; every move of it names live, undrained brokers, each once, as many as the topic
//! wants, and worsens no spread over racks. The same state gives the same plan. A partition that is on its way, or
//! still being made, is left alone.
//!
//! Not here: how many moves go on at once. That is whoever carries the plan out.

use std::collections::{BTreeMap, BTreeSet};

use fidelog_record::types::{BrokerId, TopicId, TopicPartition};

use super::ClusterState;

/// One partition's replicas, before and after; the first is the preferred leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedMove {
    /// Which partition.
    pub partition: TopicPartition,
    /// Its replicas now.
    pub from: Vec<BrokerId>,
    /// Its replicas then.
    pub to: Vec<BrokerId>,
}

/// A plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What moves.
    pub moves: Vec<PlannedMove>,
    /// Partitions whose first replica, as planned, leads not yet but can at once.
    pub leaders: Vec<TopicPartition>,
    /// Partitions for which no broker is left to go to.
    pub stuck: Vec<TopicPartition>,
}

impl ClusterState {
    /// The moves that empty `broker`.
    #[must_use]
    pub fn plan_drain(&self, broker: BrokerId) -> Plan {
        let mut layout = Layout::of(self);
        layout.loads.remove(&broker);
        let held: Vec<TopicPartition> = layout.partitions_on(broker);
        let mut stuck = Vec::new();
        for at in held {
            if !layout.replace(at, broker) {
                stuck.push(at);
            }
        }
        Plan { stuck, ..layout.plan(self) }
    }

    /// The fewest moves found that spread replicas, then preferred leaders, evenly over live, undrained brokers.
    #[must_use]
    pub fn plan_rebalance(&self) -> Plan {
        let mut layout = Layout::of(self);
        layout.even_out_replicas();
        layout.even_out_leaders();
        layout.plan(self)
    }

    /// The moves that give each partition of a topic as many replicas as the topic wants.
    #[must_use]
    pub fn plan_replication_factor(&self, topic: TopicId) -> Plan {
        let wanted = self.topic(topic).map_or(0, |topic| usize::from(topic.replication_factor));
        let mut layout = Layout::of(self);
        let mut stuck = Vec::new();
        for at in layout.replicas.keys().copied().filter(|at| at.topic == topic).collect::<Vec<_>>() {
            while layout.replicas[&at].len() > wanted.max(1) {
                let least = self.least_needed(at, &layout.replicas[&at]);
                layout.drop_replica(at, least);
            }
            while layout.replicas[&at].len() < wanted && layout.add(at) {}
            if layout.replicas[&at].len() < wanted {
                stuck.push(at);
            }
        }
        Plan { stuck, ..layout.plan(self) }
    }

    /// Whom a partition misses least: fenced before live, out of sync before in sync, draining before staying, the
    /// last in order, and the first replica, which is to lead, not before all others.
    fn least_needed(&self, at: TopicPartition, replicas: &[BrokerId]) -> BrokerId {
        let in_sync = |it: BrokerId| self.partition(at).is_some_and(|entry| entry.isr.contains(&it));
        let flag =
            |it: BrokerId, of: fn(&super::BrokerEntry) -> bool| self.broker(it).is_none_or(|it| of(it));
        let cost = |place: usize, it: BrokerId| {
            let (fenced, draining) = (flag(it, |it| it.fenced), flag(it, |it| it.draining));
            (fenced, !in_sync(it), draining, place > 0, place)
        };
        let worst = replicas.iter().enumerate().max_by_key(|(place, it)| cost(*place, **it));
        worst.map(|(_, &it)| it).expect("a partition has a replica")
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    firsts: usize,
    replicas: usize,
}

/// Replicas as planned so far.
struct Layout {
    replicas: BTreeMap<TopicPartition, Vec<BrokerId>>,
    /// Of brokers that may get replicas.
    loads: BTreeMap<BrokerId, Load>,
    racks: BTreeMap<BrokerId, String>,
}

impl Layout {
    fn of(state: &ClusterState) -> Self {
        let able = state.undrained().filter(|broker| !broker.fenced);
        let mut loads: BTreeMap<BrokerId, Load> = able.map(|broker| (broker.id, Load::default())).collect();
        let racks = state.brokers().filter_map(|broker| Some((broker.id, broker.rack.clone()?))).collect();
        let mut replicas = BTreeMap::new();
        for (at, entry) in state.partitions() {
            let wanted = entry.replicas_wanted();
            for (place, broker) in wanted.iter().enumerate() {
                if let Some(load) = loads.get_mut(broker) {
                    load.replicas += 1;
                    load.firsts += usize::from(place == 0);
                }
            }
            if entry.is_open() && entry.moving.is_none() {
                replicas.insert(at, wanted);
            }
        }
        Self { replicas, loads, racks }
    }

    fn partitions_on(&self, broker: BrokerId) -> Vec<TopicPartition> {
        let held = self.replicas.iter().filter(|(_, list)| list.contains(&broker));
        held.map(|(at, _)| *at).collect()
    }

    /// How many of `list` share a rack with one before them.
    fn crowding(&self, list: &[BrokerId]) -> usize {
        let known: Vec<&String> = list.iter().filter_map(|broker| self.racks.get(broker)).collect();
        known.len() - known.iter().collect::<BTreeSet<_>>().len()
    }

    /// Who takes a replica of `list` best, standing at `place`.
    fn best_for(&self, list: &[BrokerId], place: usize) -> Option<BrokerId> {
        let free = self.loads.iter().filter(|(id, _)| !list.contains(id));
        let cost = |id: &BrokerId, load: &Load| {
            let with: Vec<BrokerId> = list.iter().copied().chain([*id]).collect();
            let firsts = if place == 0 { load.firsts } else { 0 };
            (self.crowding(&with), firsts, load.replicas, *id)
        };
        free.min_by_key(|(id, load)| cost(id, load)).map(|(&id, _)| id)
    }

    fn replace(&mut self, at: TopicPartition, broker: BrokerId) -> bool {
        let list = &self.replicas[&at];
        let Some(place) = list.iter().position(|&it| it == broker) else { return false };
        let rest: Vec<BrokerId> = list.iter().copied().filter(|&it| it != broker).collect();
        let Some(next) = self.best_for(&rest, place) else { return false };
        self.put(at, place, next);
        true
    }

    fn add(&mut self, at: TopicPartition) -> bool {
        let list = &self.replicas[&at];
        let Some(next) = self.best_for(list, list.len()) else { return false };
        self.count(next, list.len(), 1);
        self.replicas.entry(at).or_default().push(next);
        true
    }

    fn drop_replica(&mut self, at: TopicPartition, broker: BrokerId) {
        let mut list = self.replicas[&at].clone();
        list.iter().enumerate().for_each(|(place, &it)| self.count(it, place, -1));
        list.retain(|&it| it != broker);
        list.iter().enumerate().for_each(|(place, &it)| self.count(it, place, 1));
        self.replicas.insert(at, list);
    }

    fn put(&mut self, at: TopicPartition, place: usize, broker: BrokerId) {
        let list = self.replicas.entry(at).or_default();
        let former = std::mem::replace(&mut list[place], broker);
        self.count(former, place, -1);
        self.count(broker, place, 1);
    }

    fn swap_first(&mut self, at: TopicPartition, place: usize) {
        let list = self.replicas.entry(at).or_default();
        list.swap(0, place);
        let (now, former) = (list[0], list[place]);
        for (broker, change) in [(now, 1), (former, -1)] {
            if let Some(load) = self.loads.get_mut(&broker) {
                load.firsts = load.firsts.saturating_add_signed(change);
            }
        }
    }

    fn count(&mut self, broker: BrokerId, place: usize, change: isize) {
        if let Some(load) = self.loads.get_mut(&broker) {
            load.replicas = load.replicas.saturating_add_signed(change);
            load.firsts = load.firsts.saturating_add_signed(if place == 0 { change } else { 0 });
        }
    }

    /// From whoever holds most to whoever holds least, until they differ by one or nothing fits any more. Each pass
    /// over a broker's partitions gives away all that it has too much.
    fn even_out_replicas(&mut self) {
        let total: usize = self.loads.values().map(|load| load.replicas).sum();
        let (count, mut progress) = (self.loads.len().max(1), true);
        let (floor, ceiling) = (total / count, total.div_ceil(count));
        while std::mem::take(&mut progress) {
            for giver in self.loads.keys().copied().collect::<Vec<_>>() {
                for at in self.partitions_on(giver) {
                    let held = self.loads[&giver].replicas;
                    let below = self.loads.values().any(|load| load.replicas < floor);
                    if held <= floor || (held <= ceiling && !below) {
                        break;
                    }
                    progress |= self.give(at, giver);
                }
            }
        }
    }

    /// Gives a replica to the least loaded broker that has two fewer at least and makes no rack more crowded.
    fn give(&mut self, at: TopicPartition, giver: BrokerId) -> bool {
        let list = &self.replicas[&at];
        let Some(place) = list.iter().position(|&it| it == giver) else { return false };
        let held = self.loads[&giver].replicas;
        let fits = |id: BrokerId, load: &Load| {
            let mut with = list.clone();
            with[place] = id;
            load.replicas + 2 <= held && !list.contains(&id) && self.crowding(&with) <= self.crowding(list)
        };
        let takers = self.loads.iter().filter(|(id, load)| fits(**id, load));
        let Some(taker) = takers.min_by_key(|(id, load)| (load.replicas, **id)).map(|(&id, _)| id) else {
            return false;
        };
        self.put(at, place, taker);
        true
    }

    /// Swaps first replicas within their partitions, which moves no data.
    fn even_out_leaders(&mut self) {
        let mut progress = true;
        while std::mem::take(&mut progress) {
            for at in self.replicas.keys().copied().collect::<Vec<_>>() {
                let list = &self.replicas[&at];
                let firsts = |id: &BrokerId| self.loads.get(id).map(|load| load.firsts);
                let others = list.iter().enumerate().skip(1);
                let best = others.filter_map(|(place, id)| Some((firsts(id)?, place))).min();
                // A first that may not lead any more counts as overloaded.
                let has = list.first().map(|first| firsts(first).unwrap_or(usize::MAX));
                let better = best.zip(has).filter(|((least, _), most)| least.saturating_add(2) <= *most);
                if let Some(((_, place), _)) = better {
                    self.swap_first(at, place);
                    progress = true;
                }
            }
        }
    }

    fn plan(self, state: &ClusterState) -> Plan {
        let mut plan = Plan::default();
        for (at, to) in self.replicas {
            let Some(entry) = state.partition(at) else { continue };
            let first = to.first().copied();
            let can_lead = first.is_some_and(|first| entry.is_preferable(first, &state.brokers));
            if entry.leader.is_some() && entry.leader != first && can_lead {
                plan.leaders.push(at);
            }
            let from = entry.replicas_wanted();
            if from != to {
                plan.moves.push(PlannedMove { partition: at, from, to });
            }
        }
        plan
    }
}
