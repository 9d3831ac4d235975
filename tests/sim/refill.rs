//! What a leader remembers of producers, on its way to a replica that begins anew where its leader's log begins.

use fidelog_log::ProducerTable;
use fidelog_record::types::{LeaderEpoch, Offset, TopicPartition};

use crate::broker::index_of;
use crate::cluster::Sim;
use crate::event::Own;

impl Sim {
    pub(crate) fn read_producers(
        &mut self,
        broker: usize,
        at: TopicPartition,
        epoch: LeaderEpoch,
        below: Offset,
    ) {
        let leader = self.partition(broker, at).and_then(|partition| {
            partition.inspect(|machine| machine.assignment().and_then(|seen| seen.leader))
        });
        let other = leader.map(index_of).filter(|&other| {
            let cut = self.network.is_cut(broker, other) || self.network.is_cut(other, broker);
            self.brokers[other].is_up() && !cut
        });
        let fails = !self.healing && self.percent(10);
        let leading = other.filter(|_| !fails).and_then(|other| self.partition(other, at));
        let told = leading.and_then(|leading| {
            let bytes = leading.producers_below(below, epoch).ok()?;
            Some(ProducerTable::from_bytes(&bytes, below).expect("what was sent arrives"))
        });
        let micros = 2 * self.hop();
        self.own_later(broker, micros, Own::Producers(at, epoch, below, told));
    }

    pub(crate) fn producers_read(
        &mut self,
        broker: usize,
        at: TopicPartition,
        epoch: LeaderEpoch,
        (below, told): (Offset, Option<ProducerTable>),
    ) {
        self.tell("producers", &[broker as u64, below.0, u64::from(told.is_some())], || {
            let what = if told.is_some() { "read" } else { "could not read" };
            format!("broker {} {what} what its leader remembers of producers below {below}", broker + 1)
        });
        self.step(broker, at, |partition| match told {
            Some(producers) => partition.producers_read(below, epoch, producers),
            None => partition.producers_not_read(below, epoch, "the leader was not reached"),
        });
    }
}
