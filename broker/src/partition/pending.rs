//! Batches that were placed and are not yet committed, and whoever waits for them.

use std::collections::VecDeque;

use fidelog_log::FlushTiming;
use fidelog_log::env::Moment;
use fidelog_record::types::Offset;

use super::outcome::Stages;

/// One placed batch.
#[derive(Debug)]
pub(super) struct Pending<W> {
    pub(super) base: Offset,
    pub(super) end: Offset,
    pub(super) bytes: u64,
    pub(super) arrived: Moment,
    pub(super) placed: Moment,
    pub(super) deadline: Moment,
    pub(super) append_time_ms: u64,
    pub(super) timing: Option<FlushTiming>,
    /// `None` once answered (its time was up).
    pub(super) waiter: Option<W>,
}

impl<W> Pending<W> {
    /// The four stages, which add up to `committed - arrived`.
    pub(super) fn stages(&self, committed: Moment) -> Stages {
        let timing =
            self.timing.unwrap_or(FlushTiming { taken: committed, written: committed, synced: committed });
        Stages {
            queue_us: self.placed.micros_since(self.arrived),
            append_us: timing.written.micros_since(self.placed),
            sync_us: timing.synced.micros_since(timing.written),
            replication_us: committed.micros_since(timing.synced),
        }
    }
}

/// A resend that waits for the original (N17).
#[derive(Debug)]
pub(super) struct Joined<W> {
    pub(super) base: Offset,
    pub(super) end: Offset,
    pub(super) arrived: Moment,
    pub(super) deadline: Moment,
    /// Older than the window: answered without an offset.
    pub(super) already_stored: bool,
    pub(super) waiter: W,
}

/// All that waits, in offset order.
#[derive(Debug)]
pub(super) struct Waiting<W> {
    placed: VecDeque<Pending<W>>,
    /// How many at the front have their timing.
    timed_count: usize,
    joined: Vec<Joined<W>>,
    bytes: u64,
}

impl<W> Default for Waiting<W> {
    fn default() -> Self {
        Self { placed: VecDeque::new(), timed_count: 0, joined: Vec::new(), bytes: 0 }
    }
}

impl<W> Waiting<W> {
    /// Bytes placed and not committed.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Nobody, and nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.placed.is_empty() && self.joined.is_empty()
    }

    pub(super) fn push(&mut self, pending: Pending<W>) {
        if let Some(last) = self.placed.back() {
            assert_eq!(last.end, pending.base, "a placed batch leaves a hole");
        }
        self.bytes += pending.bytes;
        self.placed.push_back(pending);
    }

    pub(super) fn join(&mut self, joined: Joined<W>) {
        self.joined.push(joined);
    }

    /// A flush covered everything below `durable_end`.
    pub(super) fn flushed(&mut self, durable_end: Offset, timing: FlushTiming) {
        while let Some(pending) = self.placed.get_mut(self.timed_count)
            && pending.end <= durable_end
        {
            pending.timing = Some(timing);
            self.timed_count += 1;
        }
    }

    /// The next batch that lies below `committed_end`.
    pub(super) fn pop_committed(&mut self, committed_end: Offset) -> Option<Pending<W>> {
        if self.placed.front()?.end > committed_end {
            return None;
        }
        let pending = self.placed.pop_front()?;
        self.timed_count = self.timed_count.saturating_sub(1);
        self.bytes -= pending.bytes;
        Some(pending)
    }

    /// Resends whose original lies below `committed_end`.
    pub(super) fn take_joined(&mut self, committed_end: Offset) -> Vec<Joined<W>> {
        if self.joined.is_empty() {
            return Vec::new();
        }
        self.joined.extract_if(.., |joined| joined.end <= committed_end).collect()
    }

    /// Waiters whose time is up; their batches go on.
    pub(super) fn take_expired(&mut self, now: Moment) -> Vec<W> {
        let mut expired: Vec<W> = self
            .placed
            .iter_mut()
            .filter(|pending| pending.waiter.is_some() && pending.deadline <= now)
            .filter_map(|pending| pending.waiter.take())
            .collect();
        expired
            .extend(self.joined.extract_if(.., |joined| joined.deadline <= now).map(|joined| joined.waiter));
        expired
    }

    /// Everyone, when nothing will be committed any more under this epoch.
    pub(super) fn take_all(&mut self) -> Vec<W> {
        let mut all: Vec<W> = self.placed.drain(..).filter_map(|pending| pending.waiter).collect();
        all.extend(self.joined.drain(..).map(|joined| joined.waiter));
        self.timed_count = 0;
        self.bytes = 0;
        all
    }
}
