//! How fast a stream may read the log for its follower: one pace for all partitions on it (N2). Pure.

use std::time::Duration;

use fidelog_log::env::Moment;

/// A number of bytes a second, with no more than one read ahead of it.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_s: u64,
    /// Until then everything so far has taken.
    used_until: Moment,
}

impl Pace {
    pub(crate) fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1), used_until: Moment::default() }
    }

    /// Takes `bytes`, and says how long to wait before the next ones. What was not used while nothing was to be read is
    /// not made up for.
    pub(crate) fn take(&mut self, bytes: u64, now: Moment) -> Duration {
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_s);
        let due = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.used_until = self.used_until.max(now).plus(due);
        self.used_until.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_shares_one_pace() {
        let mut pace = Pace::new(1_000);
        let now = Moment::default();
        assert_eq!(pace.take(100, now), Duration::from_millis(100));
        assert_eq!(pace.take(100, now), Duration::from_millis(200), "another partition waits for the first");
    }

    #[test]
    fn idle_time_is_not_made_up_for() {
        let mut pace = Pace::new(1_000);
        pace.take(100, Moment::default());
        let later = Moment::default().plus(Duration::from_secs(9));
        assert_eq!(pace.take(50, later), Duration::from_millis(50));
    }
}
