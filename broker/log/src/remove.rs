//! Removing a partition's log for good: only for a committed delete, or a committed removal of this replica (N14).

use std::sync::Arc;

use fidelog_record::types::{TopicId, TopicPartition};

use crate::data_dir::DataDir;
use crate::files::DiskError;

/// Removes the log and all its files; durable when this returns. Views that hold files open go on reading.
pub(crate) fn remove(home: &Arc<DataDir>, at: TopicPartition) -> Result<(), DiskError> {
    // The recovery point goes first: a point without a directory would say "lost".
    let removed = home.remove_point(at);
    if removed || home.points_unstored() {
        home.write_points()?;
    }
    let directory = home.partition_path(at);
    match home.files().remove_dir_all(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    }
    home.files().sync_parent(&directory)
}

impl DataDir {
    /// Removes whatever of a deleted topic is left here, and its directory; durable when this returns. Logs of it that
    /// are open must have been deleted before.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn remove_topic(self: &Arc<Self>, topic: TopicId) -> Result<(), DiskError> {
        for at in self.partitions()?.into_iter().filter(|at| at.topic == topic) {
            remove(self, at)?;
        }
        let directory = self.root().join("topics").join(topic.to_string());
        match self.files().remove_dir_all(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            result => result?,
        }
        self.files().sync_parent(&directory)
    }
}
