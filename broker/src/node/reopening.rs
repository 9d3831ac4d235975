//! Opens logs again that have stopped, through the recovery that every start goes through (N16).
//!
//! Always true: nothing is opened again in a data directory whose sync failed, and none of its syncs is believed any
//! more (R1); what was reported synced is a bound below which recovery takes nothing for a torn tail; a log that stops
//! again and again is tried less and less often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::{Clock, Moment};
use fidelog_log::{DataDir, Log};
use fidelog_record::types::TopicPartition;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::housekeeping::every;
use crate::partition::{Machine, Partition, Partitions};

/// How often is looked for logs that have stopped.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After an attempt, whatever came of it, the next one waits so long; doubled up to the longest, and forgotten when the
/// log has not stopped again for that.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What opening again works with.
pub(super) struct Reopening {
    pub(super) home: Arc<DataDir>,
    pub(super) partitions: Arc<Partitions>,
    pub(super) clock: Arc<dyn Clock>,
    /// Told when a log can be used again.
    pub(super) failures: Arc<Notify>,
}

/// The last attempt on a log.
struct Tried {
    again_at: Moment,
    pause: Duration,
}

impl Reopening {
    /// Looks and opens until the node stops.
    pub(super) async fn run(self) {
        let mut tried: BTreeMap<TopicPartition, Tried> = BTreeMap::new();
        let mut interval = every(LOOK_EVERY);
        loop {
            // Stopping at any of these awaits is safe: the log is stopped, or is opened again.
            interval.tick().await;
            if self.home.latched().is_some() {
                return; // the node stops
            }
            let now = self.clock.now();
            let mut stopped = self.partitions.unwell();
            stopped.retain(|partition| partition.inspect(Machine::is_stopped));
            tried.retain(|_, tried| now < tried.again_at.plus(PAUSE_MAX));
            for partition in stopped {
                let before = tried.get(&partition.id());
                if before.is_some_and(|before| now < before.again_at) {
                    continue;
                }
                let pause = before.map_or(PAUSE_FIRST, |before| (before.pause * 2).min(PAUSE_MAX));
                tried.insert(partition.id(), Tried { again_at: now.plus(pause), pause });
                self.reopen(&partition).await;
            }
        }
    }

    async fn reopen(&self, partition: &Arc<Partition>) {
        let (home, at) = (Arc::clone(&self.home), partition.id());
        let open = async || {
            let opened = tokio::task::spawn_blocking(move || Log::open(&home, at)).await;
            opened.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
        };
        match partition.reopen(open).await {
            Ok(Some(report)) => {
                let (end, rewritten_bytes) = (report.end, report.rewritten_bytes);
                info!(partition = %at, %end, rewritten_bytes, "its log had stopped, and was opened again");
                self.failures.notify_one();
            }
            Ok(None) => {}
            Err(why) => warn!(partition = %at, "its log has stopped and cannot be opened again yet: {why}"),
        }
    }
}
