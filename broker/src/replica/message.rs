//! What leader and follower say to each other about one partition. Wire encoding is floor rpc's.

use fidelog_record::PlacedBatch;
use fidelog_record::types::{LeaderEpoch, Offset};

/// From a leader to a follower.
#[derive(Clone, Debug)]
pub enum LeaderMessage {
    /// Take the partition onto this stream and reconcile (N3).
    Begin {
        /// Which beginning this is: the leader's own count, in this epoch. It comes back in what the follower says of where
        /// it stands.
        number: u64,
        /// The leader's log starts here.
        start: Offset,
        /// What it knows to be committed.
        committed_end: Offset,
        /// Epoch of its last batch; 0 when there is none.
        last_epoch: LeaderEpoch,
    },
    /// Answer to [`FollowerMessage::Ask`].
    EpochEnd {
        /// What was asked.
        asked: LeaderEpoch,
        /// The leader's largest epoch at or below it; 0 when there is none.
        epoch: LeaderEpoch,
        /// Where that epoch ends in the leader's log.
        end: Offset,
    },
    /// Batches that follow what was pushed or matched before.
    Push(Push),
    /// What is committed and kept, when there is nothing to push.
    Committed {
        /// The leader's start.
        start: Offset,
        /// The leader's committed end.
        committed_end: Offset,
    },
    /// Has a newer epoch been seen (N18)? Answered only when not.
    Confirm {
        /// The round.
        number: u64,
    },
}

/// Batches for a follower, each checked by it against the one before (N2).
#[derive(Clone, Debug)]
pub struct Push {
    /// Epoch of the batch before the first one; 0 when there is none.
    pub previous_epoch: LeaderEpoch,
    /// The first batch's base.
    pub previous_end: Offset,
    /// The leader's start (N15).
    pub start: Offset,
    /// The leader's committed end.
    pub committed_end: Offset,
    /// Contiguous, in order; at least one.
    pub batches: Vec<PlacedBatch>,
}

/// From a follower to its leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowerMessage {
    /// Where did this epoch end in your log (KIP-101, KIP-279)?
    Ask {
        /// The beginning it answers.
        begun: u64,
        /// The follower's last epoch, or the next smaller one on a further round.
        epoch: LeaderEpoch,
        /// Where it ends in the follower's log.
        end: Offset,
        /// The follower's largest epoch at or below the leader's last one; 0 when there is none.
        shared_epoch: LeaderEpoch,
        /// Where that ends in the follower's log.
        shared_end: Offset,
    },
    /// The follower's log is a prefix of the leader's; its cut, if any, is synced.
    Matched {
        /// The beginning it answers. What was said of an earlier one may be of a copy that is gone.
        begun: u64,
        /// Its end.
        end: Offset,
        /// What of it is synced.
        durable_end: Offset,
        /// Epoch of its last batch; 0 when there is none.
        last_epoch: LeaderEpoch,
    },
    /// Everything below is synced.
    Report {
        /// The first offset that is not.
        durable_end: Offset,
    },
    /// It cannot follow.
    Refused {
        /// Why.
        cause: RefusalCause,
        /// The same for people.
        message: String,
        /// The newest epoch it has seen.
        epoch: LeaderEpoch,
    },
    /// It has seen no newer epoch.
    Confirmed {
        /// The round that asked.
        number: u64,
    },
}

/// Why a follower cannot follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// It has seen a newer epoch.
    Fenced,
    /// Its metadata does not know this epoch yet.
    UnknownEpoch,
    /// A push does not follow what it has.
    Gap,
    /// Its log is stopped, damaged or gone.
    Stopped,
    /// No room on its disk.
    DiskFull,
    /// It would have to cut below its committed end (N5).
    WouldCutCommitted,
    /// It does not host the partition (yet).
    NotAReplica,
    /// A checksum did not fit what arrived.
    Corrupt,
}
