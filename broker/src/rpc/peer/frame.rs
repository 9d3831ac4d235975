//! The outgoing stream itself: builds one frame at a time from what its outbox and the partitions have.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use fidelog_proto::internal::v1 as wire;
use fidelog_record::types::Offset;
use futures::Stream;
use tokio::time::{Instant, Sleep};

use super::codec;
use super::links::PeerLinks;
use super::outbox::{Outbox, Taken};
use crate::partition::{NextPush, Partition};

/// About how much one frame carries; a single batch may be larger.
const FRAME_BYTES: u64 = 1 << 20;
/// A follower that is further behind than this is sent to the catch-up stream.
const LIVE_DISTANCE_BYTES: u64 = 4 << 20;
/// So are all but this many that are behind what memory holds at all.
const LIVE_READING_MAX: usize = 16;

/// The request stream of one outgoing call.
pub(super) struct Frames {
    outbox: Arc<Outbox>,
    links: Arc<PeerLinks>,
    alarm: Pin<Box<Sleep>>,
    /// Something read from the log has waited for a frame of pushes.
    read_is_next: bool,
}

impl Frames {
    pub(super) fn new(outbox: Arc<Outbox>, links: Arc<PeerLinks>) -> Self {
        let alarm = Box::pin(tokio::time::sleep_until(Instant::now()));
        Self { outbox, links, alarm, read_is_next: false }
    }

    /// A frame carries pushes from memory or what was read from the log; where both wait they take turns, so that a
    /// push waits for one read at most (N2).
    fn build(&mut self, mut taken: Taken) -> Option<wire::LeaderFrame> {
        let hello = taken.hello.take();
        let committed = std::mem::take(&mut taken.committed);
        let mut messages = Vec::new();
        let mut bytes = 0;
        while bytes < FRAME_BYTES
            && let Some(message) = taken.control.pop_front()
        {
            bytes += pushed_bytes(&message);
            messages.push(message);
        }
        if taken.ready.is_empty() || self.read_is_next {
            self.read_is_next = false;
            if let Some((partition, message)) = taken.read.pop_front() {
                messages.push(message);
                self.outbox.read_sent(partition);
            }
        } else {
            self.read_is_next = !taken.read.is_empty();
            self.push(&mut taken, bytes, &mut messages);
        }
        self.outbox.put_back(taken);
        for partition in committed {
            if let Some((epoch, message)) = partition.next_committed(self.outbox.to, self.outbox.stream) {
                messages.push(codec::encode_leader(partition.topic_bytes(), partition.id(), epoch, message));
            }
        }
        (hello.is_some() || !messages.is_empty()).then_some(wire::LeaderFrame { hello, messages })
    }

    fn push(&self, taken: &mut Taken, mut bytes: u64, messages: &mut Vec<wire::LeaderMessage>) {
        while bytes < FRAME_BYTES
            && let Some(partition) = taken.ready.pop_front()
        {
            if self.outbox.lane == wire::Lane::CatchUp && self.has_caught_up(&partition) {
                continue;
            }
            match partition.next_push(self.outbox.to, self.outbox.stream, FRAME_BYTES - bytes) {
                NextPush::Nothing => {}
                NextPush::Send(epoch, message) => {
                    let message =
                        codec::encode_leader(partition.topic_bytes(), partition.id(), epoch, message);
                    bytes += pushed_bytes(&message);
                    messages.push(message);
                    // It may have more; asking costs a lock, waiting for the next report a round trip.
                    taken.ready.push_back(partition);
                }
                NextPush::Read { from, below, .. } => self.want_read(partition, from, below),
            }
        }
    }

    /// On the catch-up stream: whether the follower is near enough for the live one, and was sent there.
    fn has_caught_up(&self, partition: &Arc<Partition>) -> bool {
        let Some((next, end)) = partition.inspect(|machine| machine.push_range(self.outbox.to)) else {
            return false;
        };
        partition.view().bytes_between(next, end) <= LIVE_DISTANCE_BYTES / 4
            && self.links.move_to_live(partition, self.outbox.to, LIVE_READING_MAX / 2)
    }

    /// The follower is behind what memory holds: far behind, or one of many, it catches up on the stream for that.
    fn want_read(&self, partition: Arc<Partition>, from: Offset, below: Offset) {
        if self.outbox.lane == wire::Lane::Live
            && (self.outbox.reading_count() >= LIVE_READING_MAX
                || partition.view().bytes_between(from, below) > LIVE_DISTANCE_BYTES)
            && self.links.move_to_catch_up(&partition, self.outbox.to)
        {
            return;
        }
        self.outbox.want_read(partition);
    }
}

fn pushed_bytes(message: &wire::LeaderMessage) -> u64 {
    match &message.event {
        Some(wire::leader_message::Event::Push(push)) => {
            push.batches.iter().map(|batch| (batch.head.len() + batch.body.len()) as u64).sum()
        }
        _ => 64,
    }
}

impl Stream for Frames {
    type Item = wire::LeaderFrame;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.outbox.take(context.waker()) {
                Ok(taken) if taken.closed => return Poll::Ready(None),
                Ok(taken) => {
                    if let Some(frame) = self.build(taken) {
                        return Poll::Ready(Some(frame));
                    }
                }
                Err(None) => return Poll::Pending,
                Err(Some(due)) => {
                    self.alarm.as_mut().reset(due);
                    if self.alarm.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}
