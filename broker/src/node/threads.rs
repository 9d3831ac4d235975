//! The node's own threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use fidelog_log::{FlushOutcome, Flusher};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::running::{StopReason, Stopper};
use super::start_error::StartError;
use crate::meta::raft::{LogStore, Opened, RaftParts, RaftQuorum, StateMachine};

/// The thread that flushes.
#[derive(Debug)]
pub(super) struct FlushThread {
    stop: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
    /// Bytes flushed since the start.
    pub(super) flushed_bytes: Arc<AtomicU64>,
}

impl FlushThread {
    /// Starts it; a latched directory stops the node.
    pub(super) fn start(flusher: Arc<Flusher>, stopper: Stopper) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let flushed_bytes = Arc::new(AtomicU64::new(0));
        let (stopped, bytes) = (Arc::clone(&stop), Arc::clone(&flushed_bytes));
        let handle = std::thread::Builder::new().name("flush".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                match flusher.flush_once(Duration::from_millis(500)) {
                    FlushOutcome::Idle => {}
                    FlushOutcome::Flushed(counts) => {
                        bytes.fetch_add(counts.bytes, Ordering::Relaxed);
                    }
                    FlushOutcome::Latched(reason) => {
                        stopper.stop(StopReason::DiskFailed(reason.to_string()));
                        std::thread::sleep(Duration::from_millis(50));
                    }
                }
            }
        })?;
        Ok(Self { stop, handle: Some(handle), flushed_bytes })
    }

    /// Ends it and waits for that. Blocking.
    pub(super) fn join(&mut self, flusher: &Flusher) {
        self.stop.store(true, Ordering::Release);
        flusher.wake();
        if let Some(handle) = self.handle.take() {
            // A panic there has aborted the process already.
            drop(handle.join());
        }
    }
}

/// A controller's open store.
#[derive(Debug)]
pub(super) struct RaftOpen {
    pub(super) log: LogStore,
    pub(super) machine: StateMachine,
    pub(super) opened: Opened,
}

/// The thread a controller runs on: a runtime of its own, that no client and no replication delays.
#[derive(Debug)]
pub(super) struct QuorumThread {
    stop: CancellationToken,
    handle: JoinHandle<bool>,
    /// Nothing is ever sent: it is cut off when the thread ends.
    ended: mpsc::Receiver<()>,
}

impl QuorumThread {
    /// Starts a controller over an open store; one that fails later stops the node. Blocking.
    pub(super) fn start(
        parts: RaftParts,
        store: RaftOpen,
        stopper: Stopper,
    ) -> Result<(Self, RaftQuorum), StartError> {
        let stop = CancellationToken::new();
        let (ending, ended) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let stopped = stop.clone();
        let handle = std::thread::Builder::new().name("quorum".to_owned()).spawn(move || {
            let _ending: mpsc::Sender<()> = ending;
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    // Whoever waits for it hears it; nobody waits when it is gone.
                    let _ = tell.send(Err(StartError::Thread(error)));
                    return false;
                }
            };
            let RaftOpen { log, machine, opened } = store;
            runtime.block_on(async {
                match RaftQuorum::start(parts, log, machine, &opened).await {
                    Ok(quorum) => {
                        let _ = tell.send(Ok(quorum.clone()));
                        run(quorum, stopper, stopped).await;
                    }
                    Err(error) => {
                        let _ = tell.send(Err(StartError::Quorum(error)));
                    }
                }
            });
            drop(runtime);
            let closed = opened.close();
            closed.inspect_err(|error| tracing::warn!("the metadata store was not closed: {error}")).is_ok()
        })?;
        let quorum = told
            .recv()
            .map_err(|_| StartError::Protocol("the thread of the quorum ended early".to_owned()))??;
        Ok((Self { stop, handle, ended }, quorum))
    }

    /// Ends the controller and waits for that; tells whether its store was closed well. Blocking.
    pub(super) fn join(self, wait_max: Duration) -> bool {
        self.stop.cancel();
        let ended = self.ended.recv_timeout(wait_max) == Err(mpsc::RecvTimeoutError::Disconnected);
        // A panic there has aborted the process already.
        ended && self.handle.join().unwrap_or(false)
    }
}

async fn run(quorum: RaftQuorum, stopper: Stopper, stop: CancellationToken) {
    // Stopping either is safe: both only wait.
    tokio::select! {
        () = stop.cancelled() => {}
        reason = quorum.failed() => stopper.stop(StopReason::Metadata(reason)),
    }
    quorum.shut_down().await;
}
