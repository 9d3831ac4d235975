//! Group commit: one thread writes everything that waits with one sync.
//!
//! Positions count bytes from the file's start; ends are exclusive. What is reported as synced never goes back. A
//! disk error ends the process: a floor has nothing better to do, and nothing may be answered after it.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use bytes::Bytes;

use crate::floor::append_file::{AppendFile, Cache};

/// A handle to the thread; dropping it lets the thread finish what waits, and waits for it.
#[derive(Debug)]
pub(super) struct Flusher {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

/// Bounded by what the clients keep in flight.
#[derive(Debug, Default)]
struct Waiting {
    pieces: Vec<Bytes>,
    closed: bool,
}

impl Flusher {
    /// Makes the file at `path` and starts its thread, which calls `on_synced` with each new synced end.
    ///
    /// # Errors
    /// When the file or the thread cannot be made.
    pub(super) fn start(path: &Path, on_synced: impl FnMut(u64) + Send + 'static) -> Result<Self> {
        let file = AppendFile::create(path, cache())?;
        let queue = Arc::new(Queue::default());
        let taken = queue.clone();
        let thread = std::thread::Builder::new()
            .name("flusher".to_owned())
            .spawn(move || flush_all(&taken, file, on_synced))
            .context("cannot start the flusher")?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Hands over pieces to be written after all earlier ones. Does not wait.
    pub(super) fn append(&self, pieces: impl IntoIterator<Item = Bytes>) {
        self.queue.waiting().pieces.extend(pieces);
        self.queue.arrived.notify_one();
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.queue.waiting().closed = true;
        self.queue.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic over there was printed over there.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves everything that waits into `pieces`, as soon as there is something; false when there never will be.
    fn take_all(&self, pieces: &mut Vec<Bytes>) -> bool {
        pieces.clear();
        let idle = |waiting: &mut Waiting| waiting.pieces.is_empty() && !waiting.closed;
        let mut waiting =
            self.arrived.wait_while(self.waiting(), idle).unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.pieces, pieces);
        !pieces.is_empty()
    }
}

fn flush_all(queue: &Queue, mut file: AppendFile, mut on_synced: impl FnMut(u64)) {
    let mut pieces = Vec::new();
    while queue.take_all(&mut pieces) {
        let flushed = file.append(&pieces).and_then(|end| {
            file.sync()?;
            on_synced(end);
            file.drop_cache()
        });
        if let Err(error) = flushed {
            eprintln!("the floor's disk failed: {error:#}");
            std::process::exit(1);
        }
    }
}

/// Kept, unless `FIDELOG_BENCH_DROP_CACHE` is set.
fn cache() -> Cache {
    if std::env::var_os("FIDELOG_BENCH_DROP_CACHE").is_some() { Cache::Dropped } else { Cache::Kept }
}
