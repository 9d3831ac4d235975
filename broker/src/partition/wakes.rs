//! Whom a step of a partition wakes, once the partition's lock is free: the first thing a woken thread does is to ask
//! that partition, and it would only wait for the lock.

use std::task::Waker;

use fidelog_log::Flusher;
use smallvec::SmallVec;

/// What is to be woken after a step.
#[derive(Debug, Default)]
#[must_use = "whoever is not woken waits for ever"]
pub(super) struct Wakes {
    wakers: SmallVec<[Waker; 4]>,
    /// Whether the flusher waits and has work now.
    pub(super) flusher: bool,
}

impl Wakes {
    pub(super) fn add(&mut self, waker: Option<Waker>) {
        self.wakers.extend(waker);
    }

    /// Streams first: the way over the network and through another disk is longer than the one through our own.
    pub(super) fn wake(self, flusher: &Flusher) {
        self.wakers.into_iter().for_each(Waker::wake);
        if self.flusher {
            flusher.wake();
        }
    }
}
