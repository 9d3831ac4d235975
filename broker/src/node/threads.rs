//! The node's own threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use fidelog_log::{FlushOutcome, Flusher};

use super::running::{StopReason, Stopper};
use crate::meta::local::{LocalQuorum, LocalWriter};

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

/// The thread on which the quorum of one decides.
#[derive(Debug)]
pub(super) struct QuorumThread {
    quorum: LocalQuorum,
    handle: JoinHandle<()>,
    /// Nothing is ever sent: it is cut off when the thread ends.
    ended: mpsc::Receiver<()>,
}

impl QuorumThread {
    /// Starts it; a store that fails stops the node.
    pub(super) fn start(quorum: LocalQuorum, writer: LocalWriter, stopper: Stopper) -> std::io::Result<Self> {
        let (ending, ended) = mpsc::channel();
        let handle = std::thread::Builder::new().name("quorum".to_owned()).spawn(move || {
            let _ending: mpsc::Sender<()> = ending;
            if let Err(error) = writer.run() {
                stopper.stop(StopReason::Metadata(error.to_string()));
            }
        })?;
        Ok(Self { quorum, handle, ended })
    }

    /// Shuts the quorum down and waits for the thread to end; tells whether it did. Blocking.
    pub(super) fn join(self, wait_max: Duration) -> bool {
        self.quorum.shut_down();
        let ended = self.ended.recv_timeout(wait_max) == Err(mpsc::RecvTimeoutError::Disconnected);
        if ended {
            // A panic there has aborted the process already.
            drop(self.handle.join());
        }
        ended
    }
}
