//! What must hold after every step, however the brokers fail.

use std::collections::{BTreeMap, BTreeSet};

use fidelog_record::PlacedBatch;
use fidelog_record::types::{BrokerId, LeaderEpoch, Offset, ProducerId};

use super::cluster::{BROKERS, Broker, index_of};
use super::producers::Producers;
use crate::partition::{Assignment, Machine, ProduceAnswer, Role, Stored};

/// Remembers what was seen, to find contradictions.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// (epoch, offset) names one batch for ever.
    named: BTreeMap<(LeaderEpoch, Offset), PlacedBatch>,
    /// What any replica ever knew to be committed, in order.
    pub(super) committed: Vec<PlacedBatch>,
    next_sequence: BTreeMap<ProducerId, u64>,
    plain: BTreeSet<Vec<u8>>,
    /// Per broker: the committed end its process has shown, and the epoch it was seen to lead, open.
    shown: [Offset; BROKERS],
    opened: [LeaderEpoch; BROKERS],
    /// Refused batches that were found nowhere, at the end.
    pub(super) refused_count: usize,
}

impl Judge {
    pub(super) fn process_started(&mut self, index: usize) {
        self.shown[index] = Offset::ZERO;
        self.opened[index] = LeaderEpoch(0);
    }

    pub(super) fn committed_end(&self) -> Offset {
        self.committed.last().map_or(Offset::ZERO, PlacedBatch::end_offset)
    }

    /// One (epoch, offset) never holds two different batches.
    pub(super) fn placed(&mut self, batch: &PlacedBatch) {
        let name = (batch.leader_epoch(), batch.base_offset());
        let known = self.named.entry(name).or_insert_with(|| batch.clone());
        assert_eq!(known, batch, "two batches are named {name:?}");
    }

    /// A step may have moved a broker's committed end: nothing contradicts what is committed elsewhere, and all of
    /// the in-sync set holds it.
    pub(super) fn committed(&mut self, index: usize, brokers: &[Broker], entry: &Assignment) {
        let Some(machine) = &brokers[index].machine else { return };
        let (known, reached) = (self.shown[index], machine.positions().committed_end);
        assert!(
            reached >= known,
            "broker {}: the committed end went back from {known} to {reached}",
            index + 1
        );
        if reached == known {
            return;
        }
        self.shown[index] = reached;
        let log = &brokers[index].log;
        assert!(log.start() <= self.committed_end().max(reached), "a log starts beyond what is committed");
        for batch in log.read(known.max(log.start()), reached, usize::MAX) {
            self.agree(index, &batch);
        }
        assert!(
            self.committed_end() >= reached,
            "broker {} says {reached} is committed, but holds less: {}",
            index + 1,
            self.committed_end()
        );
        if matches!(machine.role(), Role::Leader(_)) {
            for &member in &entry.isr {
                self.holds(member, brokers, reached);
            }
        }
    }

    fn agree(&mut self, index: usize, batch: &PlacedBatch) {
        let at = self.committed.partition_point(|known| known.base_offset() < batch.base_offset());
        if let Some(known) = self.committed.get(at) {
            assert_eq!(known, batch, "broker {}: another batch was committed there", index + 1);
            return;
        }
        assert_eq!(
            batch.base_offset(),
            self.committed_end(),
            "broker {}: a hole in what is committed",
            index + 1
        );
        let header = batch.header();
        if header.producer.id == ProducerId(0) {
            assert!(
                self.plain.insert(batch.parts().1.to_vec()),
                "a batch sent once was stored twice: {header:?}"
            );
        } else {
            let next = self.next_sequence.entry(header.producer.id).or_default();
            assert_eq!(header.producer.base_sequence.0, *next, "out of order, or twice: {header:?}");
            *next += u64::from(header.record_count);
        }
        self.committed.push(batch.clone());
    }

    /// D1: a member of the in-sync set has synced everything below `end`.
    fn holds(&self, member: BrokerId, brokers: &[Broker], end: Offset) {
        let log = &brokers[index_of(member)].log;
        assert!(
            log.durable_end() >= end,
            "{end} is committed, but broker {member} of the in-sync set has synced only {}",
            log.durable_end()
        );
        self.same_as_committed(member, brokers, end);
    }

    fn same_as_committed(&self, member: BrokerId, brokers: &[Broker], end: Offset) {
        let log = &brokers[index_of(member)].log;
        let held = log.batches();
        let first = held.first().map_or(end, PlacedBatch::base_offset);
        let from = self.committed.partition_point(|batch| batch.base_offset() < first);
        let below = self.committed.partition_point(|batch| batch.end_offset() <= end);
        for (ours, committed) in held.iter().zip(self.committed.get(from..below).unwrap_or_default()) {
            assert_eq!(ours, committed, "broker {member} holds something else than what is committed");
        }
    }

    /// After every step.
    pub(super) fn positions(&mut self, index: usize, brokers: &[Broker], entry: &Assignment) {
        let broker = &brokers[index];
        let Some(machine) = &broker.machine else { return };
        let at = machine.positions();
        assert!(
            at.start <= at.committed_end && at.committed_end <= at.durable_end && at.durable_end <= at.end,
            "broker {}: positions out of order: {at:?}",
            broker.id
        );
        assert_eq!(at.end, broker.log.end(), "broker {}: the machine and its log end differently", broker.id);
        assert!(at.durable_end <= broker.log.durable_end(), "broker {}: believed synced, is not", broker.id);
        self.opened(index, machine, brokers, entry);
    }

    /// Whoever opens the newest epoch holds all that was ever committed.
    fn opened(&mut self, index: usize, machine: &Machine<u64>, brokers: &[Broker], entry: &Assignment) {
        let Role::Leader(leading) = machine.role() else { return };
        if !leading.is_open() || leading.epoch != entry.leader_epoch || self.opened[index] == leading.epoch {
            return;
        }
        self.opened[index] = leading.epoch;
        let end = self.committed_end();
        let id = brokers[index].id;
        let held = brokers[index].log.end();
        assert!(held >= end, "broker {id} leads with {held}; {end} is committed");
        self.same_as_committed(id, brokers, end);
    }

    /// At any moment: whoever is in the in-sync set or eligible holds all that was ever committed, unless its disk lied
    /// (N7, N9).
    pub(super) fn members(&self, members: &[BrokerId], brokers: &[Broker]) {
        let end = self.committed_end();
        for &member in members.iter().filter(|&&id| !brokers[index_of(id)].lossy) {
            let held = brokers[index_of(member)].log.durable_end();
            assert!(held >= end, "broker {member} may lead and holds {held}; {end} is committed");
        }
    }

    /// What a producer is told is true.
    pub(super) fn answered(&self, producers: &Producers, waiter: u64, answer: &ProduceAnswer) {
        let ProduceAnswer::Stored(Stored { base, end, already_stored, .. }) = answer else { return };
        let sent = &producers.sent[producers.waiters[&waiter]];
        let found = match already_stored {
            true => self.committed.iter().find(|batch| *batch.parts().1 == sent.batch.body()),
            false => {
                self.committed.iter().find(|batch| batch.base_offset() == *base && batch.end_offset() == *end)
            }
        };
        let found = found.unwrap_or_else(|| panic!("answered as stored, and not committed: {answer:?}"));
        assert_eq!(*found.parts().1, sent.batch.body(), "another batch is stored at {base}");
    }

    /// At the end: what was refused, and only refused, is nowhere.
    pub(super) fn refused_is_nowhere(&mut self, producers: &Producers) {
        let never =
            |sent: &&super::producers::Sent| !sent.unknown && sent.stored.is_none() && sent.open_count == 0;
        for sent in producers.sent.iter().filter(never).filter(|sent| !producers.is_idempotent(sent.producer))
        {
            self.refused_count += 1;
            let found = self.committed.iter().find(|batch| *batch.parts().1 == sent.batch.body());
            assert!(found.is_none(), "refused, and stored all the same: {found:?}");
        }
    }
}
