//! The task that keeps a [`MetaView`] by following a watch, for as long as the broker lives.
//!
//! ```text
//!   connect -> check incarnation and index -> apply in order, skip repeats -> persist -> publish -> ...
//!      ^                                                                  stream lost: jittered pause -\
//!      \-----------------------------------------------------------------------------------------------/
//! ```
//!
//! Always true: the index is persisted before the state is published (N1); the view never goes back: a quorum of
//! another incarnation, or behind what was seen, ends the task with METADATA_LOST.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::{Clock, Entropy};
use fidelog_record::types::{ClusterId, Incarnation, MetaIndex};
use futures::StreamExt;

use super::quorum::{MetadataQuorum, WatchError, WatchEvent};
use super::state::{Ancestor, ApplyError, Changes, ClusterState, DecodeError, Entry};
use super::view::MetaView;

#[cfg(test)]
mod tests;

/// The newest metadata a data directory has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HighestSeen {
    /// Whose; none before the first.
    pub incarnation: Option<Incarnation>,
    /// How far.
    pub index: MetaIndex,
}

/// Where the newest metadata seen is kept.
pub trait PersistSeen: Send + Sync {
    /// Keeps `seen`, synced when it returns. Blocking.
    ///
    /// # Errors
    /// Whatever the disk says; the follower ends.
    fn persist(&self, seen: HighestSeen) -> io::Result<()>;
}

/// Why a follower ended. The broker stops.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// METADATA_LOST.
    #[error(
        "metadata lost: this broker has seen incarnation {} up to index {}, the quorum is incarnation {incarnation} at \
         index {index}; restore the quorum's store", incarnation_text(seen.incarnation), seen.index
    )]
    MetadataLost {
        /// What was seen.
        seen: HighestSeen,
        /// What the quorum says.
        incarnation: Incarnation,
        /// What the quorum says.
        index: MetaIndex,
    },
    /// The quorum of another cluster.
    #[error("the quorum belongs to cluster {found}, this broker to {expected}; check the addresses")]
    WrongCluster {
        /// What the quorum says.
        found: ClusterId,
        /// Whose this broker is.
        expected: ClusterId,
    },
    /// An entry does not fit.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Something this version does not know.
    #[error("the metadata cannot be read, perhaps a newer version wrote it: {0}")]
    Unreadable(#[from] DecodeError),
    /// The index seen could not be kept.
    #[error("the highest metadata index could not be kept: {0}")]
    Persist(#[from] io::Error),
}

fn incarnation_text(incarnation: Option<Incarnation>) -> String {
    incarnation.map_or_else(|| "none".to_owned(), |it| it.to_string())
}

/// Pauses between attempts to reach the quorum.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first, at most. Default 50 ms.
    pub first: Duration,
    /// Any, at most; doubled until there. Default 2 s.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(50), max: Duration::from_secs(2) }
    }
}

/// Follows the watch for one view.
pub struct Follower {
    /// The view it keeps; it has no other follower.
    pub view: Arc<MetaView>,
    /// Whom it follows.
    pub quorum: Arc<dyn MetadataQuorum>,
    /// Whose quorum that must be.
    pub cluster: ClusterId,
    /// What this data directory has seen before.
    pub seen: HighestSeen,
    /// Where that is kept.
    pub persist: Arc<dyn PersistSeen>,
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// Time, for since when a session is lost.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
}

/// How one stream ended, when it was not for ever.
enum Ended {
    /// Lost before it showed anything: pause longer.
    Early,
    /// Lost after it had worked.
    Late,
}

/// Whether what was taken is shown; `false` where another attempt, a pause later, can do better.
fn went_on(taken: Result<(), FollowError>) -> Result<bool, FollowError> {
    match taken {
        Ok(()) => Ok(true),
        // A hole is the stream's fault; the quorum still has what is missing.
        Err(FollowError::Apply(ApplyError::OutOfOrder { given, applied })) => {
            tracing::warn!(%given, %applied, "the metadata watch skipped entries; connecting again");
            Ok(false)
        }
        // Nothing is acted on that could not be kept (N1); there may be room again soon.
        Err(FollowError::Persist(error)) if error.kind() == io::ErrorKind::StorageFull => {
            tracing::warn!(%error, "metadata stands still here: the disk is full; free space or add a disk");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

impl Follower {
    /// Follows until it must not go on. Dropping the future ends it at a safe point.
    ///
    /// # Errors
    /// [`FollowError`]; the view stays at the last state that was good.
    pub async fn run(mut self) -> Result<Infallible, FollowError> {
        let mut pause = self.backoff.first;
        loop {
            let ended = self.follow_once().await;
            self.view.session_lost(self.clock.now());
            match ended? {
                Ended::Early => {}
                Ended::Late => pause = self.backoff.first,
            }
            // Stopping here is safe: no stream is open.
            tokio::time::sleep(self.jittered(pause)).await;
            pause = (pause * 2).min(self.backoff.max);
        }
    }

    async fn follow_once(&mut self) -> Result<Ended, FollowError> {
        let mut stream = self.quorum.watch(self.view.index());
        let mut ended = Ended::Early;
        // Stopping at any await here is safe: at worst an index is persisted that the next start finds at the quorum.
        while let Some(event) = stream.next().await {
            match event {
                Ok(WatchEvent::Opened { cluster, incarnation, index, ancestors }) => {
                    self.check_opened(cluster, incarnation, index, &ancestors)?;
                    self.view.session_up();
                    ended = Ended::Late;
                }
                Ok(WatchEvent::Snapshot(state)) => {
                    if !went_on(self.take_snapshot(state).await)? {
                        return Ok(Ended::Early);
                    }
                }
                Ok(WatchEvent::Entries(entries)) => {
                    if !went_on(self.take_entries(&entries).await)? {
                        return Ok(Ended::Early);
                    }
                }
                Err(WatchError::Unreadable(error)) => return Err(error.into()),
                Err(WatchError::Lost { reason }) => {
                    tracing::debug!(%reason, "the metadata watch was lost");
                    return Ok(ended);
                }
            }
        }
        Ok(ended)
    }

    fn check_opened(
        &self,
        cluster: ClusterId,
        incarnation: Incarnation,
        index: MetaIndex,
        ancestors: &[Ancestor],
    ) -> Result<(), FollowError> {
        if cluster != self.cluster {
            return Err(FollowError::WrongCluster { found: cluster, expected: self.cluster });
        }
        let is_covered = self
            .seen
            .incarnation
            .is_none_or(|seen| seen == incarnation || Ancestor::any_covers(ancestors, seen, self.seen.index));
        if !is_covered || index < self.seen.index {
            return Err(FollowError::MetadataLost { seen: self.seen, incarnation, index });
        }
        Ok(())
    }

    async fn take_snapshot(&mut self, state: Arc<ClusterState>) -> Result<(), FollowError> {
        let index = state.index().max(self.seen.index);
        self.check_opened(state.cluster(), state.incarnation(), index, state.ancestors())?;
        let changes = match self.view.state() {
            Some(old) if state.index() <= old.index() => return Ok(()),
            Some(old) => Changes::between(&old, &state),
            None => Changes::of_everything(&state),
        };
        self.show(state, changes).await
    }

    async fn take_entries(&mut self, entries: &[(MetaIndex, Arc<Entry>)]) -> Result<(), FollowError> {
        let Some(old) = self.view.state() else {
            let given = entries.first().map_or(MetaIndex(0), |(index, _)| *index);
            return Err(ApplyError::OutOfOrder { given, applied: MetaIndex(0) }.into());
        };
        let mut state = ClusterState::clone(&old);
        let mut changes = Changes::default();
        for (index, entry) in entries.iter().filter(|(index, _)| *index > old.index()) {
            changes.merge(state.apply(*index, entry)?);
        }
        if state.index() == old.index() {
            return Ok(());
        }
        self.show(Arc::new(state), changes).await
    }

    /// Persists, then publishes.
    async fn show(&mut self, state: Arc<ClusterState>, changes: Changes) -> Result<(), FollowError> {
        let index = state.index().max(self.seen.index);
        let seen = HighestSeen { incarnation: Some(state.incarnation()), index };
        if seen != self.seen {
            let persist = Arc::clone(&self.persist);
            let persisted = tokio::task::spawn_blocking(move || persist.persist(seen)).await;
            persisted.map_err(io::Error::other)??;
            self.seen = seen;
        }
        self.view.publish(state, &changes);
        Ok(())
    }

    /// Between half of `pause` and all of it.
    fn jittered(&self, pause: Duration) -> Duration {
        let mut byte = [0];
        self.entropy.fill(&mut byte);
        pause / 2 + pause / 2 * u32::from(byte[0]) / 255
    }
}
