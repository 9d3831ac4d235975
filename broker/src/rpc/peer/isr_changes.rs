//! Changes of in-sync sets on their way from this broker's leaders to the quorum.
//!
//! ```text
//!   add --> waiting: the newest of each partition, oldest partition first --> under way, a few at once --> answered
//! ```
//!
//! A leader proposes anew, every 200 ms, for as long as the watch shows nothing. With thousands of partitions and a
//! quorum that is slow for a moment, proposals of proposals would keep it slow for ever. So of each partition one is
//! under way at most, and what waits behind it is replaced by what comes next.
//!
//! Always true: what is replaced was never sent, and whoever proposed it waits for its set all the same (N7): it counts
//! as sent. Answers are not believed; only the watch moves a set.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use fidelog_record::types::TopicPartition;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tracing::debug;

use crate::meta::quorum::MetadataQuorum;
use crate::meta::state::Proposal;

/// Proposals under way at once: the quorum decides all that wait in one step.
const UNDER_WAY_MAX: usize = 64;

/// The changes of one broker. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct IsrChanges {
    quorum: Arc<dyn MetadataQuorum>,
    runtime: Handle,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    newest: BTreeMap<TopicPartition, Proposal>,
    /// The keys of `newest`, in the order they came.
    order: VecDeque<TopicPartition>,
    under_way: BTreeSet<TopicPartition>,
    workers: usize,
}

impl Queue {
    /// The next one whose partition has none under way.
    fn take(&mut self) -> Option<(TopicPartition, Proposal)> {
        // Few are under way, so that this looks at few.
        let place = self.order.iter().position(|id| !self.under_way.contains(id))?;
        let id = self.order.remove(place)?;
        let proposal = self.newest.remove(&id)?;
        self.under_way.insert(id);
        Some((id, proposal))
    }
}

impl IsrChanges {
    /// None yet; they run in `runtime`.
    pub(super) fn new(quorum: Arc<dyn MetadataQuorum>, runtime: Handle) -> Self {
        Self { quorum, runtime, queue: Arc::default() }
    }

    /// Proposes it, soon, unless a newer one of that partition comes before its turn.
    pub(super) fn add(&self, partition: TopicPartition, proposal: Proposal) {
        let mut queue = self.queue.lock();
        if queue.newest.insert(partition, proposal).is_none() {
            queue.order.push_back(partition);
        }
        if queue.workers < UNDER_WAY_MAX {
            queue.workers += 1;
            self.runtime.spawn(self.clone().work());
        }
    }

    async fn work(self) {
        while let Some((partition, proposal)) = self.next() {
            // Stopping here is safe: whoever proposed it proposes again.
            if let Err(error) = self.quorum.propose(proposal).await {
                debug!(%partition, "a change of the in-sync set was not accepted: {error}");
            }
            self.queue.lock().under_way.remove(&partition);
        }
    }

    /// What to propose next; when there is nothing, whoever asked has ended.
    fn next(&self) -> Option<(TopicPartition, Proposal)> {
        let mut queue = self.queue.lock();
        let next = queue.take();
        queue.workers -= usize::from(next.is_none());
        next
    }
}

#[cfg(test)]
mod tests {
    use fidelog_record::types::{BrokerId, PartitionIndex, TopicId};
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::meta::quorum::{Accepted, ProposeError, QuorumStatus, Unconfirmed, WatchStream};

    type Asked = (Proposal, oneshot::Sender<()>);

    /// A quorum that answers when it is told to.
    #[derive(Debug)]
    struct Slow(mpsc::UnboundedSender<Asked>);

    impl MetadataQuorum for Slow {
        fn propose(&self, proposal: Proposal) -> BoxFuture<'static, Result<Accepted, ProposeError>> {
            let (answer, answered) = oneshot::channel();
            self.0.send((proposal, answer)).unwrap();
            let refused = ProposeError::Unavailable { reason: "it is a test".to_owned() };
            answered.map(|_| Err(refused)).boxed()
        }

        fn confirm(&self) -> BoxFuture<'static, Result<fidelog_record::types::MetaIndex, Unconfirmed>> {
            unreachable!("nobody asks")
        }

        fn watch(&self, _from: fidelog_record::types::MetaIndex) -> WatchStream {
            unreachable!("nobody watches")
        }

        fn status(&self) -> QuorumStatus {
            unreachable!("nobody asks")
        }
    }

    fn partition(index: u32) -> TopicPartition {
        TopicPartition { topic: TopicId::from_random([1; 16]), partition: PartitionIndex(index) }
    }

    /// Any proposal does; the broker tells them apart.
    fn proposal(number: u32) -> Proposal {
        Proposal::DrainBroker { broker: BrokerId(number) }
    }

    /// Ten thousand leaders proposed again and again what a slow quorum had not decided yet; it never caught up.
    #[tokio::test]
    async fn what_a_slow_quorum_is_asked_is_bounded_and_the_newest_comes_through() {
        let (asks, mut asked) = mpsc::unbounded_channel();
        let changes = IsrChanges::new(Arc::new(Slow(asks)), Handle::current());
        for round in 0..100 {
            (0..1_000).for_each(|index| changes.add(partition(index), proposal(round)));
            tokio::task::yield_now().await;
        }
        let mut told: BTreeMap<u32, usize> = BTreeMap::new();
        while !changes.queue.lock().order.is_empty() || !changes.queue.lock().under_way.is_empty() {
            assert!(asked.len() <= UNDER_WAY_MAX, "{} at once", asked.len());
            let (given, answer) = asked.recv().await.unwrap();
            let Proposal::DrainBroker { broker } = given else { unreachable!("no other was proposed") };
            *told.entry(broker.0).or_insert(0) += 1;
            answer.send(()).unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(told[&99], 1_000, "the newest of every partition");
        assert_eq!(told.values().sum::<usize>(), 1_000 + UNDER_WAY_MAX, "{told:?}");
        assert_eq!(changes.queue.lock().workers, 0);
    }
}
