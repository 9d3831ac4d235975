//! Whether a replica has anything to watch over: ten thousand idle ones must not cost a core.
//!
//! A leader at rest has answered everybody, every replica is in the set and holds all there is, and nothing is on its
//! way to the quorum. All that time can change then is what readers are told of the session with the quorum, and who
//! ticks knows of that. The first tick after rest finds every follower caught up, however long the rest was, because it
//! compares them with the end of the tick before.

use fidelog_record::types::BrokerId;

use super::machine::{Machine, Role};
use crate::replica::FollowerState;

impl<W> Machine<W> {
    /// Whether ticks may be rare until the next step.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        match &self.role {
            Role::Leader(leading) => {
                let end = self.log.end;
                let is_whole = |id: BrokerId, state: FollowerState| match state {
                    FollowerState::Matched { durable_end, .. } => {
                        durable_end == end && leading.in_sync.committed().contains(&id)
                    }
                    FollowerState::Down | FollowerState::Beginning { .. } => false,
                };
                // What load makes untrue comes first: every step asks.
                self.log.committed_end == end
                    && leading.waiting.is_empty()
                    && leading.parked.is_empty()
                    && leading.copied.is_empty()
                    && leading.opening.is_none()
                    && !leading.in_sync.is_changing()
                    && leading.followers.iter().all(|(id, it)| is_whole(id, it.state))
            }
            Role::Follower(_) => !self.start_is_due(),
            Role::Idle | Role::Stopped(_) | Role::Lost(_) => true,
        }
    }
}
