//! A partition lets go of its log: for good, or to have it opened again after it stopped.

use std::sync::Arc;

use fidelog_log::{Log, LogEvents, LogFailure, LogWork, OpenError, RecoveryReport};

use super::log_state::LogState;
use super::machine::Machine;
use super::shell::Partition;

/// Why a log that has stopped was not opened again.
#[derive(Debug, thiserror::Error)]
pub enum ReopenError {
    /// It could not be let go of.
    #[error(transparent)]
    NotClosed(#[from] LogFailure),
    /// It could not be opened.
    #[error(transparent)]
    NotOpened(#[from] OpenError),
}

impl Partition {
    /// Lets go of the log, or deletes it with all its files; waits until that is done or refused.
    ///
    /// # Errors
    /// What the disk said. A delete that was refused is to be asked for again: the log is still there, and takes
    /// nothing else.
    pub async fn close(&self, delete: bool) -> Result<(), LogFailure> {
        // Stopping here is safe: nothing was begun.
        *self.gone.lock().await = true;
        self.step(|machine, _| machine.stopping());
        self.let_go(if delete { LogWork::Delete } else { LogWork::Close }).await
    }

    async fn let_go(&self, work: LogWork) -> Result<(), LogFailure> {
        let mut closed = self.closed.subscribe();
        self.submit(work);
        // Stopping here is safe: the flusher goes on by itself.
        closed.changed().await.expect("the sender is borrowed here");
        closed.borrow_and_update().clone()
    }

    /// Opens the log again that has stopped; `None` when it has not, or is let go of for good. `open` is
    /// [`Log::open`], where blocking is allowed. Readers and whoever else holds this partition go on with it.
    ///
    /// # Errors
    /// [`ReopenError`]: it is stopped as before, and this may be tried again.
    pub async fn reopen(
        self: &Arc<Self>,
        open: impl AsyncFnOnce() -> Result<(Log, RecoveryReport), OpenError>,
    ) -> Result<Option<RecoveryReport>, ReopenError> {
        // Stopping at any of these awaits is safe: it is stopped, and is opened again later.
        let gone = self.gone.lock().await;
        if *gone || !self.inspect(Machine::is_stopped) {
            return Ok(None);
        }
        self.let_go(LogWork::Close).await?;
        let (mut log, report) = open().await?;
        log.replace(&self.view());
        let state = LogState::of(&log);
        // What the machine submits finds the log attached.
        drop(self.flusher.attach(log, Arc::clone(self) as Arc<dyn LogEvents>));
        self.configure_again();
        self.step(|machine, now| machine.reopened(state, now));
        Ok(Some(report))
    }
}
