//! What a machine wants done. Effects of one step are carried out in order.

use fidelog_log::ProducerTable;
use fidelog_record::PlacedBatch;
use fidelog_record::types::{BrokerId, LeaderEpoch, Offset};

use super::outcome::ProduceAnswer;
use crate::replica::message::{FollowerMessage, LeaderMessage};
use crate::replica::{Proposed, StreamId};

/// One thing to be done. `W` stands for whoever waits for a produce.
#[derive(Debug)]
pub enum Effect<W> {
    /// Hand the batch to the flusher.
    Append(PlacedBatch),
    /// Ask the flusher for room for this many more bytes.
    Secure(u64),
    /// Cut the log, one durable step (DESIGN §5).
    Cut {
        /// The new end.
        to: Offset,
        /// Refused below this.
        committed_end: Offset,
        /// Not refused from here on: an operator permitted it (N5).
        permitted: Option<Offset>,
    },
    /// Read what the leader remembers of producers below `at`, where this log is to begin anew.
    ReadProducers {
        /// The leader's start.
        at: Offset,
        /// Its epoch.
        epoch: LeaderEpoch,
    },
    /// Empty the log and let it begin here, one durable step.
    StartOver {
        /// Its new start and end.
        at: Offset,
        /// What the leader remembers of producers below it: part of the log.
        producers: ProducerTable,
    },
    /// Drop what lies below.
    AdvanceStart(Offset),
    /// The log may note this in its recovery point.
    NoteCommitted(Offset),
    /// Answer a produce.
    Answer(W, ProduceAnswer),
    /// Say something to a follower, on its current stream.
    Tell {
        /// The follower.
        to: BrokerId,
        /// Its stream.
        stream: StreamId,
        /// The leader's epoch.
        epoch: LeaderEpoch,
        /// What.
        message: LeaderMessage,
    },
    /// Say something to the leader, on the stream it spoke on.
    Reply {
        /// The stream.
        stream: StreamId,
        /// The epoch it spoke in.
        epoch: LeaderEpoch,
        /// What.
        message: FollowerMessage,
    },
    /// There is something to push to this follower: `next_push` will have it.
    PushReady {
        /// The follower.
        to: BrokerId,
        /// Its stream.
        stream: StreamId,
    },
    /// This follower should hear of the committed end within 5 ms (N2).
    CommittedReady {
        /// The follower.
        to: BrokerId,
        /// Its stream.
        stream: StreamId,
    },
    /// Send this change to the quorum; the answer is not believed (N7).
    Propose {
        /// The leader's epoch.
        epoch: LeaderEpoch,
        /// The change.
        proposed: Proposed,
    },
    /// Copy what this follower holds beyond our end in the last common epoch (opening after an unclean stop).
    ReadTail {
        /// The follower.
        from: BrokerId,
        /// Our end.
        start: Offset,
        /// Its end in that epoch.
        end: Offset,
        /// The leader's epoch.
        epoch: LeaderEpoch,
    },
    /// All members have answered this round: none of them had seen a newer epoch (N18).
    Confirmed(u64),
    /// The log takes nothing any more: the quorum must hear of it, so that another one leads (N11).
    ReplicaFailed,
    /// What readers may know has changed.
    Publish,
    /// People must hear of this.
    Alarm(String),
}
