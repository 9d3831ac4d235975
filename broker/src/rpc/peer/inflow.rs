//! How much this broker has taken from leaders and not synced yet, and which stream may bring more.
//!
//! Partitions say what they hold. A stream is not read from while that is too much, so that its leader's pushes wait
//! in the leader's own bounds instead of this broker's memory. Streams that catch up stop earlier than live ones: a log
//! that is far behind never keeps out the pushes of others (N2).

use std::sync::atomic::{AtomicU64, Ordering};

use fidelog_proto::internal::v1::Lane;
use tokio::sync::Notify;

/// Held beyond this, catching up waits.
const CATCH_UP_BYTES_MAX: u64 = 64 << 20;
/// Held beyond this, everything waits.
const LIVE_BYTES_MAX: u64 = 128 << 20;

/// Bytes taken from leaders, over all partitions of this broker.
#[derive(Debug, Default)]
pub(super) struct Inflow {
    held_bytes: AtomicU64,
    less: Notify,
}

fn bytes_max(lane: Lane) -> u64 {
    match lane {
        Lane::Live => LIVE_BYTES_MAX,
        Lane::CatchUp | Lane::Unspecified => CATCH_UP_BYTES_MAX,
    }
}

impl Inflow {
    /// A partition held `before` and holds `after` now.
    pub(super) fn change(&self, before: u64, after: u64) {
        if after >= before {
            self.held_bytes.fetch_add(after - before, Ordering::AcqRel);
        } else {
            self.held_bytes.fetch_sub(before - after, Ordering::AcqRel);
            self.less.notify_waiters();
        }
    }

    /// Waits until a stream of this lane may bring more; one frame at a time goes beyond the bound.
    pub(super) async fn room(&self, lane: Lane) {
        loop {
            let less = self.less.notified();
            if self.held_bytes.load(Ordering::Acquire) < bytes_max(lane) {
                return;
            }
            // Stopping here is safe: nothing was taken.
            less.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn catching_up_stops_before_live_pushes_do_and_goes_on_when_enough_is_synced() {
        let inflow = Inflow::default();
        inflow.change(0, CATCH_UP_BYTES_MAX);
        assert_eq!(inflow.room(Lane::Live).now_or_never(), Some(()));
        let mut waiting = pin!(inflow.room(Lane::CatchUp));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        inflow.change(CATCH_UP_BYTES_MAX, CATCH_UP_BYTES_MAX - 1);
        waiting.await;
        inflow.change(0, LIVE_BYTES_MAX);
        assert_eq!(inflow.room(Lane::Live).now_or_never(), None);
    }
}
