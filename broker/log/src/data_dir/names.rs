//! The names in a data directory: which are logs, and which are not ours.
//!
//! Always true: a directory is a log's only when its name is what this program would have written.

use std::path::{Path, PathBuf};

use fidelog_record::types::{PartitionIndex, TopicId, TopicPartition};

use crate::ballast::BALLAST;
use crate::env::{DirEntry, EntryKind};
use crate::files::{DiskError, Files};
use crate::small_file::UNFINISHED;

/// After an unclean stop: a directory that is found, and a file that is read, may be in the page cache only, and gone
/// after the next power cut, with everything that was acknowledged in it since.
pub(super) fn settle_names(files: &Files, root: &Path) -> Result<(), DiskError> {
    let topics = root.join("topics");
    files.sync_dir(root)?;
    for topic in files.list_if_present(&topics)?.iter().filter(|entry| topic_directory(entry).is_some()) {
        files.sync_dir(&topics.join(&topic.name))?;
    }
    files.sync_dir(&topics)?;
    // A rename is over when both directories know; else a segment that was set aside comes back.
    let aside = root.join("aside");
    match files.list(&aside) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        listed => listed.and_then(|_| files.sync_dir(&aside)),
    }
}

/// The partitions that have a directory, in order.
pub(super) fn partitions(files: &Files, root: &Path) -> Result<Vec<TopicPartition>, DiskError> {
    let mut found = Vec::new();
    for topic in files.list_if_present(&root.join("topics"))? {
        let Some(topic_id) = topic_directory(&topic) else { continue };
        for entry in files.list(&root.join("topics").join(&topic.name))? {
            if let Some(partition) = partition_directory(&entry) {
                found.push(TopicPartition { topic: topic_id, partition });
            }
        }
    }
    found.sort();
    Ok(found)
}

fn topic_directory(entry: &DirEntry) -> Option<TopicId> {
    let topic: TopicId = entry.name.parse().ok()?;
    (entry.kind == EntryKind::Directory && topic.to_string() == entry.name).then_some(topic)
}

fn partition_directory(entry: &DirEntry) -> Option<PartitionIndex> {
    let number: u32 = entry.name.parse().ok()?;
    (entry.kind == EntryKind::Directory && number.to_string() == entry.name).then_some(PartitionIndex(number))
}

/// What lies around that nobody here made. `meta.redb` and its copies belong to the metadata floor.
pub(super) fn strays(files: &Files, root: &Path) -> Result<Vec<PathBuf>, DiskError> {
    const OURS: [&str; 8] =
        ["identity", "lock", "clean-stop", "recovery-points", "topics", "aside", BALLAST, "lost+found"];
    let mut strays = Vec::new();
    for entry in files.list(root)? {
        let ours = OURS.contains(&entry.name.as_str())
            || entry.name.ends_with(UNFINISHED)
            || entry.name.starts_with("meta.redb");
        if !ours {
            strays.push(root.join(entry.name));
        }
    }
    let topics = root.join("topics");
    for entry in files.list_if_present(&topics)? {
        match topic_directory(&entry) {
            None => strays.push(topics.join(entry.name)),
            Some(_) => {
                let below = topics.join(entry.name);
                let others =
                    files.list(&below)?.into_iter().filter(|entry| partition_directory(entry).is_none());
                strays.extend(others.map(|entry| below.join(entry.name)));
            }
        }
    }
    Ok(strays)
}
