//! Whoever waits for a produce.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use tokio::sync::oneshot;

use super::outcome::ProduceAnswer;

/// Takes the answers of many produces: a stream's.
pub trait AnswerSink: Send + Sync {
    /// The answer to the produce that was numbered `request_id`. Returns at once. Called under the partition's lock:
    /// whom it would wake it returns, to be woken when the lock is free.
    fn answer(&self, request_id: u64, answer: ProduceAnswer) -> Option<Waker>;
}

/// Whoever waits for one produce. Dropped unanswered only when the process ends.
pub enum Waiter {
    /// A unary call.
    One(oneshot::Sender<ProduceAnswer>),
    /// One request of a stream.
    Of(Arc<dyn AnswerSink>, u64),
}

impl Waiter {
    /// Whoever is returned must be woken.
    #[must_use]
    pub(super) fn answer(self, answer: ProduceAnswer) -> Option<Waker> {
        match self {
            Self::One(sender) => {
                // A caller that went away is told nothing; what was placed stays placed.
                drop(sender.send(answer));
                None
            }
            Self::Of(sink, request_id) => sink.answer(request_id, answer),
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(_) => f.write_str("One"),
            Self::Of(_, request_id) => write!(f, "Of({request_id})"),
        }
    }
}
