//! The machine's clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use super::{Clock, Moment};

/// `CLOCK_BOOTTIME` for decisions, so that time spent suspended counts (N12), and the system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Moment {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
        Moment { micros: seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1_000) }
    }

    fn wall_ms(&self) -> u64 {
        // A wall clock set before 1970 is a wrong clock; 0 says so as well as any number.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_never_goes_back() {
        let mut last = RealClock.now();
        for _ in 0..10_000 {
            let now = RealClock.now();
            assert!(now >= last, "{now:?} came after {last:?}");
            last = now;
        }
    }

    #[test]
    fn the_wall_clock_counts_from_1970() {
        let year_2020_ms = 1_577_836_800_000;
        assert!(RealClock.wall_ms() > year_2020_ms);
    }
}
