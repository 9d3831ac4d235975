//! Keeps the highest metadata index seen in the data directory, synced before it is acted on (N1).

use std::io;
use std::sync::Arc;

use fidelog_log::DataDir;

use crate::meta::follower::{HighestSeen, PersistSeen};

/// The data directory as the place where what was seen is kept.
pub(super) struct SeenInDirectory(pub(super) Arc<DataDir>);

impl PersistSeen for SeenInDirectory {
    fn persist(&self, seen: HighestSeen) -> io::Result<()> {
        let Some(incarnation) = seen.incarnation else { return Ok(()) };
        self.0.note_metadata(incarnation, seen.index).map_err(|error| match error.is_full() {
            true => io::Error::new(io::ErrorKind::StorageFull, error),
            false => io::Error::other(error),
        })
    }
}
