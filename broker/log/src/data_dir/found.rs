//! What the start of a process found in its data directory.

use std::collections::BTreeSet;
use std::path::PathBuf;

use fidelog_record::types::{Generation, TopicPartition};

/// What a start found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The generation before this start raised it: what is registered (N13).
    pub generation: Generation,
    /// Whether the last process stopped cleanly, so that everything is synced, but for `unproven`.
    pub clean: bool,
    /// What the clean stop says nothing of: logs that were not opened since an unclean one before it.
    pub unproven: BTreeSet<TopicPartition>,
    /// Why the recovery points could not be used, if so: every log is then scanned from its last segment's start.
    pub points_lost: Option<String>,
    /// Names that are not ours, below the root or `topics/`; left alone.
    pub strays: Vec<PathBuf>,
}

impl Found {
    /// Whether the last process vouches for this log: all of it is synced.
    #[must_use]
    pub fn is_clean(&self, at: TopicPartition) -> bool {
        self.clean && !self.unproven.contains(&at)
    }
}
