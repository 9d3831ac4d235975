//! Removing a partition's log for good: only for a committed delete, or a committed removal of this replica (N14).

use std::sync::Arc;

use fidelog_record::types::TopicPartition;

use crate::data_dir::DataDir;
use crate::files::DiskError;

/// Removes the log and all its files; durable when this returns. Views that hold files open go on reading.
pub(crate) fn remove(home: &Arc<DataDir>, at: TopicPartition) -> Result<(), DiskError> {
    // The recovery point goes first: a point without a directory would say "lost".
    if home.remove_point(at) {
        home.write_points()?;
    }
    let directory = home.partition_path(at);
    match home.files().remove_dir_all(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    }
    home.files().sync_parent(&directory)
}
