//! What is not as it should be once nothing goes wrong any more: each thing names what it is about, so that one cause
//! excuses nothing else.

use fidelog_broker::meta::state::PartitionEntry;
use fidelog_broker::partition::{Machine, Partition, Role};
use fidelog_record::types::{BrokerId, PartitionIndex, TopicId, TopicPartition};

use crate::broker::{Broker, index_of};
use crate::cluster::Sim;

/// One thing that is not well yet.
#[derive(Debug)]
pub(crate) struct Stuck {
    topic: TopicId,
    /// None: all of the topic.
    partition: Option<PartitionIndex>,
    /// For people.
    pub(crate) told: String,
}

impl Stuck {
    fn partition(at: TopicPartition, told: String) -> Self {
        Self { topic: at.topic, partition: Some(at.partition), told }
    }

    fn topic(topic: TopicId, told: String) -> Self {
        Self { topic, partition: None, told }
    }

    fn concerns(&self, at: TopicPartition) -> bool {
        self.topic == at.topic && self.partition.is_none_or(|partition| partition == at.partition)
    }
}

impl Sim {
    /// All that is stuck; nothing when all is well.
    pub(crate) fn stuck(&self) -> impl Iterator<Item = Stuck> {
        let state = self.quorum.state();
        let unsettled = self.clients.unsettled().map(|(at, told)| {
            Stuck::partition(at, format!("not everything is writable: {told}\n{}", self.tell_roles()))
        });
        let deleted = state.tombstones().map(|tombstone| {
            Stuck::topic(tombstone.topic, format!("a deleted topic is still somewhere: {tombstone:?}"))
        });
        let partitions = state
            .partitions()
            .filter_map(|(at, entry)| Some(Stuck::partition(at, self.what_is_wrong(at, entry)?)));
        let unserved = self
            .group
            .unserved_since(self.judge.healing_since)
            .map(|topic| Stuck::topic(topic, format!("positions are not served\n{}", self.tell_roles())));
        let behind = self.clients.behind(|at| self.judge.committed_end(at));
        let behind = behind.map(|at| Stuck::partition(at, format!("{at}: its reader is behind")));
        unsettled.chain(deleted).chain(partitions).chain(unserved).chain(behind)
    }

    /// Whether this is about a partition of which a replica lay on a disk that lied, then or later. What such a disk
    /// said is synced and is not, producers among it, nobody can give back.
    pub(crate) fn may_be_due_to_a_lie(&self, stuck: &Stuck) -> bool {
        self.lied_about(|at| stuck.concerns(at))
    }

    /// Whether a replica of what this names lay on a disk from when that first lied on.
    pub(crate) fn lied_about(&self, concerns: impl Fn(TopicPartition) -> bool) -> bool {
        let mut liars = self.brokers.iter().filter_map(|broker| Some((broker.id, broker.lied_since?)));
        liars.any(|(liar, since)| {
            let mut states = self.quorum.states_from(since);
            states.any(|state| state.partitions().any(|(at, entry)| concerns(at) && entry.has_replica(liar)))
        })
    }

    fn what_is_wrong(&self, at: TopicPartition, entry: &PartitionEntry) -> Option<String> {
        let end = self.judge.committed_end(at);
        if entry.moving.is_some() {
            return Some(format!("{at}: a move does not end: {entry:?}"));
        }
        if let Some(other) = self.holds_too_much(at, entry) {
            return Some(format!("{at} has moved away from broker {other}, which still holds it"));
        }
        if entry.isr.len() < entry.replicas.len() {
            return Some(format!("{at}: not all are in sync: {entry:?}\n{}", self.tell_roles()));
        }
        for replica in &entry.replicas {
            let broker = index_of(replica.broker);
            let Some(partition) = self.partition(broker, at) else {
                return Some(format!("{at} is not hosted by broker {}", broker + 1));
            };
            if partition.view().is_damaged() {
                let damage = partition.view().damage();
                return Some(format!("{at}: broker {} is damaged: {damage:?}", broker + 1));
            }
            let positions = partition.inspect(Machine::positions);
            if positions.committed_end != end || positions.end != end {
                return Some(format!("{at}: broker {} is at {positions:?}, {end} is committed", broker + 1));
            }
        }
        None
    }

    /// A broker that holds this and is no replica any more.
    fn holds_too_much(&self, at: TopicPartition, entry: &PartitionEntry) -> Option<BrokerId> {
        let left = self.brokers.iter().filter(|broker| !entry.has_replica(broker.id));
        let holds = |broker: &&Broker| {
            broker.life.as_ref().is_some_and(|life| life.partitions.contains_key(&at) || life.home.holds(at))
        };
        left.filter(holds).map(|broker| broker.id).next()
    }

    fn tell_roles(&self) -> String {
        let mut text = String::new();
        for broker in &self.brokers {
            let Some(life) = &broker.life else {
                text += &format!("broker {} is down\n", broker.id);
                continue;
            };
            for (at, partition) in &life.partitions {
                text += &format!("broker {}: {at}: {}\n", broker.id, tell_role(partition));
            }
        }
        text
    }
}

fn tell_role(partition: &Partition) -> String {
    partition.inspect(|machine| {
        let role = match machine.role() {
            Role::Leader(leading) => {
                let open = leading.is_open();
                format!("leads, epoch {}, open {open}, {:?}", leading.epoch, leading.in_sync)
            }
            other => format!("{other:?}"),
        };
        format!("{:?} {role}", machine.positions())
    })
}
