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
//! | `queue` | records on their way into a batch, and the memory they take |
//! | `lane` | what to send, in which order, under which sequence; what to report: pure |
//! | `driver` | the task of one partition |
//! | `leader` | finding the broker that leads a partition |
//! | `link` | a pipelined stream to one broker |
//! | `delivery` | the outcome of a record |
//! | `failures` | what was not acknowledged since the last flush |
//! | `refusal` | why a record was not taken |

mod delivery;
mod driver;
mod failures;
mod lane;
mod leader;
mod link;
mod queue;
mod refusal;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use fidelog_record::batch::BatchLimits;
use fidelog_record::partitioner::partition_for_key;
use fidelog_record::types::TopicId;
use fidelog_record::types::limits::{
    ACK_WAIT_MS_DEFAULT, ACK_WAIT_MS_MAX, BATCH_BYTES_MAX, PRODUCER_WINDOW_BATCHES, RECORD_BYTES_MAX_DEFAULT,
};
use fidelog_record::{Codec, Record};
use tokio::sync::OwnedSemaphorePermit;

use crate::client::{Core, check_topic};
use crate::error::RequestError;

pub use delivery::{Cause, Delivery, DeliveryError};
pub use failures::FlushError;
pub use refusal::{SendCause, SendError};

use delivery::Settled;
use driver::Driver;
use failures::Failures;
use lane::Identity;
use link::Links;
use queue::{BatchShape, Memory, Queue, Refused};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What a producer does with a record when its memory is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// `send` waits until there is room: the default.
    #[default]
    Wait,
    /// `send` hands the record back with [`SendCause::Full`].
    Error,
}

#[derive(Clone, Debug)]
pub(crate) struct ProducerSettings {
    idempotence: bool,
    delivery_budget: Duration,
    ack_timeout: Duration,
    memory_bytes_max: usize,
    batches_in_flight: usize,
    batch_bytes_max: usize,
    codec: Codec,
    when_full: WhenFull,
}

/// A producer to be set up. Nothing needs tuning; every setting has a default.
#[derive(Debug)]
pub struct ProducerBuilder {
    core: Arc<Core>,
    topic: String,
    settings: ProducerSettings,
}

impl ProducerBuilder {
    pub(crate) fn new(core: Arc<Core>, topic: &str) -> Self {
        let settings = ProducerSettings {
            idempotence: true,
            delivery_budget: Duration::from_secs(120),
            ack_timeout: Duration::from_millis(ACK_WAIT_MS_DEFAULT.into()),
            memory_bytes_max: 64 * MIB,
            batches_in_flight: 5,
            batch_bytes_max: 256 * KIB,
            codec: Codec::None,
            when_full: WhenFull::Wait,
        };
        Self { core, topic: topic.to_owned(), settings }
    }

    /// Whether resends are recognised, so that nothing is stored twice. Default true. Without it one batch per
    /// partition is in flight, and an attempt whose outcome is unknown is the last.
    #[must_use]
    pub fn idempotence(mut self, idempotence: bool) -> Self {
        self.settings.idempotence = idempotence;
        self
    }

    /// How long delivery of a record is tried, from its hand-over. 1 ms to 1 day, default 120 s.
    #[must_use]
    pub fn delivery_budget(mut self, budget: Duration) -> Self {
        self.settings.delivery_budget = budget.clamp(Duration::from_millis(1), Duration::from_secs(86_400));
        self
    }

    /// How long a broker may wait for an acknowledgement before it answers "unknown" and the batch is sent again.
    /// 1 ms to 60 s, default 10 s.
    #[must_use]
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        let longest = Duration::from_millis(ACK_WAIT_MS_MAX.into());
        self.settings.ack_timeout = timeout.clamp(Duration::from_millis(1), longest);
        self
    }

    /// What records handed over and not yet answered may take, bytes. 64 KiB to 512 MiB, default 64 MiB.
    /// A compressed batch takes up to twice as much while it is made.
    #[must_use]
    pub fn memory_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.memory_bytes_max = bytes.clamp(64 * KIB, 512 * MIB);
        self
    }

    /// Batches of one partition that may be unanswered. 1 to 1,024 and to what the cluster grants, default 5.
    #[must_use]
    pub fn batches_in_flight(mut self, batches: usize) -> Self {
        self.settings.batches_in_flight = batches.clamp(1, PRODUCER_WINDOW_BATCHES);
        self
    }

    /// How large a batch grows before compression, while an earlier one is in flight. 1 KiB to 8 MiB, default
    /// 256 KiB. A single record may be larger.
    #[must_use]
    pub fn batch_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.batch_bytes_max = bytes.clamp(KIB, BATCH_BYTES_MAX);
        self
    }

    /// How batches are compressed. Default not at all.
    #[must_use]
    pub fn compression(mut self, codec: Codec) -> Self {
        self.settings.codec = codec;
        self
    }

    /// What happens when the memory is used up. Default: `send` waits.
    #[must_use]
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.settings.when_full = when_full;
        self
    }

    /// Finds the topic, gets an identity. Must be called within a Tokio runtime, on which the producer's tasks run.
    ///
    /// # Errors
    /// When the topic does not exist, or no broker answered within the client's request timeout.
    pub async fn open(self) -> Result<Producer, RequestError> {
        check_topic(&self.topic)?;
        let routes = self.core.routes(&self.topic).await?;
        let identity = match self.settings.idempotence {
            true => Some(driver::open_producer(self.core.clone()).await?),
            false => None,
        };
        let record_bytes_max = match routes.record_bytes_max {
            0 => RECORD_BYTES_MAX_DEFAULT,
            bytes => bytes,
        };
        let limits = BatchLimits { record_bytes_max, batch_bytes_max: self.settings.batch_bytes_max };
        let shape = BatchShape { codec: self.settings.codec, limits };
        let queues = (0..routes.partition_count()).map(|partition| Arc::new(Queue::new(partition, shape)));
        let shared = ProducerShared {
            topic_id: Bytes::copy_from_slice(routes.id.as_bytes()),
            topic: self.topic,
            identity: identity.map(|granted| granted.identity),
            batches_in_flight: granted_window(identity, self.settings.batches_in_flight),
            ack_timeout_ms: u32::try_from(self.settings.ack_timeout.as_millis()).expect("at most 60,000"),
            links: Links::default(),
            failures: Failures::default(),
            queues: queues.collect(),
            sticky: AtomicU32::new(rand::random::<u32>() % routes.partition_count()),
            core: self.core,
            settings: self.settings,
        };
        Ok(Producer { inner: Arc::new(Inner::new(shared, routes.id)) })
    }
}

fn granted_window(granted: Option<driver::Granted>, wanted: usize) -> usize {
    granted.map_or(1, |granted| wanted.min(granted.batches_in_flight_max))
}

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
    queues: Vec<Arc<Queue>>,
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
        for completion in self.inner.shared.queues.iter().flat_map(|queue| queue.outstanding()) {
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

    /// How many partitions the topic has.
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
        Self {
            topic_id,
            memory: Memory::new(bytes_max),
            runtime: tokio::runtime::Handle::current(),
            shared: Arc::new(shared),
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
        let Some(queue) = self.shared.queues.get(partition as usize) else {
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
                    self.runtime.spawn(Driver::new(self.shared.clone(), queue.clone()).run());
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
        for queue in &self.queues {
            queue.close(cause.clone());
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
        u32::try_from(self.queues.len()).expect("a topic has at most PARTITION_COUNT_MAX partitions")
    }
}

impl Drop for Inner {
    /// The last handle is gone: drivers end once everything handed over is answered.
    fn drop(&mut self) {
        self.shared.close(&SendCause::Closed);
    }
}

/// The present, Unix milliseconds.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
