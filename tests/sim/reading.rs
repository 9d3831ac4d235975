//! What is read from a log for others: batches that a follower lacks, and the tail that an opening leader copies.

use fidelog_broker::partition::{NextPush, Partition};
use fidelog_broker::replica::StreamId;
use fidelog_record::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};
use fidelog_record::{Batches, PlacedBatch};

use crate::broker::index_of;
use crate::cluster::Sim;
use crate::event::Own;
use crate::streams::PUSH_BYTES;

/// Bytes read at once for a follower that is behind.
const READ_BYTES: usize = 3_000;

impl Sim {
    /// The reader of a stream has what it wanted, as of now.
    pub(crate) fn read_done(&mut self, id: StreamId, at: TopicPartition) {
        let Some(stream) = self.network.streams.get_mut(&id) else { return };
        stream.reading.remove(&at);
        let (from, follower) = (stream.from, stream.incarnate.broker);
        let next = self.step(from, at, |partition| match partition.next_push(follower, id, PUSH_BYTES) {
            NextPush::Read { from, below, epoch } => {
                let batches = read(partition, from, below).unwrap_or_default();
                partition.read_for_push(follower, id, epoch, batches)
            }
            next => next,
        });
        if let Some(NextPush::Send(epoch, message)) = next {
            self.send_to_follower(from, id, at, epoch, message);
        }
        self.push_ready(id, at);
    }

    /// An opening leader wants what a follower holds beyond it.
    pub(crate) fn read_tail(
        &mut self,
        broker: usize,
        at: TopicPartition,
        from: BrokerId,
        epoch: LeaderEpoch,
        (start, end): (Offset, Offset),
    ) {
        let other = index_of(from);
        let cut = self.network.is_cut(broker, other) || self.network.is_cut(other, broker);
        let partition = self.partition(other, at).filter(|_| self.brokers[other].is_up() && !cut);
        let batches = partition.filter(|_| self.healing || !self.percent(10)).and_then(|partition| {
            let seen = partition.inspect(|machine| machine.assignment().map(|it| it.leader_epoch));
            if seen == Some(epoch) { read(&partition, start, end) } else { None }
        });
        let micros = 2 * self.hop();
        self.own_later(broker, micros, Own::Tail { at, from, batches });
    }

    pub(crate) fn tail_read(
        &mut self,
        broker: usize,
        at: TopicPartition,
        from: BrokerId,
        batches: Option<Vec<PlacedBatch>>,
    ) {
        self.tell("tail", &[broker as u64, batches.as_ref().map_or(0, Vec::len) as u64], || {
            let what = batches.as_ref().map_or("nothing".to_owned(), |it| format!("{} batches", it.len()));
            format!("broker {} copied {what} of the tail of broker {from}", broker + 1)
        });
        self.step(broker, at, |partition| match batches {
            Some(batches) => partition.tail_copied(from, batches),
            None => partition.tail_not_copied(from),
        });
    }
}

/// Whole, verified batches of `from..below`, some of them.
fn read(partition: &Partition, from: Offset, below: Offset) -> Option<Vec<PlacedBatch>> {
    let read = partition.view().read(from, READ_BYTES, below).ok()?;
    let batches = Batches::new(read.batches, partition.id());
    batches
        .filter(|it| it.as_ref().map_or(true, |batch| batch.base_offset() >= from))
        .collect::<Result<_, _>>()
        .ok()
}
