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
pub(super) struct Heard(Arc<Mutex<BTreeMap<NodeId, Instant>>>);

impl Heard {
    pub(super) fn answered(&self, node: NodeId) {
        self.0.lock().insert(node, Instant::now());
    }

    /// Whether it has not answered for long, or not once.
    pub(super) fn is_silent(&self, node: NodeId) -> bool {
        self.0.lock().get(&node).is_none_or(|at| at.elapsed() > SILENCE_MAX)
    }
}
