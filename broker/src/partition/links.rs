//! The network as partitions see it: streams to followers and to leaders, addressed by number. Floor rpc carries it.

use std::sync::Arc;
use std::task::Waker;

use fidelog_record::types::{BrokerId, LeaderEpoch, Offset, TopicPartition};

use super::shell::Partition;
use crate::replica::message::{FollowerMessage, LeaderMessage};
use crate::replica::{Proposed, StreamId};

/// What a partition asks of the world beyond its own disk. Every call returns at once and may do nothing when the
/// stream is gone: then its partitions hear of that. Calls come under the partition's lock; whom one would wake it
/// returns instead, to be woken when the lock is free.
pub trait Links: Send + Sync {
    /// Says something to a follower.
    fn tell(
        &self,
        stream: StreamId,
        partition: &Partition,
        epoch: LeaderEpoch,
        message: LeaderMessage,
    ) -> Option<Waker>;

    /// Says something to a leader.
    fn reply(
        &self,
        stream: StreamId,
        at: TopicPartition,
        epoch: LeaderEpoch,
        message: FollowerMessage,
    ) -> Option<Waker>;

    /// The stream's sender should ask the partition for its next push.
    fn push_ready(&self, stream: StreamId, partition: &Arc<Partition>) -> Option<Waker>;

    /// The stream's sender should spread the partition's committed end within 5 ms.
    fn committed_ready(&self, stream: StreamId, partition: &Arc<Partition>) -> Option<Waker>;

    /// Sends a change of the in-sync set to the quorum.
    fn propose(&self, at: TopicPartition, epoch: LeaderEpoch, proposed: Proposed);

    /// Tells the quorum that this replica's log takes nothing any more (N11).
    fn replica_failed(&self, at: TopicPartition);

    /// A partition held `before` bytes from leaders that are not synced, and holds `after` now. What is bounded is the
    /// sum; whoever has no streams to hold back need not listen.
    fn held_changed(&self, _before: u64, _after: u64) {}

    /// Reads from the leader of `epoch` what it remembers of producers below `at`, then calls
    /// [`Partition::producers_read`] or [`Partition::producers_not_read`].
    fn read_producers(&self, partition: &Arc<Partition>, epoch: LeaderEpoch, at: Offset);

    /// Reads a follower's tail, then calls [`Partition::tail_copied`] or [`Partition::tail_not_copied`].
    fn read_tail(
        &self,
        partition: &Arc<Partition>,
        from: BrokerId,
        epoch: LeaderEpoch,
        start: Offset,
        end: Offset,
    );
}
