//! A clock that stands still until it is told otherwise.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::env::{Clock, Moment};

/// Where the wall clock stands at first: 2026-01-01T00:00:00Z, Unix milliseconds.
const WALL_MS_AT_START: u64 = 1_767_225_600_000;

/// A clock set by the test. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct SimClock {
    hands: Arc<Mutex<Hands>>,
}

#[derive(Debug)]
struct Hands {
    now: Moment,
    wall_ms: u64,
    /// What of the last advances did not fill a millisecond of the wall clock.
    wall_micros_rest: u64,
}

impl Default for SimClock {
    fn default() -> Self {
        let hands = Hands { now: Moment::default(), wall_ms: WALL_MS_AT_START, wall_micros_rest: 0 };
        Self { hands: Arc::new(Mutex::new(hands)) }
    }
}

impl SimClock {
    /// Lets `duration` pass on both clocks.
    pub fn advance(&self, duration: Duration) {
        let mut hands = self.hands.lock();
        let before = hands.now;
        hands.now = before.plus(duration);
        let micros = hands.now.micros_since(before) + hands.wall_micros_rest;
        hands.wall_ms = hands.wall_ms.saturating_add(micros / 1_000);
        hands.wall_micros_rest = micros % 1_000;
    }

    /// Moves the monotonic clock to `now`, and the wall clock along with it.
    ///
    /// # Panics
    /// When `now` is in the past: this clock only moves forward.
    pub fn advance_to(&self, now: Moment) {
        let before = self.now();
        assert!(now >= before, "the monotonic clock stands at {before:?} and cannot go back to {now:?}");
        self.advance(now.since(before));
    }

    /// Sets the wall clock, Unix milliseconds; it may jump either way.
    pub fn set_wall_ms(&self, wall_ms: u64) {
        self.hands.lock().wall_ms = wall_ms;
    }
}

impl Clock for SimClock {
    fn now(&self) -> Moment {
        self.hands.lock().now
    }

    fn wall_ms(&self) -> u64 {
        self.hands.lock().wall_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_advance_and_only_the_wall_clock_jumps() {
        let clock = SimClock::default();
        let shared = clock.clone();
        for _ in 0..3 {
            clock.advance(Duration::from_micros(500));
        }
        assert_eq!((shared.now().micros, shared.wall_ms()), (1_500, WALL_MS_AT_START + 1));
        clock.set_wall_ms(7);
        assert_eq!((shared.now().micros, shared.wall_ms()), (1_500, 7));
    }
}
