//! Whom an owner asks when its followers cannot say whether it still leads: the quorum (N18).

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use fidelog_record::types::{BrokerId, LeaderEpoch, TopicPartition};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::meta::quorum::MetadataQuorum;
use crate::meta::view::MetaView;

/// How long the quorum, and this broker's view of it, may take.
const WAIT: Duration = Duration::from_secs(2);

/// Who leads a partition, at some moment after the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Testimony {
    /// This broker, in the epoch that was named.
    Leads,
    /// Another one, or in another epoch.
    Deposed {
        /// Who.
        leader: Option<BrokerId>,
        /// In which epoch.
        epoch: LeaderEpoch,
    },
    /// It could not be learned.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Somebody who knows who leads.
pub trait Witness: Debug + Send + Sync {
    /// Whether this broker leads `at` in `epoch`, at a moment after this call.
    fn leads(&self, at: TopicPartition, epoch: LeaderEpoch) -> BoxFuture<'static, Testimony>;
}

/// The metadata quorum: a round there, then this broker's view of everything it had committed.
#[derive(Debug)]
pub struct QuorumWitness {
    me: BrokerId,
    quorum: Arc<dyn MetadataQuorum>,
    view: Arc<MetaView>,
}

impl QuorumWitness {
    /// A witness for broker `me`.
    #[must_use]
    pub fn new(me: BrokerId, quorum: Arc<dyn MetadataQuorum>, view: Arc<MetaView>) -> Self {
        Self { me, quorum, view }
    }
}

impl Witness for QuorumWitness {
    fn leads(&self, at: TopicPartition, epoch: LeaderEpoch) -> BoxFuture<'static, Testimony> {
        let (me, confirmed, view) = (self.me, self.quorum.confirm(), Arc::clone(&self.view));
        let asked = async move {
            let index = match confirmed.await {
                Ok(index) => index,
                Err(unconfirmed) => return Testimony::Unknown { reason: unconfirmed.to_string() },
            };
            let state = view.wait_for(index).await;
            let seen = state.partition(at).map(|entry| (entry.leader, entry.leader_epoch));
            match seen.unwrap_or((None, LeaderEpoch(0))) {
                (leader, seen) if leader == Some(me) && seen == epoch => Testimony::Leads,
                (leader, epoch) => Testimony::Deposed { leader, epoch },
            }
        };
        // Stopping here is safe: nothing is changed by asking.
        let asked = tokio::time::timeout(WAIT, asked);
        asked
            .map(|told| {
                let late = || format!("the metadata quorum was not heard for {} s", WAIT.as_secs());
                told.unwrap_or_else(|_| Testimony::Unknown { reason: late() })
            })
            .boxed()
    }
}
