//! The one writer of a quorum of one.
//!
//! Always true: `state` is what is committed plus what this turn decided; a turn is one commit; the first failure of
//! the store is the last turn.

use std::sync::Arc;

use fidelog_log::env::{Clock, Entropy};
use fidelog_record::types::{MetaIndex, TopicId};
use tokio::sync::{mpsc, oneshot};

use super::Waiting;
use crate::meta::published::Published;
use crate::meta::quorum::{Accepted, ProposeError};
use crate::meta::state::{ApplyError, ClusterState, Entry, Minted, Outcome};
use crate::meta::store::{MetaStore, StoreError};

/// The most proposals of one commit.
const PROPOSALS_PER_TURN_MAX: usize = 1024;

type Answer = oneshot::Sender<Result<Accepted, ProposeError>>;

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Proposals were decided; more may come.
    Decided,
    /// Every handle of the quorum is gone.
    Finished,
}

/// Why the writer ended for good. The broker stops.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The store failed; what was under way is unknown.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry decided on a state does not fit it: a bug.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Decides, commits, publishes, answers.
#[derive(Debug)]
pub struct LocalWriter {
    store: MetaStore,
    state: ClusterState,
    published: Arc<Published>,
    waiting: mpsc::Receiver<Waiting>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// What one turn decided.
#[derive(Default)]
struct Decided {
    entries: Vec<(MetaIndex, Arc<Entry>)>,
    accepted: Vec<(Answer, Accepted)>,
    refused: Vec<(Answer, ProposeError)>,
}

impl LocalWriter {
    pub(super) fn new(
        store: MetaStore,
        state: ClusterState,
        published: Arc<Published>,
        waiting: mpsc::Receiver<Waiting>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, state, published, waiting, clock, entropy }
    }

    /// Works until every handle is gone. Blocks its thread, which must not be one of an async runtime.
    ///
    /// # Errors
    /// [`WriterError`]: nothing is decided any more, everybody was told, and the broker must stop.
    pub fn run(mut self) -> Result<(), WriterError> {
        while self.run_once()? == Turn::Decided {}
        Ok(())
    }

    /// Waits for a proposal, then decides all that wait in one commit.
    ///
    /// # Errors
    /// As [`Self::run`]; it must not be called again then.
    pub fn run_once(&mut self) -> Result<Turn, WriterError> {
        let mut taken = Vec::new();
        if self.waiting.blocking_recv_many(&mut taken, PROPOSALS_PER_TURN_MAX) == 0 {
            self.published.stop("the quorum was shut down");
            return Ok(Turn::Finished);
        }
        self.turn(taken).inspect_err(|error| self.stop(&error.to_string()))?;
        Ok(Turn::Decided)
    }

    fn turn(&mut self, taken: Vec<Waiting>) -> Result<(), WriterError> {
        let mut decided = self.decide(taken)?;
        if !decided.entries.is_empty() {
            match self.store.commit(&decided.entries, &self.state) {
                Ok(()) => {}
                Err(error) if error.is_full() => self.settle_full(&mut decided, &error)?,
                Err(error) => {
                    // Told before the answers are dropped, so that who loses one can say why.
                    self.published.stop(&error.to_string());
                    return Err(error.into());
                }
            }
            self.published.publish(decided.entries)?;
        }
        // Whoever no longer waits for an answer learns it from the watch.
        for (answer, accepted) in decided.accepted {
            let _ = answer.send(Ok(accepted));
        }
        for (answer, error) in decided.refused {
            let _ = answer.send(Err(error));
        }
        Ok(())
    }

    fn decide(&mut self, taken: Vec<Waiting>) -> Result<Decided, ApplyError> {
        let now_ms = self.clock.wall_ms();
        let mut decided = Decided::default();
        for Waiting { proposal, answer } in taken {
            let minted = Minted { topic: TopicId::from_random(self.entropy.id_bytes()) };
            match self.state.decide(&proposal, now_ms, &minted) {
                Ok(entry) => {
                    let index = self.state.index().next();
                    self.state.apply(index, &entry)?;
                    decided.accepted.push((answer, Accepted { index, outcome: Outcome::of(&entry) }));
                    decided.entries.push((index, Arc::new(entry)));
                }
                Err(refusal) => decided.refused.push((answer, ProposeError::Refused { refusal })),
            }
        }
        Ok(decided)
    }

    /// The disk had no room. That is a refusal and not a failure (R1), but only the file knows whether the commit,
    /// which is there whole or not at all, had been complete: it is opened anew, and what it holds counts.
    fn settle_full(&mut self, decided: &mut Decided, error: &StoreError) -> Result<(), StoreError> {
        let committed = self.store.reopen()?.state.index();
        if committed == self.state.index() {
            return Ok(());
        }
        let published = self.published.state().expect("a quorum of one begins with a state");
        self.state = ClusterState::clone(&published);
        decided.entries.clear();
        // Refusals of this turn may rest on entries that are gone, so they are taken back too.
        let accepted = std::mem::take(&mut decided.accepted).into_iter().map(|(answer, _)| answer);
        let refused = std::mem::take(&mut decided.refused).into_iter().map(|(answer, _)| answer);
        let unavailable = ProposeError::Unavailable { reason: error.to_string() };
        decided.refused = accepted.chain(refused).map(|answer| (answer, unavailable.clone())).collect();
        Ok(())
    }

    /// Nothing is believed any more: who waits is told that nothing of theirs was taken, who was being decided loses
    /// the answer and so knows that the outcome is unknown.
    fn stop(&mut self, reason: &str) {
        self.published.stop(reason);
        self.waiting.close();
        while let Ok(Waiting { answer, .. }) = self.waiting.try_recv() {
            let _ = answer.send(Err(ProposeError::Unavailable { reason: reason.to_owned() }));
        }
    }
}
