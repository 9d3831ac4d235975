//! Time: one clock that only moves forward, for decisions, and the wall's, for people and record timestamps.

use std::time::Duration;

/// A moment of the monotonic clock, microseconds since an arbitrary start. Comparable within one process only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Microseconds since the clock's start.
    pub micros: u64,
}

impl Moment {
    /// The moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self { micros: self.micros.saturating_add(micros) }
    }

    /// Microseconds from `earlier` to this moment; 0 when it is not earlier.
    #[must_use]
    pub fn micros_since(self, earlier: Self) -> u64 {
        self.micros.saturating_sub(earlier.micros)
    }

    /// Time from `earlier` to this moment; zero when it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros_since(earlier))
    }
}

/// A clock. No safety decision reads [`Clock::wall_ms`] (D15).
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// Now, on the monotonic clock that also counts suspended time (`CLOCK_BOOTTIME`, N12).
    fn now(&self) -> Moment;

    /// Now, as Unix milliseconds of the wall clock; may jump either way.
    fn wall_ms(&self) -> u64;
}
