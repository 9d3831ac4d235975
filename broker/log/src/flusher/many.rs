//! Many files stored or synced side by side: a device does several at once, and a journal commits what waits together.

use std::sync::Arc;
use std::thread;

use fidelog_record::types::TopicPartition;
use parking_lot::Mutex;

use super::Attached;
use crate::data_dir::DataDir;
use crate::files::DiskError;
use crate::segment::OpenSegment;
use crate::small_file::Prepared;

/// Files of epochs, and whose they are.
pub(super) type Epochs = Vec<(TopicPartition, Prepared)>;

/// Stores epochs where so many are new that it pays to do it side by side: all that a broker led which died begin a new
/// one at once, on all who are left. Tells what came of each that was tried; who is not named stores its own.
pub(super) fn store_many(home: &DataDir, epochs: &Epochs) -> Vec<(TopicPartition, Option<DiskError>)> {
    let Some(share) = share_of(home, epochs.len()) else { return Vec::new() };
    let store = |(at, file): &(TopicPartition, Prepared)| (*at, file.write(home.files()).err());
    let shares = epochs.chunks(share).collect();
    let stored = side_by_side(shares, |share: &[_]| share.iter().map(store).collect::<Vec<_>>());
    // Of several that found no room one threw the ballast off: those try again by themselves.
    let found_no_room = |error: &Option<DiskError>| error.as_ref().is_some_and(DiskError::is_full);
    stored.into_iter().flatten().filter(|(_, error)| !found_no_room(error)).collect()
}

/// Stores what lets the next start read nothing; stops at an error.
pub(super) fn store_for_clean_stop(home: &DataDir, logs: &mut [&mut Attached]) -> Result<(), DiskError> {
    let store = |logs: &mut [&mut Attached]| logs.iter_mut().try_for_each(|it| it.log.store_for_clean_stop());
    let Some(share) = share_of(home, logs.len()) else { return store(logs) };
    let stored = side_by_side(logs.chunks_mut(share).collect(), store);
    match stored.into_iter().collect() {
        // As above: of several that found no room one threw the ballast off.
        Err(error) if DiskError::is_full(&error) && home.latched().is_none() => store(logs),
        stored => stored,
    }
}

/// Syncs every file; an error latches the directory, and the rest is left alone.
pub(super) fn sync_all(home: &DataDir, files: &[Arc<OpenSegment>]) {
    match share_of(home, files.len()) {
        Some(share) => drop(side_by_side(files.chunks(share).collect(), sync_some)),
        None => sync_some(files),
    }
}

fn sync_some(files: &[Arc<OpenSegment>]) {
    for open in files {
        let synced: Result<(), DiskError> = open.file.sync();
        if synced.is_err() {
            return; // latched
        }
    }
}

/// How many of `count` files each of several threads gets; nothing where one thread does them all.
fn share_of(home: &DataDir, count: usize) -> Option<usize> {
    let threads = home.config().sync_threads.min(count);
    (threads > 1 && count > home.config().sync_serial_max).then(|| count.div_ceil(threads))
}

/// Does `work` on every share, each on a thread of its own, or on fewer where no more are to be had; tells what came of
/// them, in no order.
fn side_by_side<S: Send, T: Send>(shares: Vec<S>, work: impl Fn(S) -> T + Sync) -> Vec<T> {
    let more = shares.len().saturating_sub(1);
    let (waiting, done) = (Mutex::new(shares), Mutex::new(Vec::new()));
    let take_turns = || {
        loop {
            let Some(share) = waiting.lock().pop() else { return };
            let result = work(share);
            done.lock().push(result);
        }
    };
    thread::scope(|scope| {
        for _ in 0..more {
            if thread::Builder::new().spawn_scoped(scope, take_turns).is_err() {
                break;
            }
        }
        take_turns();
    });
    done.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_is_done_once() {
        for count in [0, 1, 2, 9] {
            let mut done = side_by_side((0..count).collect(), |share: u32| share * 2);
            done.sort_unstable();
            assert_eq!(done, (0..count).map(|share| share * 2).collect::<Vec<_>>());
        }
    }
}
