//! Tasks between the nodes: they run on the runtime for that, and end with the node.

use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::running::Stopper;
use super::start_error::StartError;

/// Where a node's tasks between the nodes run, and what ends them.
#[derive(Clone, Debug)]
pub(super) struct PeerTasks {
    runtime: Handle,
    /// Counts them.
    pub(super) tracker: TaskTracker,
    /// Ends them all.
    pub(super) stop: CancellationToken,
    stopper: Stopper,
}

impl PeerTasks {
    /// None yet.
    pub(super) fn new(runtime: &Runtime, stopper: Stopper) -> Self {
        let (runtime, tracker) = (runtime.handle().clone(), TaskTracker::new());
        Self { runtime, tracker, stop: CancellationToken::new(), stopper }
    }

    /// Runs it until the node stops: it must be safe to stop at every await.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        let task = async move {
            stop.run_until_cancelled(task).await;
        };
        self.tracker.spawn_on(task, &self.runtime);
    }

    /// Waits for what a start cannot go on without. Blocking; not to be called on an async runtime's thread.
    ///
    /// # Errors
    /// [`StartError::Stopped`] when the node must stop before that.
    pub(super) fn wait_for<T>(&self, what: impl Future<Output = T>) -> Result<T, StartError> {
        self.runtime.block_on(async {
            // Stopping it is safe: the node stops, and its next start does all of it again.
            tokio::select! {
                done = what => Ok(done),
                reason = self.stopper.wait() => Err(StartError::Stopped(reason)),
            }
        })
    }

    /// What is made inside may spawn on the runtime.
    pub(super) fn inside<T>(&self, make: impl FnOnce() -> T) -> T {
        let _inside = self.runtime.enter();
        make()
    }
}
