//! Many files stored or synced side by side: a device does several at once, and a journal commits what waits together.

use std::sync::Arc;

use fidelog_record::types::TopicPartition;

use super::Attached;
use crate::data_dir::DataDir;
use crate::files::DiskError;
use crate::segment::OpenSegment;
use crate::small_file::Prepared;

/// Files of epochs, and whose they are.
pub(super) type Epochs = Vec<(TopicPartition, Prepared)>;

/// Stores epochs where so many are new that it pays to do it side by side: all that a broker led which died begin a new
/// one at once, on all who are left. Tells what came of each that was tried; who is not named stores its own.
pub(super) fn store_many(home: &DataDir, epochs: Epochs) -> Vec<(TopicPartition, Option<DiskError>)> {
    let Some(share) = share_of(home, epochs.len()) else { return Vec::new() };
    let stored = std::thread::scope(|scope| {
        let store = |share| move || store_some(home, share);
        let threads: Vec<_> = epochs.chunks(share).map(|share| scope.spawn(store(share))).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .flat_map(|stored| stored.unwrap_or_else(|bug| std::panic::resume_unwind(bug)))
            .collect::<Vec<_>>()
    });
    // Of several that found no room one threw the ballast off: those try again by themselves.
    let found_no_room = |error: &Option<DiskError>| error.as_ref().is_some_and(DiskError::is_full);
    stored.into_iter().filter(|(_, error)| !found_no_room(error)).collect()
}

fn store_some(
    home: &DataDir,
    epochs: &[(TopicPartition, Prepared)],
) -> Vec<(TopicPartition, Option<DiskError>)> {
    epochs.iter().map(|(at, file)| (*at, file.write(home.files()).err())).collect()
}

/// Stores what lets the next start read nothing; stops at an error.
pub(super) fn store_for_clean_stop(home: &DataDir, logs: &mut [&mut Attached]) -> Result<(), DiskError> {
    let store = |logs: &mut [&mut Attached]| logs.iter_mut().try_for_each(|it| it.log.store_for_clean_stop());
    let Some(share) = share_of(home, logs.len()) else { return store(logs) };
    let stored: Result<(), DiskError> = std::thread::scope(|scope| {
        let threads: Vec<_> = logs.chunks_mut(share).map(|share| scope.spawn(|| store(share))).collect();
        let mut joined = threads.into_iter().map(|thread| thread.join());
        joined.try_for_each(|stored| stored.unwrap_or_else(|bug| std::panic::resume_unwind(bug)))
    });
    match stored {
        // As above: of several that found no room one threw the ballast off.
        Err(error) if error.is_full() && home.latched().is_none() => store(logs),
        stored => stored,
    }
}

/// How many of `count` files each of several threads gets; nothing where one thread does them all.
fn share_of(home: &DataDir, count: usize) -> Option<usize> {
    let threads = home.config().sync_threads.min(count);
    (threads > 1 && count > home.config().sync_serial_max).then(|| count.div_ceil(threads))
}

/// Syncs every file; an error latches the directory, and the rest is left alone.
pub(super) fn sync_all(home: &DataDir, files: &[Arc<OpenSegment>]) {
    let Some(share) = share_of(home, files.len()) else { return sync_some(files) };
    std::thread::scope(|scope| {
        for files in files.chunks(share) {
            scope.spawn(|| sync_some(files));
        }
    });
}

fn sync_some(files: &[Arc<OpenSegment>]) {
    for open in files {
        let synced: Result<(), DiskError> = open.file.sync();
        if synced.is_err() {
            return; // latched
        }
    }
}
