//! The generation of a data directory in use: it rises every few seconds while anything is written there, so that a
//! copy put back later is told from what it was copied from (N13).
//!
//! Always true: it is raised and synced before it is registered. That others raise theirs is no reason to raise it, or
//! nobody would ever come to rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fidelog_log::DataDir;
use fidelog_record::types::Generation;
use tracing::warn;

use super::housekeeping::every;
use crate::meta::quorum::MetadataQuorum;
use crate::meta::state::{ClusterState, Proposal};
use crate::meta::view::MetaView;

const GENERATION_EVERY: Duration = Duration::from_secs(5);

/// Tells whether anything was written.
pub(super) struct Written {
    /// Bytes of all logs together, since the start.
    flushed_bytes: Arc<AtomicU64>,
    /// On a controller, what is decided.
    decided: Option<Arc<MetaView>>,
    bytes_told: u64,
    decided_told: Option<Arc<ClusterState>>,
    term_told: u64,
}

impl Written {
    pub(super) fn new(flushed_bytes: Arc<AtomicU64>, decided: Option<Arc<MetaView>>) -> Self {
        Self { flushed_bytes, decided, bytes_told: 0, decided_told: None, term_told: 0 }
    }

    /// Whether anything was written since this was called last; `term` is that of the quorum.
    fn anew(&mut self, term: u64) -> bool {
        let bytes = self.flushed_bytes.load(Ordering::Relaxed);
        let mut anew = std::mem::replace(&mut self.bytes_told, bytes) != bytes;
        let Some(view) = &self.decided else { return anew };
        anew |= std::mem::replace(&mut self.term_told, term) != term;
        let Some(state) = view.state() else { return anew };
        let before = self.decided_told.replace(Arc::clone(&state));
        anew | before.is_none_or(|before| state.adds_to(&before))
    }
}

/// Raises the generation again and again, as long as anything is written; `proposal` registers it.
pub(super) async fn raise_while_written(
    home: Arc<DataDir>,
    quorum: Arc<dyn MetadataQuorum>,
    mut written: Written,
    proposal: impl Fn(Generation) -> Proposal,
) {
    let mut interval = every(GENERATION_EVERY);
    loop {
        // Stopping at any of these awaits is safe: a generation that is not registered yet is the next time.
        interval.tick().await;
        if !written.anew(quorum.status().term) {
            continue;
        }
        let directory = Arc::clone(&home);
        match tokio::task::spawn_blocking(move || directory.raise_generation()).await {
            Ok(Ok(generation)) => {
                if let Err(error) = quorum.propose(proposal(generation)).await {
                    tracing::debug!("the generation {generation} is not registered yet: {error}");
                }
            }
            Ok(Err(error)) => warn!("the generation cannot be raised: {error}"),
            Err(panicked) => warn!("the generation cannot be raised: {panicked}"),
        }
    }
}
