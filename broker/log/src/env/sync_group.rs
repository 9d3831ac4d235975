//! The syncs of one data directory that overlap in time count together or not at all.
//!
//! A failed flush of the device drops what other files had already handed over, so a sync that returned well proves
//! nothing while another one is still under way:
//!
//! ```text
//!  A  |=====ok|.........returns ok     A waits for B, which was under way when A's call came back,
//!  B      |==============ok|....|      and not for C, which began later: so nobody waits for ever.
//!  C                 |==========ok|
//! ```
//!
//! Always true: a failed sync shuts the latch before it stops being under way, so whoever waited for it sees that.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use parking_lot::{Condvar, Mutex};

use super::{Latch, Operation};

/// The syncs under way in one data directory.
#[derive(Debug, Default)]
pub(super) struct SyncGroup {
    tickets: Mutex<Tickets>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Tickets {
    next: u64,
    /// In rising order; a list because it is short, and because it keeps its room.
    under_way: VecDeque<u64>,
}

impl SyncGroup {
    /// Runs `sync` of `path` and returns once it, and every sync under way when it came back, has returned. An error
    /// of which `shuts` says so shuts the latch.
    ///
    /// # Errors
    /// Its own error; `DirectoryLatched` when the latch is shut before, during or while waiting.
    pub(super) fn run(
        &self,
        latch: &Latch,
        path: &Path,
        operation: Operation,
        shuts: fn(&io::Error) -> bool,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        latch.check()?;
        let ticket = Ticket::take(self, latch, path, operation);
        let result = sync();
        if let Err(error) = &result
            && shuts(error)
        {
            latch.shut(path, operation, error);
        }
        let begun_end = ticket.give_back();
        result?;
        self.wait_for_those_below(begun_end, latch);
        latch.check()
    }

    /// Waits until no sync with a ticket below `begun_end` is under way, or the latch is shut.
    fn wait_for_those_below(&self, begun_end: u64, latch: &Latch) {
        let mut tickets = self.tickets.lock();
        while latch.reason().is_none() && tickets.under_way.front().is_some_and(|first| *first < begun_end) {
            self.returned.wait(&mut tickets);
        }
    }
}

/// One sync under way.
struct Ticket<'a> {
    group: &'a SyncGroup,
    latch: &'a Latch,
    path: &'a Path,
    operation: Operation,
    number: u64,
}

impl<'a> Ticket<'a> {
    fn take(group: &'a SyncGroup, latch: &'a Latch, path: &'a Path, operation: Operation) -> Self {
        let mut tickets = group.tickets.lock();
        let number = tickets.next;
        tickets.next += 1;
        tickets.under_way.push_back(number);
        Self { group, latch, path, operation, number }
    }

    /// Ends the sync; the tickets below the answer were taken before this moment.
    fn give_back(self) -> u64 {
        self.group.tickets.lock().next
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.latch.shut(self.path, self.operation, &io::Error::other("the thread that synced panicked"));
        }
        self.group.tickets.lock().under_way.retain(|number| *number != self.number);
        self.group.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::{self, JoinHandle};

    use super::*;
    use crate::env::{DirectoryLatched, RealClock};

    /// A group, its latch, and syncs on threads of their own that end when they are told to.
    struct Scene {
        group: Arc<SyncGroup>,
        latch: Arc<Latch>,
    }

    struct Running {
        end: Sender<io::Result<()>>,
        thread: JoinHandle<io::Result<()>>,
    }

    impl Running {
        fn ends_well(self) -> JoinHandle<io::Result<()>> {
            self.end.send(Ok(())).unwrap();
            self.thread
        }

        fn fails(self) -> JoinHandle<io::Result<()>> {
            self.end.send(Err(io::Error::other("disk on fire"))).unwrap();
            self.thread
        }
    }

    impl Scene {
        fn new() -> Self {
            let latch = Latch::open("/data".into(), Arc::new(RealClock));
            Self { group: Arc::default(), latch: Arc::new(latch) }
        }

        /// Begins a sync, and returns when it is under way.
        fn begin(&self) -> Running {
            let (end, told): (_, Receiver<io::Result<()>>) = channel();
            let (begun, has_begun) = channel();
            let (group, latch) = (Arc::clone(&self.group), Arc::clone(&self.latch));
            let thread = thread::spawn(move || {
                let sync = || {
                    begun.send(()).unwrap();
                    told.recv().unwrap()
                };
                group.run(&latch, Path::new("/data/file"), Operation::Sync, |_| true, sync)
            });
            has_begun.recv().unwrap();
            Running { end, thread }
        }

        /// Returns when no more than `count` syncs are under way.
        fn wait_until_under_way(&self, count: usize) {
            while self.group.tickets.lock().under_way.len() > count {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn a_sync_alone_succeeds() {
        let scene = Scene::new();
        scene.begin().ends_well().join().unwrap().unwrap();
        scene.begin().ends_well().join().unwrap().unwrap();
    }

    #[test]
    fn a_sync_that_returned_well_fails_with_one_still_under_way() {
        for _ in 0..100 {
            let scene = Scene::new();
            let (first, second) = (scene.begin(), scene.begin());
            let first = first.ends_well();
            scene.wait_until_under_way(1);
            let error = second.fails().join().unwrap().unwrap_err();
            assert_eq!(error.to_string(), "disk on fire");
            let error = first.join().unwrap().unwrap_err();
            assert_eq!(DirectoryLatched::of(&error).unwrap().reason.path, Path::new("/data/file"));
        }
    }

    #[test]
    fn a_sync_that_began_earlier_fails_with_one_that_failed_meanwhile() {
        let scene = Scene::new();
        let (first, second) = (scene.begin(), scene.begin());
        second.fails().join().unwrap().unwrap_err();
        assert!(DirectoryLatched::of(&first.ends_well().join().unwrap().unwrap_err()).is_some());
    }

    #[test]
    fn a_sync_waits_for_none_that_began_after_it_came_back() {
        let scene = Scene::new();
        let (first, second) = (scene.begin(), scene.begin());
        let first = first.ends_well();
        scene.wait_until_under_way(1);
        let third = scene.begin();
        let second = second.ends_well();
        first.join().unwrap().unwrap(); // for ever, if it waited for the third
        third.ends_well().join().unwrap().unwrap();
        second.join().unwrap().unwrap();
    }

    #[test]
    fn a_refusal_inside_the_group_fails_nobody_else() {
        let scene = Scene::new();
        let first = scene.begin();
        let refused = || Err(io::ErrorKind::StorageFull.into());
        let path = Path::new("/data/new");
        scene.group.run(&scene.latch, path, Operation::CreateDir, |_| false, refused).unwrap_err();
        first.ends_well().join().unwrap().unwrap();
    }

    #[test]
    fn a_sync_that_panics_counts_as_failed() {
        let scene = Scene::new();
        let first = scene.begin();
        let (group, latch) = (Arc::clone(&scene.group), Arc::clone(&scene.latch));
        let panicking =
            move || group.run(&latch, Path::new("/f"), Operation::Sync, |_| true, || panic!("on purpose"));
        thread::spawn(panicking).join().unwrap_err();
        first.ends_well().join().unwrap().unwrap_err();
    }
}
