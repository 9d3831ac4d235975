//! A quorum of one: proposals of all brokers, decided by one writer over one store.
//!
//! ```text
//!   propose --queue--> writer: take all that wait, decide each in order, ONE synced commit, publish, answer
//!                                                                                    \--> watchers
//! ```
//!
//! Always true: nothing is answered or shown before its commit is synced; watchers hold an index and take from what
//! is published at their own pace, so that a slow one costs nobody anything; after the store failed nothing is
//! decided any more, the first reason is told, and what was under way is unknown.
//!
//! Not here: a thread. The node runs [`LocalWriter::run`] on one of its own.

mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use fidelog_record::types::{BrokerId, MetaIndex};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::published::Published;
use super::quorum::{Accepted, MetadataQuorum, ProposeError, QuorumStatus, Unconfirmed, WatchStream};
use super::state::Proposal;
use super::store::{Loaded, MetaStore};
use fidelog_log::env::{Clock, Entropy};
pub use writer::{LocalWriter, Turn, WriterError};

/// Proposals that may wait for the writer; whoever comes later waits to queue.
pub const PROPOSALS_WAITING_MAX: usize = 1024;

/// A proposal on its way to the writer.
#[derive(Debug)]
struct Waiting {
    proposal: Proposal,
    answer: oneshot::Sender<Result<Accepted, ProposeError>>,
}

/// The quorum's handle. Clones share one quorum; when the last is gone, or one was shut down, the writer ends.
#[derive(Clone, Debug)]
pub struct LocalQuorum {
    broker: BrokerId,
    published: Arc<Published>,
    /// Gone once it is shut down.
    proposals: Arc<Mutex<Option<mpsc::Sender<Waiting>>>>,
}

impl LocalQuorum {
    /// A quorum of one on `broker` over an open store, and the writer that must be run for it.
    #[must_use]
    pub fn new(
        broker: BrokerId,
        store: MetaStore,
        loaded: Loaded,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> (Self, LocalWriter) {
        let (proposals, waiting) = mpsc::channel(PROPOSALS_WAITING_MAX);
        let state = loaded.state.clone();
        let published = Arc::new(Published::new(loaded));
        let writer = LocalWriter::new(store, state, Arc::clone(&published), waiting, clock, entropy);
        (Self { broker, published, proposals: Arc::new(Mutex::new(Some(proposals))) }, writer)
    }

    /// Takes no more proposals; the writer ends once it has decided those that wait.
    pub fn shut_down(&self) {
        drop(self.proposals.lock().take());
    }
}

impl MetadataQuorum for LocalQuorum {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'static, Result<Accepted, ProposeError>> {
        let (proposals, published) = (self.proposals.lock().clone(), Arc::clone(&self.published));
        async move {
            let Some(proposals) = proposals else {
                return Err(ProposeError::Unavailable { reason: published.why_stopped() });
            };
            let (answer, answered) = oneshot::channel();
            // Stopping here is safe: a proposal not yet queued was not made.
            if proposals.send(Waiting { proposal, answer }).await.is_err() {
                return Err(ProposeError::Unavailable { reason: published.why_stopped() });
            }
            // Stopping here leaves the outcome unknown to whoever dropped the future, and to nobody else.
            match answered.await {
                Ok(result) => result,
                Err(_) => Err(ProposeError::Unreachable { reason: published.why_stopped() }),
            }
        }
        .boxed()
    }

    fn confirm(&self) -> BoxFuture<'static, Result<MetaIndex, Unconfirmed>> {
        let status = self.status();
        async move { status.stopped.map_or(Ok(status.index), |reason| Err(Unconfirmed { reason })) }.boxed()
    }

    fn watch(&self, from: MetaIndex) -> WatchStream {
        self.published.watch(from)
    }

    fn status(&self) -> QuorumStatus {
        self.published.status(self.broker)
    }
}
