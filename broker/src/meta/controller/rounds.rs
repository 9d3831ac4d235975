//! Answers heartbeats, in rounds.
//!
//! ```text
//!   heartbeats that came --taken together--> confirm --index--> the view is there --> each is told how it stands
//!            ^ those that come meanwhile wait for the next round
//! ```
//!
//! Always true: a heartbeat is answered from metadata that shows everything committed before it came (N12): so that an
//! "alive" was never said after a fence was committed before the heartbeat was sent. Where a round fails nobody is
//! answered. Rounds follow each other and never overlap; none waits for a stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fidelog_record::types::{BrokerEpoch, BrokerId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::heartbeat::{SessionId, Told};
use super::session::{Answer, Waiting};
use crate::meta::quorum::MetadataQuorum;
use crate::meta::state::ClusterState;
use crate::meta::view::MetaView;

/// A round that takes longer answers nobody; the brokers have sent other heartbeats by then.
const ROUND_MAX: Duration = Duration::from_secs(1);

/// Heartbeats that wait for a round: at most one for each stream.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    waiting: Mutex<BTreeMap<SessionId, Waiting>>,
    bell: Notify,
}

impl Rounds {
    pub(super) fn add(&self, session: SessionId, waiting: Waiting) {
        self.waiting.lock().insert(session, waiting);
        self.bell.notify_one();
    }

    pub(super) fn forget(&self, session: SessionId) {
        self.waiting.lock().remove(&session);
    }

    /// Round after round, for ever.
    pub(super) async fn run(&self, quorum: &dyn MetadataQuorum, view: &MetaView) {
        loop {
            // Stopping at any await is safe: what was not answered is as good as lost on the way.
            self.bell.notified().await;
            let taken = std::mem::take(&mut *self.waiting.lock());
            if taken.is_empty() {
                continue;
            }
            match tokio::time::timeout(ROUND_MAX, confirmed(quorum, view)).await {
                Ok(Ok(state)) => taken.into_values().for_each(|waiting| answer(&state, &waiting)),
                Ok(Err(why)) => tracing::debug!("heartbeats are not answered: {why}"),
                Err(_) => tracing::debug!("heartbeats are not answered: no majority within {ROUND_MAX:?}"),
            }
        }
    }
}

/// The metadata, with everything committed before the call.
async fn confirmed(quorum: &dyn MetadataQuorum, view: &MetaView) -> Result<Arc<ClusterState>, String> {
    let index = quorum.confirm().await.map_err(|unconfirmed| unconfirmed.to_string())?;
    Ok(view.wait_for(index).await)
}

fn answer(state: &ClusterState, waiting: &Waiting) {
    let told = told(state, waiting.broker, waiting.epoch);
    waiting.answers.send_replace(Some(Answer { number: waiting.number, told }));
}

fn told(state: &ClusterState, broker: BrokerId, epoch: BrokerEpoch) -> Told {
    match state.broker(broker) {
        Some(entry) if entry.epoch > epoch => Told::Superseded,
        Some(entry) if entry.epoch == epoch && entry.fenced => Told::Fenced,
        Some(entry) if entry.epoch == epoch => Told::Alive,
        Some(_) | None => Told::NotRegistered,
    }
}
