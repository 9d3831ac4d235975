//! The one thread that writes to the store.
//!
//! ```text
//!   write, later --queue--> thread: take all that waits, ONE synced commit, answer each
//! ```
//!
//! Always true: jobs are written in the order they were given; a job is answered well only when it, and every job
//! before it, is synced; a full disk makes jobs wait and loses none; after the first other failure nothing is
//! written any more, and everybody is told the first reason.
//!
//! A purge is the exception: the library asks for it while the snapshot that covers it is still being installed, and a
//! crash between the two would leave neither the entries nor the snapshot. So it is answered at once, and written
//! in the same commit as the snapshot.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Change, Health, StoreError, StoreFile, StoreStopped};

/// Jobs that may wait. The library has a handful under way at most, so that giving one never blocks for long.
const JOBS_WAITING_MAX: usize = 256;
/// Jobs of one commit.
const JOBS_PER_COMMIT_MAX: usize = 64;
/// How long a job that found no room waits before it is tried again.
const ROOM_RETRY: Duration = Duration::from_millis(500);

const CLOSED: &str = "it was closed";

/// Called on the writer's thread; must not block.
type Done = Box<dyn FnOnce(Result<(), StoreStopped>) + Send>;

enum Job {
    /// Written at once.
    Write { changes: Vec<Change>, done: Done },
    /// Written together with whatever is written next, or at the end; only the last one given counts.
    Later(Change),
    /// The last job.
    Close,
}

/// The handle jobs are given to. Clones share one thread.
#[derive(Clone, Debug)]
pub(in crate::meta) struct StoreWriter {
    jobs: SyncSender<Job>,
    health: Arc<Health>,
}

impl StoreWriter {
    /// Writes `changes` together, and calls `done` on the writer's thread, or here when that is gone.
    pub(in crate::meta) fn write_then(
        &self,
        changes: Vec<Change>,
        done: impl FnOnce(Result<(), StoreStopped>) + Send + 'static,
    ) {
        if let Err(back) = self.jobs.send(Job::Write { changes, done: Box::new(done) })
            && let Job::Write { done, .. } = back.0
        {
            done(Err(self.gone()));
        }
    }

    /// Writes `changes` together and waits until they are synced. Dropping the future does not take them back.
    pub(in crate::meta) async fn write(&self, changes: Vec<Change>) -> Result<(), StoreStopped> {
        let (done, answer) = oneshot::channel();
        self.write_then(changes, move |result| {
            let _ = done.send(result);
        });
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// Writes `change` some time, and at the latest when the store is closed.
    pub(in crate::meta) fn write_later(&self, change: Change) -> Result<(), StoreStopped> {
        self.jobs.send(Job::Later(change)).map_err(|_| self.gone())
    }

    fn gone(&self) -> StoreStopped {
        self.health.stop(CLOSED)
    }
}

/// The running thread. Whoever holds it closes the store in the end.
#[derive(Debug)]
pub(in crate::meta) struct StoreThread {
    jobs: SyncSender<Job>,
    thread: JoinHandle<Result<(), StoreStopped>>,
}

impl StoreThread {
    /// Starts the thread of `file`, whose snapshot covers the log up to before `covered_end`.
    pub(in crate::meta) fn start(
        file: Arc<StoreFile>,
        health: Arc<Health>,
        covered_end: u64,
    ) -> std::io::Result<(Self, StoreWriter)> {
        let (jobs, waiting) = sync_channel(JOBS_WAITING_MAX);
        let writer = StoreWriter { jobs: jobs.clone(), health: Arc::clone(&health) };
        let (queue, later, purge) = (VecDeque::new(), None, None);
        let room = Room { file, health, waiting, queue, later, purge, covered_end, closing: false };
        let thread = std::thread::Builder::new().name("meta-store".to_owned()).spawn(|| room.run())?;
        Ok((Self { jobs, thread }, writer))
    }

    /// Writes all that waits, closes the file and ends the thread. Blocks.
    ///
    /// # Errors
    /// [`StoreStopped`] when it had failed, or failed now: what the file holds must be written again before it is
    /// believed.
    pub(in crate::meta) fn close(self) -> Result<(), StoreStopped> {
        // When nobody listens any more, the thread has ended with the reason.
        let _ = self.jobs.send(Job::Close);
        self.thread.join().unwrap_or_else(|_| Err(StoreStopped { reason: "its thread panicked".into() }))
    }
}

/// What the thread owns.
struct Room {
    file: Arc<StoreFile>,
    health: Arc<Health>,
    waiting: Receiver<Job>,
    queue: VecDeque<(Vec<Change>, Done)>,
    later: Option<Change>,
    /// The furthest purge the snapshot did not cover when it was asked for.
    purge: Option<Change>,
    /// End of the log the snapshot covers, exclusive.
    covered_end: u64,
    closing: bool,
}

impl Room {
    fn run(mut self) -> Result<(), StoreStopped> {
        while !self.closing {
            self.take_all();
            self.turn();
        }
        self.end()
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Write { changes, done } => self.queue.push_back((changes, done)),
            Job::Later(change) => self.later = Some(change),
            Job::Close => self.closing = true,
        }
    }

    /// Takes what waits; waits itself while there is nothing to do.
    fn take_all(&mut self) {
        // Jobs that came while there was no room are in the queue already.
        if self.queue.is_empty() {
            match self.waiting.recv() {
                Ok(job) => self.take(job),
                Err(_) => self.closing = true,
            }
        }
        while !self.closing && self.queue.len() < JOBS_PER_COMMIT_MAX {
            match self.waiting.try_recv() {
                Ok(job) => self.take(job),
                Err(_) => return,
            }
        }
    }

    /// Writes and answers what is in the queue.
    fn turn(&mut self) {
        let count = self.queue.len().min(JOBS_PER_COMMIT_MAX);
        if count == 0 {
            return;
        }
        let result = match self.health.stopped() {
            Some(stopped) => Err(stopped),
            None => self.commit(count).map_err(|error| self.health.stop(&error.to_string())),
        };
        for (_, done) in self.queue.drain(..count) {
            done(result.clone());
        }
    }

    /// Writes the first `count` jobs; waits as long as there is no room for them.
    fn commit(&mut self, count: usize) -> Result<(), StoreError> {
        let purges = self.queue.iter().take(count).flat_map(|(changes, _)| changes);
        let purge = purges.chain(&self.purge).filter(|it| it.purge_end().is_some());
        self.purge = purge.max_by_key(|it| it.purge_end()).cloned();
        let mut result = self.write(count);
        while let Err(error) = &result
            && error.is_full()
            && !self.closing
        {
            if !self.health.make_room() {
                if self.health.full(&error.to_string()) {
                    tracing::warn!(%error, "metadata stands still here: the quorum's store waits for room on the disk");
                }
                self.wait_for_room();
            }
            // Only the file knows whether the commit had been complete; writing it again changes nothing then.
            result = self.file.reopen().and_then(|()| self.write(count));
        }
        if result.is_ok() {
            self.later = None;
            self.forget_purge(count);
            if self.health.working() {
                tracing::info!("the quorum's store has room again");
            }
        }
        result
    }

    /// Waits a while; takes what comes meanwhile.
    fn wait_for_room(&mut self) {
        match self.waiting.recv_timeout(ROOM_RETRY) {
            Ok(job) => self.take(job),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.closing = true,
        }
    }

    /// The purge was written if the snapshot covers it by now.
    fn forget_purge(&mut self, count: usize) {
        for change in self.queue.iter().take(count).flat_map(|(changes, _)| changes) {
            if let Change::Snapshot { end, .. } = change {
                self.covered_end = self.covered_end.max(*end);
            }
        }
        self.purge.take_if(|purge| purge.purge_end().is_some_and(|end| end <= self.covered_end));
    }

    fn write(&self, count: usize) -> Result<(), StoreError> {
        let jobs = self.queue.iter().take(count).flat_map(|(changes, _)| changes);
        self.file.commit(jobs.chain(&self.purge).chain(&self.later))
    }

    fn end(mut self) -> Result<(), StoreStopped> {
        while !self.queue.is_empty() {
            self.turn();
        }
        if let Some(stopped) = self.health.stopped() {
            return Err(stopped);
        }
        let written = if self.later.is_some() { self.write(0) } else { Ok(()) };
        // Told before the file is closed, so that nobody takes its silence for an answer.
        let closed = written.and_then(|()| self.file.close());
        match closed {
            Ok(()) => {
                self.health.stop(CLOSED);
                Ok(())
            }
            Err(error) => Err(self.health.stop(&error.to_string())),
        }
    }
}
