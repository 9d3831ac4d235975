//! The outgoing stream itself: builds one frame at a time from what its outbox and the partitions have.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use fidelog_log::env::Clock;
use fidelog_proto::internal::v1 as wire;
use fidelog_record::types::{LeaderEpoch, Offset};
use fidelog_record::{Batches, PlacedBatch};
use futures::Stream;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};
use tracing::warn;

use super::codec;
use super::links::PeerLinks;
use super::outbox::{Outbox, Taken};
use crate::partition::{NextPush, Partition};

/// About how much one frame carries; a single batch may be larger.
const FRAME_BYTES: u64 = 1 << 20;
/// Read at once for a follower that is behind.
const READ_BYTES: usize = 4 << 20;
/// A follower that is further behind than this is sent to the catch-up stream.
const LIVE_DISTANCE_BYTES: u64 = 16 << 20;

/// The request stream of one outgoing call.
pub(super) struct Frames {
    outbox: Arc<Outbox>,
    links: Arc<PeerLinks>,
    runtime: Handle,
    clock: Arc<dyn Clock>,
    catch_up_bytes_per_s: u64,
    alarm: Pin<Box<Sleep>>,
}

impl Frames {
    pub(super) fn new(
        outbox: Arc<Outbox>,
        links: Arc<PeerLinks>,
        clock: Arc<dyn Clock>,
        catch_up_bytes_per_s: u64,
    ) -> Self {
        let alarm = Box::pin(tokio::time::sleep_until(Instant::now()));
        Self { outbox, links, runtime: Handle::current(), clock, catch_up_bytes_per_s, alarm }
    }

    fn build(&self, taken: Taken) -> Option<wire::LeaderFrame> {
        let Taken { hello, mut control, mut ready, committed, .. } = taken;
        let mut messages = Vec::new();
        let mut bytes = 0;
        while bytes < FRAME_BYTES
            && let Some(message) = control.pop_front()
        {
            bytes += pushed_bytes(&message);
            messages.push(message);
        }
        while bytes < FRAME_BYTES
            && let Some(partition) = ready.pop_front()
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
                    ready.push_back(partition);
                }
                NextPush::Read { from, below, epoch } => self.read(&partition, from, below, epoch),
            }
        }
        if !control.is_empty() || !ready.is_empty() {
            self.outbox.put_back(control, ready);
        }
        for partition in committed {
            if let Some((epoch, message)) = partition.next_committed(self.outbox.to, self.outbox.stream) {
                messages.push(codec::encode_leader(partition.topic_bytes(), partition.id(), epoch, message));
            }
        }
        (hello.is_some() || !messages.is_empty()).then_some(wire::LeaderFrame { hello, messages })
    }

    /// On the catch-up stream: whether the follower is near enough for the live one, and was sent there.
    fn has_caught_up(&self, partition: &Arc<Partition>) -> bool {
        let Some((next, end)) = partition.inspect(|machine| machine.push_range(self.outbox.to)) else {
            return false;
        };
        partition.view().bytes_between(next, end) <= LIVE_DISTANCE_BYTES / 4
            && self.links.move_to_live(partition, self.outbox.to)
    }

    /// Reads the log on a blocking thread for a follower that is behind what memory holds.
    fn read(&self, partition: &Arc<Partition>, from: Offset, below: Offset, epoch: LeaderEpoch) {
        let catching_up = self.outbox.lane == wire::Lane::CatchUp;
        let distance = partition.view().bytes_between(from, below);
        if !catching_up
            && distance > LIVE_DISTANCE_BYTES
            && self.links.move_to_catch_up(partition, self.outbox.to)
        {
            return;
        }
        if !self.outbox.begin_reading(partition.id()) {
            return;
        }
        let (outbox, partition) = (Arc::clone(&self.outbox), Arc::clone(partition));
        let pace = catching_up.then_some(self.catch_up_bytes_per_s);
        let clock = Arc::clone(&self.clock);
        self.runtime.spawn(async move {
            let began = clock.now();
            let reader = Arc::clone(&partition);
            // Stopping here is safe: the follower's position moves only in `read_for_push`.
            let read = tokio::task::spawn_blocking(move || read_batches(&reader, from, below)).await;
            let message = match read {
                Ok(Ok(batches)) => {
                    let bytes: usize = batches.iter().map(PlacedBatch::length).sum();
                    if let Some(bytes_per_s) = pace {
                        let due = Duration::from_secs_f64(bytes as f64 / bytes_per_s.max(1) as f64);
                        tokio::time::sleep(due.saturating_sub(clock.now().since(began))).await;
                    }
                    match partition.read_for_push(outbox.to, outbox.stream, epoch, batches) {
                        NextPush::Send(epoch, message) => {
                            Some(codec::encode_leader(partition.topic_bytes(), partition.id(), epoch, message))
                        }
                        NextPush::Nothing | NextPush::Read { .. } => None,
                    }
                }
                Ok(Err(why)) => {
                    warn!(partition = %partition.id(), follower = %outbox.to, "cannot read for a follower: {why}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    None
                }
                Err(panicked) => {
                    warn!(partition = %partition.id(), "reading for a follower ended: {panicked}");
                    None
                }
            };
            outbox.end_reading(&partition, message);
        });
    }
}

/// Whole, verified batches from `from` on.
pub(super) fn read_batches(
    partition: &Partition,
    from: Offset,
    below: Offset,
) -> Result<Vec<PlacedBatch>, String> {
    let read = partition.view().read(from, READ_BYTES, below).map_err(|error| error.to_string())?;
    Batches::new(read.batches, partition.id())
        .filter(|batch| batch.as_ref().map_or(true, |batch| batch.base_offset() >= from))
        .collect::<Result<_, _>>()
        .map_err(|misfit| misfit.to_string())
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
