//! One stream of heartbeats, as the controller's side of it.
//!
//! Always true: of the heartbeats that wait for an answer only the newest of a stream is kept, and of the answers only
//! the newest: a slow stream holds up nobody and takes no more room. The session ends with this value.

use std::sync::Arc;

use fidelog_record::types::{BrokerEpoch, BrokerId};
use tokio::sync::watch;

use super::active::Controller;
use super::heartbeat::{Heartbeat, SessionId, Told};

/// An answer: the number of the newest heartbeat it is for, and what the broker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The heartbeat's number; those before it are answered, too. 0 when none is.
    pub number: u64,
    /// What the broker is told.
    pub told: Told,
}

/// Where answers of one stream are left, each in place of the one before.
pub type Answers = watch::Sender<Option<Answer>>;

/// A heartbeat that waits for a round.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) broker: BrokerId,
    pub(super) epoch: BrokerEpoch,
    pub(super) number: u64,
    pub(super) answers: Answers,
}

/// One stream of heartbeats.
#[derive(Debug)]
pub struct Session {
    controller: Arc<Controller>,
    id: SessionId,
    answers: Answers,
}

impl Session {
    pub(super) fn new(controller: Arc<Controller>, id: SessionId) -> Self {
        Self { controller, id, answers: Answers::new(None) }
    }

    /// What this stream is answered from now on.
    #[must_use]
    pub fn answers(&self) -> watch::Receiver<Option<Answer>> {
        self.answers.subscribe()
    }

    /// A heartbeat has just come.
    pub fn heard(&self, heartbeat: &Heartbeat) {
        if let Err(active) = self.controller.heard(self.id, heartbeat, &self.answers) {
            let told = Told::NotActive { active };
            self.answers.send_replace(Some(Answer { number: 0, told }));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.controller.ended(self.id);
    }
}
