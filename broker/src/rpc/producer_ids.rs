//! Producer ids: taken from the quorum in blocks, given away one by one (G4).
//!
//! Always true: an id is given away once; ids of a block that nobody asked for are lost with the process, never reused.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use fidelog_proto::v1::Reason;
use fidelog_record::types::{BrokerId, ProducerId};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::mapping::propose_failure;
use super::status::Failure;
use crate::meta::quorum::MetadataQuorum;
use crate::meta::state::{Outcome, Proposal};

/// The ids this broker may give away.
#[derive(Debug)]
pub(super) struct ProducerIds {
    quorum: Arc<dyn MetadataQuorum>,
    me: BrokerId,
    ids_per_grant: u32,
    blocks: Mutex<VecDeque<Range<u64>>>,
    /// One asks the quorum at a time; the others wait for what it gets.
    asking: Semaphore,
}

impl ProducerIds {
    pub(super) fn new(quorum: Arc<dyn MetadataQuorum>, me: BrokerId, ids_per_grant: u32) -> Self {
        Self { quorum, me, ids_per_grant, blocks: Mutex::default(), asking: Semaphore::new(1) }
    }

    /// An id that nobody else has or will get.
    ///
    /// # Errors
    /// When the quorum gives no more.
    pub(super) async fn next(&self) -> Result<ProducerId, Failure> {
        loop {
            if let Some(id) = self.take() {
                return Ok(id);
            }
            // Stopping here is safe: a block that was granted and not kept is lost, and ids are plenty.
            let _asking = self.asking.acquire().await.expect("the semaphore is never closed");
            if self.blocks.lock().is_empty() {
                self.ask().await?;
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
        id.map(ProducerId)
    }

    async fn ask(&self) -> Result<(), Failure> {
        let proposal = Proposal::GrantProducerIds { broker: self.me, count: self.ids_per_grant };
        let accepted =
            self.quorum.propose(proposal).await.map_err(|error| match propose_failure(&error) {
                // Whether the quorum gave a block is of no matter: nobody has it.
                unknown if unknown.reason() == Reason::ChangeOutcomeUnknown => {
                    Failure::new(Reason::QuorumUnavailable, unknown.message())
                }
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
