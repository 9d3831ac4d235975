//! Which bytes of a file were written a moment ago, so that their pages are in memory without being asked for (R6).
//!
//! ```text
//!            older_start         newer_start          end
//!  -------------|-------------------|------------------|- - -
//!   must be     | written within    | written within
//!   populated   | two spans         | one span
//! ```
//!
//! Bounded in bytes and in time: a page is dropped only after it was written back, the least recently used first, and
//! what was written seconds ago and is read now is neither. Whatever is older is populated before it is handed out.

use std::ops::Range;
use std::time::{Duration, Instant};

/// Bytes that count as just written at most.
const TAIL_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How long bytes count as just written: once to twice this.
const SPAN: Duration = Duration::from_secs(2);

/// The end of what was written one behind the other.
#[derive(Debug, Default)]
pub(super) struct WrittenTail {
    older_start: u64,
    newer_start: u64,
    end: u64,
    /// When the bytes from `newer_start` on began to be written; `None` before the first write.
    newer_since: Option<Instant>,
}

impl WrittenTail {
    /// Notes that `range` was written.
    pub(super) fn wrote(&mut self, range: Range<u64>, now: Instant) {
        match self.newer_since {
            Some(since) if range.start == self.end => {
                let age = now.saturating_duration_since(since);
                if age >= SPAN {
                    // After a long pause even the newer bytes are old.
                    self.older_start = if age >= 2 * SPAN { range.start } else { self.newer_start };
                    self.newer_start = range.start;
                    self.newer_since = Some(now);
                }
            }
            _ => {
                (self.older_start, self.newer_start) = (range.start, range.start);
                self.newer_since = Some(now);
            }
        }
        self.end = range.end;
    }

    /// Whether all of `range` was just written.
    pub(super) fn holds(&self, range: &Range<u64>, now: Instant) -> bool {
        let Some(since) = self.newer_since else { return false };
        let start = match now.saturating_duration_since(since) {
            age if age < SPAN => self.older_start,
            age if age < 2 * SPAN => self.newer_start,
            _ => return false,
        };
        start.max(self.end.saturating_sub(TAIL_BYTES_MAX)) <= range.start && range.end <= self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_as_just_written_for_one_to_two_spans() {
        let start = Instant::now();
        let mut tail = WrittenTail::default();
        assert!(!tail.holds(&(0..1), start));
        tail.wrote(100..200, start);
        tail.wrote(200..300, start + SPAN / 2);
        assert!(tail.holds(&(100..300), start + SPAN / 2));
        assert!(!tail.holds(&(99..300), start) && !tail.holds(&(100..301), start));
        tail.wrote(300..400, start + SPAN);
        assert!(tail.holds(&(100..400), start + SPAN + SPAN / 2));
        assert!(!tail.holds(&(100..400), start + 2 * SPAN));
        assert!(tail.holds(&(300..400), start + 2 * SPAN));
        assert!(!tail.holds(&(300..400), start + 3 * SPAN));
    }

    #[test]
    fn a_pause_makes_everything_before_it_old() {
        let start = Instant::now();
        let mut tail = WrittenTail::default();
        tail.wrote(0..100, start);
        tail.wrote(100..200, start + 9 * SPAN);
        assert!(!tail.holds(&(0..200), start + 9 * SPAN));
        assert!(tail.holds(&(100..200), start + 9 * SPAN));
    }

    #[test]
    fn a_write_elsewhere_begins_anew_and_the_bytes_are_bounded() {
        let start = Instant::now();
        let mut tail = WrittenTail::default();
        tail.wrote(0..100, start);
        tail.wrote(500..600, start);
        assert!(!tail.holds(&(0..100), start) && tail.holds(&(500..600), start));
        tail.wrote(600..600 + TAIL_BYTES_MAX, start);
        assert!(!tail.holds(&(599..601), start) && tail.holds(&(600..601), start));
    }
}
