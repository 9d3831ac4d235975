//! Producer snapshots on disk: `<offset>.producers` holds what the batches below that offset say.
//!
//! A snapshot is believed only if the log still holds the history it was taken of: the last batch below its offset
//! has the epoch it names. Everything above it is replayed from the batches, so a missing one costs time only, but
//! for the one the log begins with.

use std::path::{Path, PathBuf};

use fidelog_record::types::{LeaderEpoch, Offset};

use crate::data_dir::DataDir;
use crate::epochs::EpochHistory;
use crate::files::{DiskError, Files};
use crate::producers::{ProducerSnapshot, ProducerTable};
use crate::segment::SegmentFiles;
use crate::small_file::{self, SmallFileError};
use crate::view::LogView;

/// What the batches below `end` say, and whether all of them could be asked: from the newest usable snapshot, and the
/// batches behind it that are not damaged.
pub(crate) fn load(
    view: &LogView,
    directory: &Path,
    home: &DataDir,
    end: Offset,
) -> Result<(ProducerTable, bool), DiskError> {
    let epochs = view.epochs();
    let mut snapshots = list(home.files(), directory)?;
    snapshots.retain(|(at, _)| *at <= end);
    let mut newest = None;
    for (at, path) in snapshots.iter().rev() {
        newest = usable(home, path, &epochs, *at)?;
        if newest.is_some() {
            break;
        }
    }
    let (mut table, from) = match newest {
        Some(snapshot) => (snapshot.table, snapshot.end),
        None => (ProducerTable::default(), Offset::ZERO),
    };
    let whole = view.each_batch(from, end, |header| {
        // Replay may begin within a batch of the segment, never within a snapshot.
        if header.base_offset >= from {
            table.apply(header);
        }
    })?;
    Ok((table, whole))
}

/// What came with a start-over at `at` that was cut short; nobody where that is the log's very beginning. Snapshots of
/// the history it replaces name the epoch of a batch, that one names none.
pub(crate) fn of_start_over(
    home: &DataDir,
    directory: &Path,
    at: Offset,
) -> Result<ProducerTable, DiskError> {
    let path = SegmentFiles::new(directory, at).producers;
    let stored = usable(home, &path, &EpochHistory::default(), at)?;
    let own = stored.filter(|snapshot| snapshot.last_epoch == LeaderEpoch(0));
    Ok(own.map(|snapshot| snapshot.table).unwrap_or_default())
}

/// Whether there is a sound snapshot at `at`, of whatever history.
pub(crate) fn is_stored(home: &DataDir, directory: &Path, at: Offset) -> Result<bool, DiskError> {
    is_usable(home, &SegmentFiles::new(directory, at).producers, &EpochHistory::default(), at)
}

/// Whether the snapshot at `path` is of this log's history.
pub(crate) fn is_usable(
    home: &DataDir,
    path: &Path,
    epochs: &EpochHistory,
    end: Offset,
) -> Result<bool, DiskError> {
    Ok(usable(home, path, epochs, end)?.is_some())
}

fn usable(
    home: &DataDir,
    path: &Path,
    epochs: &EpochHistory,
    end: Offset,
) -> Result<Option<ProducerSnapshot>, DiskError> {
    let snapshot = match small_file::read::<ProducerSnapshot>(home.files(), path) {
        Ok(snapshot) => snapshot,
        Err(SmallFileError::Missing { .. }) => return Ok(None),
        // A disk that does not answer says nothing about what is stored, and the batches may be gone.
        Err(SmallFileError::Disk(error)) => return Err(error),
        Err(error) => {
            tracing::warn!(%error, "a producer snapshot is passed over; its batches are replayed");
            return Ok(None);
        }
    };
    let last = end.0.checked_sub(1).and_then(|last| epochs.epoch_at(Offset(last)));
    // Retention may have taken the batch it ends with; what is left then cannot contradict it.
    let fits = snapshot.end == end && last.is_none_or(|last| last == snapshot.last_epoch);
    Ok(fits.then_some(snapshot))
}

/// Writes every snapshot again and syncs it: after an unclean stop, reading one proves nothing.
pub(crate) fn rewrite_all(home: &DataDir, directory: &Path) -> Result<(), DiskError> {
    for (_, path) in list(home.files(), directory)? {
        match small_file::read::<ProducerSnapshot>(home.files(), &path) {
            Ok(snapshot) => small_file::write(home.files(), &path, &snapshot)?,
            Err(SmallFileError::Disk(error)) => return Err(error),
            Err(_) => {} // never believed, so never written again
        }
    }
    Ok(())
}

/// Removes every snapshot but the one at `kept`. The caller syncs the directory.
pub(crate) fn remove_others(files: &Files, directory: &Path, kept: Offset) -> Result<(), DiskError> {
    for (at, path) in list(files, directory)? {
        if at != kept || kept == Offset::ZERO {
            files.remove_if_present(&path)?;
        }
    }
    Ok(())
}

/// Removes snapshots of what lies beyond `end`. The caller syncs the directory.
pub(crate) fn remove_beyond(files: &Files, directory: &Path, end: Offset) -> Result<(), DiskError> {
    for (at, path) in list(files, directory)? {
        if at > end {
            files.remove_if_present(&path)?;
        }
    }
    Ok(())
}

fn list(files: &Files, directory: &Path) -> Result<Vec<(Offset, PathBuf)>, DiskError> {
    let entries = files.list(directory)?;
    let snapshots = entries.into_iter().filter_map(|entry| {
        let at = entry.name.strip_suffix(".producers")?.parse().ok()?;
        Some((Offset(at), directory.join(&entry.name)))
    });
    Ok(snapshots.collect())
}
