//! Producer ids: taken from the quorum in blocks, given away one by one (G4).
//!
//! ```text
//!   a broker that serves holds a block --given half away--> asks for the next one, while it gives on
//!                                      --all given, no next--> asks while the caller waits, 5 s at most
//! ```
//!
//! Always true: an id is given away once; ids of a block that nobody asked for are lost with the process, never
//! reused. Producers open, as long as a block lasts, while the quorum is away.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use fidelog_proto::v1::Reason;
use fidelog_record::types::{BrokerId, ProducerId};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tracing::debug;

use super::mapping::propose_failure;
use super::status::Failure;
use crate::meta::quorum::MetadataQuorum;
use crate::meta::state::{Outcome, Proposal};

/// How long the quorum may take to grant a block: for a caller who waits, and for a broker that begins to serve.
const GRANT_WAIT: Duration = Duration::from_secs(5);
/// After a grant that failed; doubled each time, up to the second.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The ids this broker may give away.
#[derive(Debug)]
pub(super) struct ProducerIds {
    quorum: Arc<dyn MetadataQuorum>,
    me: BrokerId,
    ids_per_grant: u32,
    blocks: Mutex<VecDeque<Range<u64>>>,
    /// One asks the quorum at a time; the others wait for what it gets.
    asking: Semaphore,
    /// Half of a block is given away.
    low: Notify,
}

impl ProducerIds {
    pub(super) fn new(quorum: Arc<dyn MetadataQuorum>, me: BrokerId, ids_per_grant: u32) -> Self {
        let (blocks, asking, low) = (Mutex::default(), Semaphore::new(1), Notify::new());
        Self { quorum, me, ids_per_grant, blocks, asking, low }
    }

    /// An id that nobody else has or will get.
    ///
    /// # Errors
    /// When none is left and the quorum gives no more: definite, whatever became of the question.
    pub(super) async fn next(&self) -> Result<ProducerId, Failure> {
        if let Some(id) = self.take() {
            return Ok(id);
        }
        // Stopping here is safe: a block that was granted and not kept is lost, and ids are plenty.
        tokio::time::timeout(GRANT_WAIT, self.asked_for()).await.unwrap_or_else(|_| {
            let seconds = GRANT_WAIT.as_secs();
            let message = format!(
                "no producer id is left on this broker, and the metadata quorum granted none within {seconds} s; try \
                 again, or another broker"
            );
            Err(Failure::new(Reason::QuorumUnavailable, message))
        })
    }

    async fn asked_for(&self) -> Result<ProducerId, Failure> {
        loop {
            self.fill(1).await?;
            if let Some(id) = self.take() {
                return Ok(id);
            }
        }
    }

    /// Takes the first block, for at most [`GRANT_WAIT`]: without the quorum the broker serves all the same.
    pub(super) async fn begin(&self) {
        match tokio::time::timeout(GRANT_WAIT, self.fill(1)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => debug!("no producer ids yet: {}", failure.message()),
            Err(_) => debug!("no producer ids yet: the quorum did not answer in time"),
        }
    }

    /// Keeps more than half a block in reserve, for ever.
    pub(super) async fn keep(&self) {
        let wanted = u64::from(self.ids_per_grant / 2) + 1;
        let mut pause = PAUSE;
        loop {
            // Stopping here is safe: see `next`.
            match tokio::time::timeout(GRANT_WAIT, self.fill(wanted)).await {
                Ok(Ok(())) => {
                    pause = PAUSE;
                    self.low.notified().await;
                }
                Ok(Err(_)) | Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = PAUSE_MAX.min(pause * 2);
                }
            }
        }
    }

    fn take(&self) -> Option<ProducerId> {
        let mut blocks = self.blocks.lock();
        let block = blocks.front_mut()?;
        let id = block.next();
        if block.is_empty() {
            blocks.pop_front();
        }
        if left(&blocks) <= u64::from(self.ids_per_grant / 2) {
            self.low.notify_one();
        }
        id.map(ProducerId)
    }

    /// Asks for a block when fewer than `wanted` ids are left.
    async fn fill(&self, wanted: u64) -> Result<(), Failure> {
        let _asking = self.asking.acquire().await.expect("the semaphore is never closed");
        if left(&self.blocks.lock()) >= wanted {
            return Ok(());
        }
        let proposal = Proposal::GrantProducerIds { broker: self.me, count: self.ids_per_grant };
        let accepted =
            self.quorum.propose(proposal).await.map_err(|error| match propose_failure(&error) {
                // Whether the quorum gave a block is of no matter: nobody has it.
                unknown if unknown.reason() == Reason::ChangeOutcomeUnknown => Failure::new(
                    Reason::QuorumUnavailable,
                    "no producer id is left on this broker, and the metadata quorum cannot be asked for more; try \
                     again, or another broker",
                ),
                failure => failure,
            })?;
        let Outcome::ProducerIdsGranted { from, to_end } = accepted.outcome else {
            let message = format!("the quorum answered a grant of producer ids with {:?}", accepted.outcome);
            return Err(Failure::new(Reason::QuorumUnavailable, message));
        };
        self.blocks.lock().push_back(from..to_end);
        Ok(())
    }
}

fn left(blocks: &VecDeque<Range<u64>>) -> u64 {
    blocks.iter().map(|block| block.end - block.start).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use fidelog_record::types::MetaIndex;
    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;
    use crate::meta::quorum::{Accepted, ProposeError, QuorumStatus, Unconfirmed, WatchStream};

    /// Grants as long as it is there, and counts.
    #[derive(Debug, Default)]
    struct Granting {
        away: AtomicBool,
        next: AtomicU64,
        grants: AtomicU64,
    }

    impl MetadataQuorum for Granting {
        fn propose(&self, proposal: Proposal) -> BoxFuture<'static, Result<Accepted, ProposeError>> {
            let Proposal::GrantProducerIds { count, .. } = proposal else { panic!("{proposal:?}") };
            let answer = if self.away.load(Ordering::Relaxed) {
                Err(ProposeError::Unreachable { reason: "cut".into() })
            } else {
                self.grants.fetch_add(1, Ordering::Relaxed);
                let from = 1 + self.next.fetch_add(u64::from(count), Ordering::Relaxed);
                let outcome = Outcome::ProducerIdsGranted { from, to_end: from + u64::from(count) };
                Ok(Accepted { index: MetaIndex(1), outcome })
            };
            std::future::ready(answer).boxed()
        }

        fn confirm(&self) -> BoxFuture<'static, Result<MetaIndex, Unconfirmed>> {
            std::future::ready(Ok(MetaIndex(0))).boxed()
        }

        fn watch(&self, _: MetaIndex) -> WatchStream {
            Box::pin(futures::stream::pending())
        }

        fn status(&self) -> QuorumStatus {
            QuorumStatus::default()
        }
    }

    fn ids_of(quorum: &Arc<Granting>, ids_per_grant: u32) -> ProducerIds {
        ProducerIds::new(Arc::clone(quorum) as Arc<dyn MetadataQuorum>, BrokerId(2), ids_per_grant)
    }

    /// A fresh producer could write to no partition while the metadata broker was away, although their leaders were
    /// there: it could not get an id.
    #[tokio::test]
    async fn producers_open_while_the_quorum_is_away_as_long_as_the_reserve_lasts() {
        let quorum = Arc::new(Granting::default());
        let ids = ids_of(&quorum, 3);
        ids.begin().await;
        quorum.away.store(true, Ordering::Relaxed);
        let mut given = BTreeSet::new();
        for _ in 0..3 {
            assert!(given.insert(ids.next().await.unwrap().0));
        }
        let refused = ids.next().await.unwrap_err();
        assert_eq!(refused.reason(), Reason::QuorumUnavailable, "definite: {}", refused.message());
        quorum.away.store(false, Ordering::Relaxed);
        assert!(given.insert(ids.next().await.unwrap().0), "no id twice");
    }

    #[tokio::test]
    async fn the_next_block_is_asked_for_when_half_is_given_away() {
        let quorum = Arc::new(Granting::default());
        let ids = Arc::new(ids_of(&quorum, 10));
        let keeper = tokio::spawn({
            let ids = Arc::clone(&ids);
            async move { ids.keep().await }
        });
        while left(&ids.blocks.lock()) < 10 {
            tokio::task::yield_now().await;
        }
        for _ in 0..5 {
            ids.next().await.unwrap();
        }
        while left(&ids.blocks.lock()) < 15 {
            tokio::task::yield_now().await;
        }
        assert_eq!(quorum.grants.load(Ordering::Relaxed), 2, "one block in use, one in reserve");
        keeper.abort();
    }
}
