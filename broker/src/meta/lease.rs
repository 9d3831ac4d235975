//! Until when this broker's leaders may acknowledge (N12).
//!
//! ```text
//!   heartbeat sent at s ---------> the active controller: confirmed its leadership, finds the broker unfenced
//!   answer heard    <------------- "fine"                    -> until = max(until, s + 10 s)
//!   leader, at now: acknowledges only while now < until
//! ```
//!
//! Always true: `until` never goes back; it is at most 10 s after a heartbeat was *sent* that found this process
//! registered and not fenced in everything committed before it came. So 10 s after a fence was committed the fenced
//! broker acknowledges nothing, whatever it still believes: what N9 waits out before an operator's recovery may
//! count on it. Times are the monotonic clock's that also counts suspended time, and stay within the process.
//!
//! Not here: the heartbeats; who asks before it acknowledges.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fidelog_log::env::Moment;

/// How long an answered heartbeat allows acknowledgements, from when it was sent.
pub const ACK_LEASE: Duration = Duration::from_secs(10);

/// The lease of one broker process. Clones are the same lease; a new one has run out already.
#[derive(Clone, Debug, Default)]
pub struct AckLease {
    /// Microseconds of the clock; 0: no heartbeat was answered yet. Guards no other memory, hence relaxed.
    until_micros: Arc<AtomicU64>,
}

impl AckLease {
    /// A heartbeat sent at `sent` was answered: this process is the registered one and not fenced. Answers may come
    /// in any order.
    pub fn extend(&self, sent: Moment) {
        self.until_micros.fetch_max(sent.plus(ACK_LEASE).micros, Ordering::Relaxed);
    }

    /// The moment from which nothing may be acknowledged any more; the clock's start before the first answer.
    #[must_use]
    pub fn until(&self) -> Moment {
        Moment { micros: self.until_micros.load(Ordering::Relaxed) }
    }

    /// Whether a leader may acknowledge at `now`.
    #[must_use]
    pub fn holds(&self, now: Moment) -> bool {
        now < self.until()
    }

    /// When the last answered heartbeat was sent; none before the first. The session with the quorum is lost for as
    /// long as this is ago.
    #[must_use]
    pub fn last_sent(&self) -> Option<Moment> {
        let micros = self.until_micros.load(Ordering::Relaxed);
        micros.checked_sub(Moment::default().plus(ACK_LEASE).micros).map(|micros| Moment { micros })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(number: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(number))
    }

    #[test]
    fn n12_a_lease_lasts_ten_seconds_from_when_the_heartbeat_was_sent() {
        let lease = AckLease::default();
        assert!(!lease.holds(Moment::default()), "nothing was answered yet");
        assert_eq!(lease.last_sent(), None);
        lease.extend(second(3));
        assert_eq!(lease.until(), second(13));
        assert_eq!(lease.last_sent(), Some(second(3)));
        let last_micro = Moment { micros: second(13).micros - 1 };
        assert!(lease.holds(last_micro));
        assert!(!lease.holds(second(13)), "its end is exclusive");
    }

    #[test]
    fn n12_an_answer_that_was_overtaken_takes_nothing_back() {
        let lease = AckLease::default();
        let shared = lease.clone();
        lease.extend(second(5));
        shared.extend(second(4));
        assert_eq!(lease.until(), second(15));
        shared.extend(second(6));
        assert_eq!(lease.until(), second(16));
    }
}
