//! The end of a run: faults are over, everything must become writable, and all replicas the same.

use fidelog_broker::partition::Machine;
use fidelog_record::types::TopicPartition;

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
        if self.stuck().next().is_none() {
            return self.end_well();
        }
        let waited = self.agenda.now().micros_since(self.judge.healing_since);
        if waited < PATIENCE {
            self.agenda.after(LOOK, Event::Look);
            return;
        }
        // A lie is no excuse for what the disk that lied had no part in.
        if let Some(stuck) = self.stuck().find(|stuck| !self.may_be_due_to_a_lie(stuck)) {
            panic!("not well {} s after the last fault: {}", waited / 1_000_000, stuck.told);
        }
        self.tell("void", &[], || {
            let told: Vec<_> = self.stuck().map(|stuck| stuck.told).collect();
            format!("a disk has lied, and it is not well: {}", told.join("\n"))
        });
        let all = self.quorum.state().partitions().map(|(at, _)| at);
        all.filter(|&at| !self.lied_about(|other| other == at)).for_each(|at| self.judge_end(at));
        self.done = true;
    }

    fn end_well(&mut self) {
        self.quorum.state().partitions().for_each(|(at, _)| self.judge_end(at));
        let (stored, unknown, refused) = self.judge.settled.counts();
        self.tell("end", &[stored as u64, unknown as u64, refused as u64], || {
            format!("{stored} batches stored, {unknown} of unknown fate, {refused} refused")
        });
        self.done = true;
    }

    /// Every replica holds what was committed, and nothing that was refused.
    fn judge_end(&self, at: TopicPartition) {
        let Some(history) = self.judge.history.get(&at) else { return };
        self.judge.settled.refused_is_nowhere(history);
        for broker in 0..self.brokers.len() {
            let Some(partition) = self.partition(broker, at) else { continue };
            let positions = partition.inspect(Machine::positions);
            let (batches, _) = held(&partition, at, positions.start, positions.end);
            replicas::are_what_was_committed(broker, at, &batches, history);
        }
    }
}
