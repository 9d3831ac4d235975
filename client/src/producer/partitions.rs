//! The partitions a producer sends to: one queue each, more when the topic grows.
//!
//! What is always true: partitions are only ever added, so that an index once given out stays good; none is added after
//! the producer was closed.

use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::RwLock;

use super::ProducerShared;
use super::queue::{BatchShape, Queue};
use super::refusal::SendCause;

/// All queues of a producer.
#[derive(Debug)]
pub(super) struct Partitions {
    shape: BatchShape,
    count: AtomicU32,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    queues: Vec<Arc<Queue>>,
    closed: bool,
}

impl Partitions {
    pub(super) fn new(count: u32, shape: BatchShape) -> Self {
        let partitions = Self { shape, count: AtomicU32::new(0), state: RwLock::default() };
        partitions.grow(count);
        partitions
    }

    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn queue(&self, partition: u32) -> Option<Arc<Queue>> {
        self.state.read().queues.get(partition as usize).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Queue>> {
        self.state.read().queues.clone()
    }

    /// There are so many now; fewer than known are none less.
    pub(super) fn grow(&self, count: u32) {
        let mut state = self.state.write();
        if state.closed {
            return;
        }
        for partition in self.count()..count {
            state.queues.push(Arc::new(Queue::new(partition, self.shape)));
        }
        // A count that was read names queues that are there.
        self.count.fetch_max(count, Ordering::Release);
    }

    /// Takes no more records, for this reason.
    pub(super) fn close(&self, cause: &SendCause) {
        let mut state = self.state.write();
        state.closed = true;
        for queue in &state.queues {
            queue.close(cause.clone());
        }
    }
}

/// Looks for partitions that were added, as often as the client was told to, until the producer is gone.
pub(super) async fn follow(shared: Weak<ProducerShared>) {
    loop {
        let Some(producer) = shared.upgrade() else { return };
        let age_max = producer.core.routes_age_max;
        let wait = match producer.core.routes(&producer.topic).await {
            Ok(routes) => {
                producer.take_up(&routes);
                age_max.saturating_sub(routes.age()).max(age_max / 10)
            }
            Err(error) => {
                tracing::debug!(topic = producer.topic, %error, "the number of partitions cannot be had");
                age_max
            }
        };
        drop(producer);
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use fidelog_record::Codec;
    use fidelog_record::batch::BatchLimits;

    use super::*;

    #[test]
    fn partitions_are_added_and_never_taken_away_and_none_to_a_closed_producer() {
        let limits = BatchLimits { record_bytes_max: 1 << 10, batch_bytes_max: 1 << 12 };
        let partitions = Partitions::new(2, BatchShape { codec: Codec::None, limits });
        let first = partitions.queue(1).unwrap();
        partitions.grow(5);
        partitions.grow(3);
        assert_eq!((partitions.count(), partitions.all().len()), (5, 5));
        assert!(Arc::ptr_eq(&first, &partitions.queue(1).unwrap()));
        assert_eq!(partitions.queue(4).unwrap().partition, 4);
        partitions.close(&SendCause::Closed);
        partitions.grow(9);
        assert_eq!((partitions.count(), partitions.all().len()), (5, 5));
    }
}
