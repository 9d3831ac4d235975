//! An order on its way: handed to the quorum, and answered once this broker's own view shows what came of it.
//!
//! Always true: an order whose fate was not learned in time is told as unknown, never as refused.

use std::sync::Arc;
use std::time::Duration;

use fidelog_proto::v1::Reason;

use super::context::Context;
use super::deadline::Deadline;
use super::mapping::propose_failure;
use super::status::Failure;
use crate::meta::quorum::Accepted;
use crate::meta::state::{ClusterState, Proposal};

/// How long a change may take at the quorum before its outcome counts as unknown.
const CHANGE_WAIT: Duration = Duration::from_secs(15);

impl Context {
    /// Hands a change to the quorum and waits until this broker's view shows it.
    pub(super) async fn change(
        &self,
        proposal: Proposal,
        deadline: Deadline,
    ) -> Result<(Accepted, Arc<ClusterState>), Failure> {
        let wait = deadline.cap(CHANGE_WAIT);
        let proposing = self.quorum.propose(proposal);
        // Stopping here is safe: the caller is told that the outcome is unknown.
        let accepted = match tokio::time::timeout(wait, proposing).await {
            Ok(answer) => answer.map_err(|error| propose_failure(&error))?,
            Err(_) => return Err(no_answer(wait)),
        };
        match tokio::time::timeout(wait, self.meta.wait_for(accepted.index)).await {
            Ok(state) => Ok((accepted, state)),
            Err(_) => Err(no_answer(wait)),
        }
    }
}

/// The quorum did not answer within `wait`.
pub(super) fn no_answer(wait: Duration) -> Failure {
    let message = format!(
        "the metadata quorum did not answer within {} ms; the change may have been made: look, then decide",
        wait.as_millis()
    );
    Failure::new(Reason::ChangeOutcomeUnknown, message)
}
