//! Memory that requests and answers may hold together: one permit a byte.
//!
//! Always true: what is held is bounded by the budget, and given back when the last holder drops it. Whoever waits
//! too long is refused rather than left waiting, so that requests that each hold a part can never wait for each
//! other for ever.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fidelog_proto::v1::Reason;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::status::Failure;

/// Bytes that may be held.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    semaphore: Arc<Semaphore>,
    name: &'static str,
    bytes_max: usize,
    wait: Duration,
}

/// Bytes held; dropping it gives them back.
#[derive(Debug)]
pub(super) struct Held {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of `bytes_max` whose refusals call it `name`.
    ///
    /// # Panics
    /// When it could not hold one message.
    #[must_use]
    pub(super) fn new(name: &'static str, bytes_max: usize, wait: Duration) -> Self {
        let message_bytes = super::RpcLimits::MESSAGE_BYTES_MAX;
        assert!(
            (message_bytes..=Semaphore::MAX_PERMITS).contains(&bytes_max),
            "{name} = {bytes_max} cannot hold one message of {message_bytes} bytes"
        );
        Self { semaphore: Arc::new(Semaphore::new(bytes_max)), name, bytes_max, wait }
    }

    /// Bytes nobody holds.
    #[cfg(test)]
    pub(super) fn free_bytes(&self) -> usize {
        self.semaphore.available_permits()
    }

    /// Holds `bytes`, waiting for them if need be.
    ///
    /// # Errors
    /// A limit's failure when none became free in time.
    pub(super) async fn hold(&self, bytes: usize) -> Result<Held, Failure> {
        // More than there is could never be had; the one who asks is then alone.
        let count = u32::try_from(bytes.min(self.bytes_max)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.semaphore).acquire_many_owned(count);
        match tokio::time::timeout(self.wait, permit).await {
            Ok(permit) => Ok(Held { _permit: permit.expect("the semaphore is never closed") }),
            Err(_) => Err(self.exhausted()),
        }
    }

    /// Holds `bytes` of what nobody needs: at once, or not at all, and never of the last half, so that what is read
    /// ahead for streams that stand still leaves room for those who ask.
    pub(super) fn try_hold(&self, bytes: usize) -> Option<Held> {
        let count = u32::try_from(bytes.min(self.bytes_max)).unwrap_or(u32::MAX);
        if self.semaphore.available_permits() < self.bytes_max / 2 + count as usize {
            return None;
        }
        Arc::clone(&self.semaphore).try_acquire_many_owned(count).ok().map(|permit| Held { _permit: permit })
    }

    /// What one request may hold, from nothing on.
    pub(super) fn reserve(&self) -> Arc<Reserved> {
        Arc::new(Reserved { state: Mutex::default() })
    }

    pub(super) fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }

    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    pub(super) fn exhausted(&self) -> Failure {
        let (name, bytes_max) = (self.name, self.bytes_max);
        let message =
            format!("this broker holds {bytes_max} bytes, which is its {name}; slow down and try again");
        Failure::limit(Reason::LimitExceeded, self.name, bytes_max, message)
    }
}

/// What the messages of one request hold: filled as bytes arrive, handed out message by message.
#[derive(Debug)]
pub(super) struct Reserved {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<OwnedSemaphorePermit>,
    /// Bytes of the messages that have arrived whole and were not taken yet, in order.
    complete: VecDeque<usize>,
}

impl Reserved {
    /// Bytes arrived.
    pub(super) fn add(&self, permit: OwnedSemaphorePermit) {
        let mut state = self.state.lock();
        match &mut state.held {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
    }

    /// A message of so many bytes, frame included, has arrived whole.
    pub(super) fn complete(&self, bytes: usize) {
        self.state.lock().complete.push_back(bytes);
    }

    /// Takes over what the next whole message holds.
    pub(super) fn take_message(&self) -> (usize, Option<Held>) {
        let mut state = self.state.lock();
        let bytes = state.complete.pop_front().unwrap_or(0);
        let permit = state.held.as_mut().and_then(|held| held.split(bytes));
        (bytes, permit.map(|permit| Held { _permit: permit }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_messages_hold_is_given_back_one_by_one() {
        let budget = Budget::new("request_bytes_max", 32 << 20, Duration::from_millis(1));
        let reserved = budget.reserve();
        for bytes in [100, 50] {
            let permit = Arc::clone(budget.semaphore()).try_acquire_many_owned(bytes).unwrap();
            reserved.add(permit);
        }
        reserved.complete(120);
        let (bytes, held) = reserved.take_message();
        assert_eq!((bytes, budget.free_bytes()), (120, (32 << 20) - 150));
        drop(held);
        assert_eq!(budget.free_bytes(), (32 << 20) - 30);
        drop(reserved);
        assert_eq!(budget.free_bytes(), 32 << 20);
    }

    #[tokio::test]
    async fn what_nobody_asked_for_leaves_half_to_those_who_do() {
        let budget = Budget::new("read_bytes_max", 32 << 20, Duration::from_millis(1));
        let ahead: Vec<_> = std::iter::from_fn(|| budget.try_hold(1 << 20)).collect();
        assert_eq!((ahead.len(), budget.free_bytes()), (16, 16 << 20));
        assert!(budget.hold(16 << 20).await.is_ok());
    }

    #[tokio::test]
    async fn whoever_waits_too_long_is_told_the_limit() {
        let budget = Budget::new("read_bytes_max", 16 << 20, Duration::from_millis(1));
        let _all = budget.hold(16 << 20).await.unwrap();
        let failure = budget.hold(1).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::LimitExceeded);
        assert_eq!(failure.detail("limit"), Some("read_bytes_max"));
    }
}
