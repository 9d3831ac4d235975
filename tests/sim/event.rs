//! What can happen.

use fidelog_broker::group::Testimony;
use fidelog_broker::meta::controller::heartbeat::Heartbeat;
use fidelog_broker::meta::quorum::{Accepted, ProposeError};
use fidelog_broker::meta::state::Proposal;
use fidelog_broker::replica::StreamId;
use fidelog_log::ProducerTable;
use fidelog_log::env::Moment;
use fidelog_record::PlacedBatch;
use fidelog_record::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};
use tokio::sync::oneshot;

use crate::groups::Answer;
use crate::network::{Lane, Way};
use crate::trouble::Trouble;

/// One thing that happens.
#[derive(Debug)]
pub(crate) enum Event {
    /// A machine starts its broker, unless it runs.
    Start(usize),
    /// Something of one process: nothing when that has ended, later when it is paused.
    Of { broker: usize, life: u64, what: Own },
    /// A paused process goes on.
    Resume { broker: usize, life: u64 },
    /// The next parcel of a stream is there.
    Arrive(StreamId, Way),
    /// A stream has been cut off for so long that both sides notice.
    KeepAlive(StreamId),
    /// A proposal reaches the quorum.
    Consider(Box<Asked>),
    /// The controller looks at its sessions.
    Control,
    /// A heartbeat reaches the controller.
    Beat { broker: usize, life: u64, sent: Moment, heartbeat: Box<Heartbeat> },
    /// A producer does something.
    Produce(usize),
    /// An answer reaches the producer.
    Answer { request: u64, answer: Option<fidelog_broker::partition::ProduceAnswer> },
    /// A reader asks.
    Read(usize),
    /// A member of the group does something.
    Member(usize),
    /// An answer reaches it.
    Told { call: u64, answer: Option<Answer> },
    /// Something goes wrong.
    Trouble,
    /// A link is cut, and its streams break.
    Cut { one: usize, other: usize, micros: u64 },
    /// Trouble of this kind is over.
    Over(Trouble),
    /// Faults end: from now on all must become well.
    Heal,
    /// Whether all is well is looked at.
    Look,
}

/// What a process does.
#[derive(Debug)]
pub(crate) enum Own {
    /// It registers, for the first time or once more.
    Register,
    /// The quorum answers a proposal; none: the answer was lost.
    Answered(Purpose, Option<Result<Accepted, ProposeError>>),
    /// Its watch shows something.
    Watch,
    /// Its flushing thread runs.
    Flush,
    /// Its partitions hear that time passes.
    Tick,
    /// It looks after retention, and its generation.
    Tend,
    /// It sends a heartbeat.
    Beat,
    /// A heartbeat sent then was answered.
    BeatAnswered(Moment),
    /// It connects to another broker.
    Connect(usize, Lane),
    /// The other one has answered.
    StreamUp(StreamId),
    /// It looks for something to push.
    Serve(StreamId),
    /// It spreads committed ends.
    Spread(StreamId),
    /// What was read for a follower is there.
    ReadDone(StreamId, TopicPartition),
    /// What its leader remembers of producers below an offset, for a replica that begins anew; none: it could not be
    /// read.
    Producers(TopicPartition, LeaderEpoch, Offset, Option<ProducerTable>),
    /// A follower's tail is there; none: it could not be read.
    Tail { at: TopicPartition, from: BrokerId, batches: Option<Vec<PlacedBatch>> },
    /// It says something to the quorum again, until that is answered.
    Report(u64),
    /// It tries again to open what could not be opened.
    OpenAgain,
    /// It tries again to delete.
    Remove(fidelog_record::types::TopicId),
    /// A call on the group's positions reaches it.
    Call(u64),
    /// What it waited for has passed.
    Paused(oneshot::Sender<()>),
    /// The quorum testifies who leads.
    Testified(oneshot::Sender<Testimony>, Testimony),
    /// It deletes a replica that moved away.
    Leave(TopicPartition),
    /// A produce reaches it.
    Request { request: u64, at: TopicPartition, epoch: LeaderEpoch },
    /// It looks after what is wrong with its logs.
    Mend,
    /// It stops cleanly.
    Stop,
    /// It ends, having said why.
    Exit,
}

/// A proposal on its way.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Who asks: a process, or nobody who waits.
    pub(crate) asker: Option<(usize, u64, Purpose)>,
    pub(crate) proposal: Proposal,
}

/// What a process asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Registration,
    /// Said again until it is answered definitely.
    Report(u64),
    /// A change of an in-sync set, whose answer is not believed.
    Isr(TopicPartition),
    /// The answer is not listened to.
    Nothing,
}
