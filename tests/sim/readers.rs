//! Readers: each follows one partition, and asks whom it takes for the leader.

use fidelog_broker::partition::{ReadAnswer, ReadRefusal};
use fidelog_record::types::{Offset, TopicPartition};

use crate::cluster::Sim;
use crate::event::Event;

/// One reader.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) at: TopicPartition,
    pub(crate) position: Offset,
    pub(crate) leader: usize,
    pub(crate) closed: bool,
}

impl Sim {
    /// A reader asks whom it takes for the leader for what follows.
    pub(crate) fn read(&mut self, reader: usize) {
        if self.clients.readers[reader].closed {
            return;
        }
        let micros = 20_000 + self.below(100_000);
        self.agenda.after(micros, Event::Read(reader));
        let Reader { at, position, leader, .. } = self.clients.readers[reader];
        let brokers = self.brokers.len() as u64;
        let other = usize::try_from(self.below(brokers)).expect("few brokers");
        if !self.brokers[leader].is_up() {
            self.clients.readers[reader].leader = other;
            return;
        }
        let Some(answer) = self.step(leader, at, |partition| partition.read(position, 2_000)) else {
            self.clients.readers[reader].leader = other;
            return;
        };
        match answer {
            Ok(ReadAnswer::Batches { bytes, next }) => {
                self.judge.read(at, position, &bytes, next);
                self.clients.readers[reader].position = next;
            }
            Ok(ReadAnswer::Nothing) | Err(ReadRefusal::NotYet { .. }) => {}
            Err(ReadRefusal::NotLeader) => self.clients.readers[reader].leader = other,
            Err(ReadRefusal::OutOfRange { start, committed_end }) => {
                self.judge.out_of_range(at, position, start, committed_end);
                self.clients.readers[reader].position = start;
            }
            // It is mended, or another leads.
            Err(ReadRefusal::DataLoss(_) | ReadRefusal::Disk(_)) => {}
        }
    }
}
