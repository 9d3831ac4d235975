//! A follower whose log retention has passed begins anew where its leader's log begins. What the leader remembers of
//! producers there is part of the log, and is fetched first: without it a batch resent to this replica, once it leads,
//! would be stored twice (DESIGN §5).
//!
//! ```text
//!   begin, or the logs part ---> Fetching(at) --producers read--> Cutting --durable--> Matched
//!                                    | not read: refused, the leader begins again later
//! ```

use fidelog_log::ProducerTable;
use fidelog_record::types::{LeaderEpoch, Offset};

use super::{Cutting, Following, Phase};
use crate::partition::effect::Effect;
use crate::partition::machine::{Machine, Role};
use crate::replica::StreamId;
use crate::replica::message::RefusalCause;

impl<W> Machine<W> {
    pub(super) fn start_over(&mut self, at: Offset) {
        let Role::Follower(following) = &mut self.role else { return };
        let Some((_, epoch)) = following.stream else { return };
        following.phase = Phase::Fetching(at);
        self.effects.push(Effect::ReadProducers { at, epoch });
    }

    /// What the leader of `epoch` remembers of producers below `at`. Ignored when nobody waits for it any more.
    pub fn producers_read(&mut self, at: Offset, epoch: LeaderEpoch, producers: ProducerTable) {
        if self.fetching(at, epoch).is_none() || self.cutting.is_some() {
            return;
        }
        if let Role::Follower(following) = &mut self.role {
            following.phase = Phase::Cutting;
        }
        self.cutting = Some(Cutting::StartOver);
        self.effects.push(Effect::StartOver { at, producers });
    }

    /// It could not be read: the leader is to begin again, perhaps from another start.
    pub fn producers_not_read(&mut self, at: Offset, epoch: LeaderEpoch, why: &str) {
        if let Some(stream) = self.fetching(at, epoch) {
            let message = format!("{}: the memory of producers below {at} cannot be read: {why}", self.id);
            self.refuse(stream, epoch, RefusalCause::Gap, message);
        }
    }

    fn fetching(&self, at: Offset, epoch: LeaderEpoch) -> Option<StreamId> {
        let Role::Follower(Following { phase: Phase::Fetching(wanted), stream, .. }) = &self.role else {
            return None;
        };
        let (stream, current) = (*stream)?;
        (*wanted == at && current == epoch).then_some(stream)
    }
}
