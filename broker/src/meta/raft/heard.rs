//! When each of the other controllers answered last: the library of this version does not say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::types::NodeId;

/// One that has not answered for so long is told to people; heartbeats are far more frequent.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    answers: Arc<Mutex<BTreeMap<NodeId, Instant>>>,
    since: Arc<Mutex<Option<Instant>>>,
}

impl Heard {
    pub(super) fn answered(&self, node: NodeId) {
        self.answers.lock().insert(node, Instant::now());
    }

    /// This controller leads from now on: whoever did not answer it as long as it asked nothing is not silent.
    pub(super) fn begin(&self) {
        *self.since.lock() = Some(Instant::now());
    }

    /// Whether it has not answered for long, or not once.
    pub(super) fn is_silent(&self, node: NodeId) -> bool {
        let answered = self.answers.lock().get(&node).copied();
        answered.max(*self.since.lock()).is_none_or(|at| at.elapsed() > SILENCE_MAX)
    }
}
