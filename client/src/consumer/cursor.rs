//! Where one partition's reading stands, and what an event means for it. Pure.
//!
//! ```text
//!            subscribe               ended for now, stream over
//!  resting ------------> reading -------------------------------> resting (until a time)
//!                           |
//!                           | everything wanted was read, or it ended for good
//!                           v
//!                         over
//! ```
//!
//! What is always true: `next` moves only when records are handed on, and then to exactly their end, so that a
//! subscription taken up again misses nothing and repeats nothing.

use std::time::Duration;

use fidelog_proto::v1::{FetchResponse, Reason};
use fidelog_record::types::TopicPartition;

use crate::backoff;
use crate::calls::LAG_PATIENCE;
use crate::error::Refusal;

use super::batch::{ConsumedBatch, Unfit};
use super::error::ConsumeError;

/// How often damage in an answer is met by asking again.
const UNFIT_MAX: u32 = 3;

/// What a consumer does when its offset does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenOutOfRange {
    /// Reading of the partition ends with [`ConsumeError::OutOfRange`]: the default.
    #[default]
    Error,
    /// It goes on at the first record still kept; the listener is told.
    Start,
    /// It goes on at the end; the listener is told.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Resting { until_ms: u64 },
    Reading { stream: u64, subscription: u32 },
    Over,
}

/// One partition's reading.
#[derive(Debug)]
pub(crate) struct Cursor {
    at: TopicPartition,
    next: u64,
    end: Option<u64>,
    out_of_range: WhenOutOfRange,
    state: State,
    failures: u32,
    /// Since when nothing came although it was asked for.
    failing_since_ms: Option<u64>,
    unfit: u32,
    /// What was said last, if it was that records are damaged and will be mended.
    damaged: Option<Box<Refusal>>,
}

/// What has to be done after an event.
#[derive(Debug)]
pub(crate) enum Move {
    Nothing,
    Deliver(ConsumedBatch),
    /// The partition's leader is to be looked for again.
    Refresh,
    Fail(Box<ConsumeError>),
    /// The offset did not exist, and the cursor moved as asked.
    Reset {
        from: u64,
        to: u64,
    },
}

impl Cursor {
    pub(crate) fn new(at: TopicPartition, next: u64, end: Option<u64>, out_of_range: WhenOutOfRange) -> Self {
        let over = end.is_some_and(|end| next >= end);
        let state = if over { State::Over } else { State::Resting { until_ms: 0 } };
        Self {
            at,
            next,
            end,
            out_of_range,
            state,
            failures: 0,
            failing_since_ms: None,
            unfit: 0,
            damaged: None,
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// When it wants to be subscribed; `None`: it is, or needs it no more.
    pub(crate) fn resting_until_ms(&self) -> Option<u64> {
        match self.state {
            State::Resting { until_ms } => Some(until_ms),
            _ => None,
        }
    }

    pub(crate) fn reads(&self, stream: u64, subscription: u32) -> bool {
        self.state == State::Reading { stream, subscription }
    }

    pub(crate) fn reads_on(&self, stream: u64) -> bool {
        matches!(self.state, State::Reading { stream: current, .. } if current == stream)
    }

    pub(crate) fn subscribed(&mut self, stream: u64, subscription: u32) {
        self.state = State::Reading { stream, subscription };
    }

    /// Waits before it is subscribed again.
    pub(crate) fn rest(&mut self, now_ms: u64, chance: u64) {
        self.rest_at(backoff::search, now_ms, chance);
    }

    fn rest_at(&mut self, pace: fn(u32, u64) -> Duration, now_ms: u64, chance: u64) {
        self.failures = self.failures.saturating_add(1);
        self.failing_since_ms.get_or_insert(now_ms);
        let wait_ms = u64::try_from(pace(self.failures, chance).as_millis()).unwrap_or(u64::MAX);
        self.state = State::Resting { until_ms: now_ms.saturating_add(wait_ms) };
    }

    /// Ends the reading if nothing came for so long, and tells why.
    pub(crate) fn give_up(&mut self, now_ms: u64, patience_ms: u64) -> Option<ConsumeError> {
        let waited_ms = now_ms.saturating_sub(self.failing_since_ms?);
        if self.resting_until_ms().is_none() || waited_ms < patience_ms {
            return None;
        }
        self.state = State::Over;
        let partition = self.at.partition.0;
        if let Some(refusal) = self.damaged.take() {
            return Some(ConsumeError::Refused { partition, refusal });
        }
        Some(ConsumeError::Unreachable { partition, cause: format!("nothing came for {waited_ms} ms") })
    }

    pub(crate) fn records(&mut self, answer: FetchResponse, now_ms: u64, chance: u64) -> Move {
        match ConsumedBatch::verify(self.at, self.next, answer) {
            Ok(batch) => self.deliver(batch),
            Err(cause) => self.unfit(cause, now_ms, chance),
        }
    }

    fn deliver(&mut self, mut batch: ConsumedBatch) -> Move {
        (self.failures, self.unfit, self.failing_since_ms, self.damaged) = (0, 0, None, None);
        if let Some(end) = self.end {
            batch.cut(end);
        }
        self.next = self.next.max(batch.end());
        if self.end.is_some_and(|end| self.next >= end) {
            self.state = State::Over;
        }
        if batch.is_empty() { Move::Nothing } else { Move::Deliver(batch) }
    }

    fn unfit(&mut self, cause: Unfit, now_ms: u64, chance: u64) -> Move {
        self.unfit += 1;
        if self.unfit < UNFIT_MAX {
            self.rest_at(backoff::wait, now_ms, chance);
            return Move::Refresh;
        }
        self.state = State::Over;
        Move::Fail(Box::new(ConsumeError::Unfit { partition: self.at.partition.0, offset: self.next, cause }))
    }

    pub(crate) fn ended(&mut self, refusal: Box<Refusal>, now_ms: u64, chance: u64) -> Move {
        let meaning = refusal.meaning();
        if refusal.reason == Reason::OffsetOutOfRange {
            return self.out_of_range(&refusal, now_ms);
        }
        self.damaged = None;
        if refusal.awaits_mending() {
            // A replica mends it in seconds, or another leads by then.
            self.rest_at(backoff::wait, now_ms, chance);
            self.damaged = Some(refusal);
            return Move::Refresh;
        }
        let since_ms = self.failing_since_ms.unwrap_or(now_ms);
        let lags =
            refusal.may_lag() && u128::from(now_ms.saturating_sub(since_ms)) < LAG_PATIENCE.as_millis();
        if meaning.retriable || lags || refusal.reason == Reason::FencedEpoch {
            let pace = if refusal.asks_for_relief() { backoff::wait } else { backoff::search };
            self.rest_at(pace, now_ms, chance);
            if refusal.reason == Reason::NotLeader && refusal.leader.is_some() && self.failures <= 1 {
                // The new leader is known: waiting would help nobody.
                self.state = State::Resting { until_ms: now_ms };
                return Move::Nothing;
            }
            return Move::Refresh;
        }
        self.state = State::Over;
        Move::Fail(Box::new(ConsumeError::Refused { partition: self.at.partition.0, refusal }))
    }

    fn out_of_range(&mut self, refusal: &Refusal, now_ms: u64) -> Move {
        let bound = |key: &str| refusal.details.get(key).and_then(|value| value.parse().ok());
        let (start, end) = (bound("start"), bound("end"));
        let to = match self.out_of_range {
            WhenOutOfRange::Error => None,
            WhenOutOfRange::Start => start,
            WhenOutOfRange::End => end,
        };
        let from = self.next;
        match to.filter(|to| *to != from) {
            Some(to) => {
                self.next = to;
                let over = self.end.is_some_and(|end| to >= end);
                self.state = if over { State::Over } else { State::Resting { until_ms: now_ms } };
                Move::Reset { from, to }
            }
            None => {
                self.state = State::Over;
                Move::Fail(Box::new(ConsumeError::OutOfRange {
                    partition: self.at.partition.0,
                    offset: from,
                    start: start.unwrap_or_default(),
                    end: end.unwrap_or_default(),
                }))
            }
        }
    }
}

#[cfg(test)]
#[path = "cursor_tests.rs"]
mod tests;
