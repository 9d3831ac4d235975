//! The network and the clients as one process's partitions see them: what they say is kept until the step is over.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use fidelog_broker::partition::{AnswerSink, Links, Partition, ProduceAnswer};
use fidelog_broker::replica::message::{FollowerMessage, LeaderMessage};
use fidelog_broker::replica::{Proposed, StreamId};
use fidelog_record::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};

/// Something a partition said.
#[derive(Debug)]
pub(crate) enum Said {
    Tell(StreamId, TopicPartition, LeaderEpoch, LeaderMessage),
    Reply(StreamId, TopicPartition, LeaderEpoch, FollowerMessage),
    PushReady(StreamId, TopicPartition),
    CommittedReady(StreamId, TopicPartition),
    Propose(TopicPartition, LeaderEpoch, Proposed),
    Failed,
    ReadProducers { at: TopicPartition, epoch: LeaderEpoch, below: Offset },
    ReadTail { at: TopicPartition, from: BrokerId, epoch: LeaderEpoch, start: Offset, end: Offset },
    Answer(u64, ProduceAnswer),
}

/// What was said and not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<Vec<Said>>);

impl Outbox {
    /// What was said since the last call.
    pub(crate) fn take(&self) -> Vec<Said> {
        std::mem::take(&mut *self.said())
    }

    fn said(&self) -> MutexGuard<'_, Vec<Said>> {
        self.0.lock().expect("nobody panics while holding it")
    }

    fn say(&self, said: Said) -> Option<Waker> {
        self.said().push(said);
        None
    }
}

impl Links for Outbox {
    fn tell(
        &self,
        stream: StreamId,
        partition: &Partition,
        epoch: LeaderEpoch,
        message: LeaderMessage,
    ) -> Option<Waker> {
        self.say(Said::Tell(stream, partition.id(), epoch, message))
    }

    fn reply(
        &self,
        stream: StreamId,
        at: TopicPartition,
        epoch: LeaderEpoch,
        message: FollowerMessage,
    ) -> Option<Waker> {
        self.say(Said::Reply(stream, at, epoch, message))
    }

    fn push_ready(&self, stream: StreamId, partition: &Arc<Partition>) -> Option<Waker> {
        self.say(Said::PushReady(stream, partition.id()))
    }

    fn committed_ready(&self, stream: StreamId, partition: &Arc<Partition>) -> Option<Waker> {
        self.say(Said::CommittedReady(stream, partition.id()))
    }

    fn propose(&self, at: TopicPartition, epoch: LeaderEpoch, proposed: Proposed) {
        self.say(Said::Propose(at, epoch, proposed));
    }

    fn replica_failed(&self, _: TopicPartition) {
        self.say(Said::Failed);
    }

    fn read_producers(&self, partition: &Arc<Partition>, epoch: LeaderEpoch, at: Offset) {
        self.say(Said::ReadProducers { at: partition.id(), epoch, below: at });
    }

    fn read_tail(
        &self,
        partition: &Arc<Partition>,
        from: BrokerId,
        epoch: LeaderEpoch,
        start: Offset,
        end: Offset,
    ) {
        self.say(Said::ReadTail { at: partition.id(), from, epoch, start, end });
    }
}

impl AnswerSink for Outbox {
    fn answer(&self, request_id: u64, answer: ProduceAnswer) -> Option<Waker> {
        self.say(Said::Answer(request_id, answer))
    }
}
