//! Producing: records in, receipts out (G1, G2, G4).
//!
//! ```text
//!  send --> queue (open batch, one per partition) --> driver (lane decides) --> link (stream to the leader)
//!                                                        ^                         |
//!  Delivery <-- completion (one per batch) <-------------+------ answers ----------+
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `builder` | setting it up, and opening it |
//! | `queue` | records on their way into a batch, and the memory they take |
//! | `partitions` | the queues of all partitions, more when the topic grows |
//! | `lane` | what to send, in which order, under which sequence; what to report: pure |
//! | `driver` | the task of one partition |
//! | `leader` | finding the broker that leads a partition |
//! | `link` | a pipelined stream to one broker |
//! | `delivery` | the outcome of a record |
//! | `failures` | what was not acknowledged since the last flush |
//! | `refusal` | why a record was not taken |

mod builder;
mod delivery;
mod driver;
mod failures;
mod lane;
mod leader;
mod link;
mod partitions;
mod queue;
mod refusal;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use fidelog_record::Record;
use fidelog_record::partitioner::partition_for_key;
use fidelog_record::types::TopicId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

use crate::client::Core;
use crate::routes::TopicRoutes;

pub use builder::{ProducerBuilder, WhenFull};
pub use delivery::{Cause, Delivery, DeliveryError};
pub use failures::FlushError;
pub use refusal::{SendCause, SendError};

use builder::ProducerSettings;
use delivery::Settled;
use driver::Driver;
use failures::Failures;
use lane::Identity;
use link::Links;
use partitions::Partitions;
use queue::{Memory, Refused};

/// Sends records to one topic. Cheap to clone; clones share everything.
///
/// Records of equal key go to the same partition and stay in order; records without a key go wherever the current
/// batch goes. When the last clone is dropped, what was handed over is still delivered, as long as the runtime
/// lives; [`Producer::close`] waits for that.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<ProducerShared>,
    topic_id: TopicId,
    memory: Memory,
    /// The task that looks for new partitions.
    following: AbortHandle,
    runtime: tokio::runtime::Handle,
}

/// What drivers and handles share.
#[derive(Debug)]
pub(crate) struct ProducerShared {
    core: Arc<Core>,
    topic: String,
    topic_id: Bytes,
    identity: Option<Identity>,
    batches_in_flight: usize,
    ack_timeout_ms: u32,
    settings: ProducerSettings,
    links: Links,
    failures: Failures,
    partitions: Partitions,
    /// The partition that records without a key go to just now.
    sticky: AtomicU32,
}

impl Producer {
    /// Hands a record over; its partition is chosen by its key. A record whose time is 0 gets the present time.
    ///
    /// Returns as soon as the record is in a batch, without waiting for the network; waits only for memory, and not
    /// even then with [`WhenFull::Error`]. Dropping the future before it is done hands nothing over.
    ///
    /// # Errors
    /// The record and why it was not taken: nothing of it was sent.
    pub async fn send(&self, record: Record) -> Result<Delivery, SendError> {
        let partition = self.inner.place(&record);
        self.inner.send(partition, record).await
    }

    /// As [`Self::send`], to a partition of the caller's choice.
    ///
    /// # Errors
    /// As [`Self::send`], and when there is no such partition.
    pub async fn send_to(&self, partition: u32, record: Record) -> Result<Delivery, SendError> {
        self.inner.send(Place::Fixed(partition), record).await
    }

    /// As [`Self::send`], and never waits.
    ///
    /// # Errors
    /// As [`Self::send`], and [`SendCause::Full`] when the memory is used up.
    pub fn try_send(&self, record: Record) -> Result<Delivery, SendError> {
        let partition = self.inner.place(&record);
        self.inner.try_send(partition, record)
    }

    /// As [`Self::send_to`], and never waits.
    ///
    /// # Errors
    /// As [`Self::send_to`], and [`SendCause::Full`] when the memory is used up.
    pub fn try_send_to(&self, partition: u32, record: Record) -> Result<Delivery, SendError> {
        self.inner.try_send(Place::Fixed(partition), record)
    }

    /// Waits until everything handed over before is answered.
    ///
    /// # Errors
    /// When records failed since the last flush: how many, and how the first did. Each delivery tells its own.
    pub async fn flush(&self) -> Result<(), FlushError> {
        for completion in self.inner.shared.partitions.all().iter().flat_map(|queue| queue.outstanding()) {
            Settled::new(completion).await;
        }
        self.inner.shared.failures.take()
    }

    /// Takes no more records, on any clone, and waits until everything handed over is answered.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn close(&self) -> Result<(), FlushError> {
        self.inner.shared.close(&SendCause::Closed);
        self.flush().await
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.inner.shared.topic
    }

    /// The topic's id.
    #[must_use]
    pub fn topic_id(&self) -> TopicId {
        self.inner.topic_id
    }

    /// How many partitions the topic has, as far as the producer knows: new ones are taken up within the client's
    /// `routes_age_max`, and keys go to other partitions from then on.
    #[must_use]
    pub fn partition_count(&self) -> u32 {
        self.inner.shared.partition_count()
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("topic", &self.topic()).finish_non_exhaustive()
    }
}

/// Where a record goes.
#[derive(Clone, Copy)]
enum Place {
    Fixed(u32),
    /// Nobody cares: with the current batch.
    Sticky(u32),
}

impl Inner {
    fn new(shared: ProducerShared, topic_id: TopicId) -> Self {
        let bytes_max = u32::try_from(shared.settings.memory_bytes_max).expect("at most 512 MiB");
        let shared = Arc::new(shared);
        let following = tokio::spawn(partitions::follow(Arc::downgrade(&shared)));
        Self {
            topic_id,
            memory: Memory::new(bytes_max),
            following: following.abort_handle(),
            runtime: tokio::runtime::Handle::current(),
            shared,
        }
    }

    fn place(&self, record: &Record) -> Place {
        match &record.key {
            Some(key) => Place::Fixed(partition_for_key(key, self.shared.partition_count())),
            None => Place::Sticky(self.shared.sticky.load(Ordering::Relaxed)),
        }
    }

    async fn send(&self, place: Place, record: Record) -> Result<Delivery, SendError> {
        let memory = match self.memory.try_take(&record) {
            Some(memory) => memory,
            None if self.shared.settings.when_full == WhenFull::Wait => self.memory.take(&record).await,
            None => return Err(self.full(record)),
        };
        self.push(place, record, memory)
    }

    fn try_send(&self, place: Place, record: Record) -> Result<Delivery, SendError> {
        match self.memory.try_take(&record) {
            Some(memory) => self.push(place, record, memory),
            None => Err(self.full(record)),
        }
    }

    fn full(&self, record: Record) -> SendError {
        SendError::new(record, SendCause::Full { bytes_max: self.memory.bytes_max() })
    }

    fn push(
        &self,
        place: Place,
        mut record: Record,
        memory: OwnedSemaphorePermit,
    ) -> Result<Delivery, SendError> {
        let (Place::Fixed(partition) | Place::Sticky(partition)) = place;
        let Some(queue) = self.shared.partitions.queue(partition) else {
            let partition_count = self.shared.partition_count();
            return Err(SendError::new(record, SendCause::UnknownPartition { partition, partition_count }));
        };
        let untimed = record.timestamp_ms == 0;
        if untimed {
            record.timestamp_ms = unix_ms();
        }
        let mut memory = Some(memory);
        match queue.push(&record, Instant::now(), &mut memory, matches!(place, Place::Sticky(_))) {
            Ok(pushed) => {
                if pushed.first {
                    self.runtime.spawn(Driver::new(self.shared.clone(), queue).run());
                }
                Ok(pushed.delivery)
            }
            Err(refused) => {
                record.timestamp_ms = if untimed { 0 } else { record.timestamp_ms };
                match (refused, memory) {
                    (Refused::For(cause), _) => Err(SendError::new(record, cause)),
                    (Refused::Elsewhere, None) => unreachable!("a refused record leaves its memory"),
                    (Refused::Elsewhere, Some(memory)) => {
                        self.push(self.shared.move_on(partition), record, memory)
                    }
                }
            }
        }
    }
}

impl ProducerShared {
    fn close(&self, cause: &SendCause) {
        self.partitions.close(cause);
    }

    /// Takes up partitions that were added to the topic: new records go to them.
    fn take_up(&self, routes: &TopicRoutes) {
        if routes.id.as_bytes()[..] == self.topic_id[..] {
            self.partitions.grow(routes.partition_count());
        }
    }

    /// A batch of records without a key is under way: the next one goes to the next partition.
    fn move_on(&self, from: u32) -> Place {
        let next = (from + 1) % self.partition_count();
        // Somebody else may have moved on already; then this move has been made.
        let moved = self.sticky.compare_exchange(from, next, Ordering::Relaxed, Ordering::Relaxed);
        Place::Sticky(moved.map_or_else(|current| current, |_| next))
    }

    fn partition_count(&self) -> u32 {
        self.partitions.count()
    }
}

impl Drop for Inner {
    /// The last handle is gone: drivers end once everything handed over is answered.
    fn drop(&mut self) {
        self.following.abort();
        self.shared.close(&SendCause::Closed);
    }
}

/// The present, Unix milliseconds.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
