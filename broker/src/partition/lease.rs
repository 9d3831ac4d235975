//! What the quorum's answers allow this leader at a moment (N12, DESIGN §4). Pure.
//!
//! ```text
//!   heartbeat sent ------------------ 2 s ----------------------- 10 s ------------>
//!      answered      in touch          |   acknowledges, but who    |  acknowledges
//!                                      |   waits here is sent away  |  nothing
//! ```

use std::time::Duration;

use fidelog_log::env::Moment;

use crate::meta::lease::{ACK_LEASE, AckLease};

/// How long after the last answered heartbeat was sent the session with the quorum counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(2);

const _: () = assert!(LOST_AFTER.as_micros() < ACK_LEASE.as_micros());

/// Both ends are exclusive. The default has run out: nothing was answered yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Acknowledged is only before this.
    pub until: Moment,
    /// From here on the session with the quorum counts as lost.
    pub in_touch_until: Moment,
}

impl Lease {
    /// What the broker's lease says now.
    #[must_use]
    pub fn of(lease: &AckLease) -> Self {
        let in_touch_until = lease.last_sent().map_or(Moment::default(), |sent| sent.plus(LOST_AFTER));
        Self { until: lease.until(), in_touch_until }
    }

    /// Whether a leader may acknowledge at `now`.
    #[must_use]
    pub fn holds(self, now: Moment) -> bool {
        now < self.until
    }

    /// Whether a leader may let readers wait at `now`: it would hear soon that it leads no more.
    #[must_use]
    pub fn is_in_touch(self, now: Moment) -> bool {
        now < self.in_touch_until
    }
}
