//! The end of a run: faults are over, everything must become writable, and all replicas the same.

use fidelog_broker::meta::state::PartitionEntry;
use fidelog_broker::partition::{Machine, Partition, Role};
use fidelog_record::types::{BrokerId, TopicPartition};

use crate::broker::Broker;
use crate::cluster::Sim;
use crate::event::Event;
use crate::judge::held;
use crate::properties::replicas;

/// How long it may take until all is well, microseconds.
const PATIENCE: u64 = 60_000_000;
/// Between two looks.
const LOOK: u64 = 200_000;

impl Sim {
    /// Whoever runs is left running; what is broken is mended; whoever is down is started.
    pub(crate) fn heal(&mut self) {
        self.tell("heal", &[], || "faults are over".to_owned());
        self.healing = true;
        self.clients.producing = false;
        if std::mem::take(&mut self.quorum.away) {
            self.move_controller();
        }
        self.network.mend_all();
        for broker in 0..self.brokers.len() {
            self.end_lie(broker);
            self.mend_disk(broker);
            self.hurry(broker);
            let machine = &mut self.brokers[broker];
            if let Some(life) = machine.life.as_ref().map(|life| life.number) {
                self.resume(broker, life);
            }
            self.agenda.after(300_000, Event::Start(broker));
        }
        self.free_held();
        for lane in 0..self.clients.lanes.len() {
            self.new_batch(lane);
        }
        self.judge.healing_since = self.agenda.now();
        self.agenda.after(LOOK, Event::Look);
    }

    pub(crate) fn look(&mut self) {
        match self.what_is_wrong() {
            None => self.end_well(),
            Some(wrong) => {
                let since = self.judge.healing_since;
                let waited = self.agenda.now().micros_since(since);
                if waited >= PATIENCE && self.brokers.iter().any(|machine| machine.has_lied) {
                    // What it was told is synced and is not, producers among it, nobody can give back.
                    self.tell("void", &[], || format!("a disk has lied, and it is not well: {wrong}"));
                    self.done = true;
                    return;
                }
                assert!(waited < PATIENCE, "not well {} s after the last fault: {wrong}", waited / 1_000_000);
                self.agenda.after(LOOK, Event::Look);
            }
        }
    }

    fn what_is_wrong(&self) -> Option<String> {
        let state = self.quorum.state();
        if !self.clients.are_settled() {
            return Some(format!(
                "not everything is writable: {}\n{}",
                self.clients.tell(),
                self.tell_roles()
            ));
        }
        if let Some(tombstone) = state.tombstones().next() {
            return Some(format!("a deleted topic is still somewhere: {tombstone:?}"));
        }
        for (at, entry) in state.partitions() {
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
                let broker = crate::broker::index_of(replica.broker);
                let Some(partition) = self.partition(broker, at) else {
                    return Some(format!("{at} is not hosted by broker {}", broker + 1));
                };
                if partition.view().is_damaged() {
                    let damage = partition.view().damage();
                    return Some(format!("{at}: broker {} is damaged: {damage:?}", broker + 1));
                }
                let positions = partition.inspect(Machine::positions);
                if positions.committed_end != end || positions.end != end {
                    return Some(format!(
                        "{at}: broker {} is at {positions:?}, {end} is committed",
                        broker + 1
                    ));
                }
            }
        }
        if !self.group.is_served_since(self.judge.healing_since) {
            return Some(format!("positions are not served\n{}", self.tell_roles()));
        }
        let read = self.clients.have_read(|at| self.judge.committed_end(at));
        (!read).then(|| "readers are behind".to_owned())
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
        let tell = |partition: &Partition| {
            partition.inspect(|machine| {
                let role = match machine.role() {
                    Role::Leader(leading) => {
                        format!(
                            "leads, epoch {}, open {}, {:?}",
                            leading.epoch,
                            leading.is_open(),
                            leading.in_sync
                        )
                    }
                    other => format!("{other:?}"),
                };
                format!("{:?} {role}", machine.positions())
            })
        };
        let mut text = String::new();
        for broker in &self.brokers {
            let Some(life) = &broker.life else {
                text += &format!("broker {} is down\n", broker.id);
                continue;
            };
            for (at, partition) in &life.partitions {
                text += &format!("broker {}: {at}: {}\n", broker.id, tell(partition));
            }
        }
        text
    }

    fn end_well(&mut self) {
        let all: Vec<TopicPartition> = self.quorum.state().partitions().map(|(at, _)| at).collect();
        for at in all {
            let Some(history) = self.judge.history.get(&at) else { continue };
            self.judge.settled.refused_is_nowhere(history);
            for broker in 0..self.brokers.len() {
                let Some(partition) = self.partition(broker, at) else { continue };
                let positions = partition.inspect(Machine::positions);
                let (batches, _) = held(&partition, at, positions.start, positions.end);
                replicas::are_what_was_committed(broker, at, &batches, history);
            }
        }
        let (stored, unknown, refused) = self.judge.settled.counts();
        self.tell("end", &[stored as u64, unknown as u64, refused as u64], || {
            format!("{stored} batches stored, {unknown} of unknown fate, {refused} refused")
        });
        self.done = true;
    }
}
