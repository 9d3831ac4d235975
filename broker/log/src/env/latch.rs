//! The latch of a data directory: shut once, never opened again in this process.
//!
//! Always true: the first reason is kept, and everyone who subscribed is told it exactly once. It decides nothing:
//! `Latched` knows which errors shut it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{Clock, Operation};

/// Why a data directory was latched.
#[derive(Debug)]
pub struct LatchReason {
    /// The data directory.
    pub directory: PathBuf,
    /// The file or directory the failed call was about.
    pub path: PathBuf,
    /// The call that failed.
    pub operation: Operation,
    /// What the disk said.
    pub error: io::Error,
    /// When, Unix milliseconds of the wall clock.
    pub at_ms: u64,
}

impl fmt::Display for LatchReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { directory, path, operation, error, at_ms } = self;
        let (directory, path) = (directory.display(), path.display());
        write!(
            formatter,
            "{operation} of {path} failed at Unix ms {at_ms}: {error}; data directory {directory}"
        )
    }
}

/// The error of everything that would change a latched directory. It travels inside an [`io::Error`] of kind
/// `Other`; [`DirectoryLatched::of`] finds it there.
#[derive(Clone, Debug, thiserror::Error)]
#[error("nothing more is written: {reason} is latched until the broker is restarted on a sound disk")]
pub struct DirectoryLatched {
    /// The first reason.
    pub reason: Arc<LatchReason>,
}

impl DirectoryLatched {
    /// The latch behind `error`, if it is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

type Subscriber = Box<dyn FnOnce(Arc<LatchReason>) + Send>;

/// The latch of one data directory.
pub struct Latch {
    directory: PathBuf,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    shut: Condvar,
}

#[derive(Default)]
struct State {
    reason: Option<Arc<LatchReason>>,
    subscribers: Vec<Subscriber>,
}

impl Latch {
    /// An open latch for `directory`; `clock` dates the reason.
    #[must_use]
    pub fn open(directory: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { directory, clock, state: Mutex::default(), shut: Condvar::new() }
    }

    /// The first reason, once there is one.
    #[must_use]
    pub fn reason(&self) -> Option<Arc<LatchReason>> {
        self.state.lock().reason.clone()
    }

    /// Whether changes are still allowed.
    ///
    /// # Errors
    /// [`DirectoryLatched`] once the latch is shut.
    pub fn check(&self) -> io::Result<()> {
        match self.reason() {
            None => Ok(()),
            Some(reason) => Err(io::Error::other(DirectoryLatched { reason })),
        }
    }

    /// Shuts the latch and tells the subscribers, on this thread; does nothing when it is shut already.
    pub fn shut(&self, path: &Path, operation: Operation, error: &io::Error) {
        let mut state = self.state.lock();
        if state.reason.is_some() {
            return;
        }
        let reason = Arc::new(LatchReason {
            directory: self.directory.clone(),
            path: path.into(),
            operation,
            error: copy_of(error),
            at_ms: self.clock.wall_ms(),
        });
        state.reason = Some(Arc::clone(&reason));
        let subscribers = std::mem::take(&mut state.subscribers);
        drop(state);
        self.shut.notify_all();
        for subscriber in subscribers {
            subscriber(Arc::clone(&reason));
        }
    }

    /// Has `subscriber` called once with the reason: by the thread that shuts the latch, or here and now when it is
    /// shut already. It must not block.
    pub fn subscribe(&self, subscriber: impl FnOnce(Arc<LatchReason>) + Send + 'static) {
        let mut state = self.state.lock();
        match state.reason.clone() {
            None => state.subscribers.push(Box::new(subscriber)),
            Some(reason) => {
                drop(state);
                subscriber(reason);
            }
        }
    }

    /// Waits until the latch is shut, for `patience` at most.
    #[must_use]
    pub fn wait_for(&self, patience: Duration) -> Option<Arc<LatchReason>> {
        let mut state = self.state.lock();
        let deadline = Instant::now().checked_add(patience);
        while state.reason.is_none() {
            match deadline {
                None => self.shut.wait(&mut state),
                Some(deadline) => {
                    if self.shut.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        state.reason.clone()
    }
}

impl fmt::Debug for Latch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Latch")
            .field("directory", &self.directory)
            .field("reason", &self.reason())
            .finish()
    }
}

/// The same error once more, because the caller gets the original.
fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
