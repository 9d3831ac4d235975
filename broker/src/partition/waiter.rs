//! Whoever waits for a produce.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::outcome::ProduceAnswer;

/// Takes the answers of many produces: a stream's.
pub trait AnswerSink: Send + Sync {
    /// The answer to the produce that was numbered `request_id`. Returns at once.
    fn answer(&self, request_id: u64, answer: ProduceAnswer);
}

/// Whoever waits for one produce. Dropped unanswered only when the process ends.
pub enum Waiter {
    /// A unary call.
    One(oneshot::Sender<ProduceAnswer>),
    /// One request of a stream.
    Of(Arc<dyn AnswerSink>, u64),
}

impl Waiter {
    pub(super) fn answer(self, answer: ProduceAnswer) {
        match self {
            // A caller that went away is told nothing; what was placed stays placed.
            Self::One(sender) => drop(sender.send(answer)),
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
