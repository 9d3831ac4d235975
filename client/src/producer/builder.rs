//! Setting up a producer, and opening it.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use bytes::Bytes;
use fidelog_record::Codec;
use fidelog_record::batch::BatchLimits;
use fidelog_record::types::limits::{
    ACK_WAIT_MS_DEFAULT, ACK_WAIT_MS_MAX, BATCH_BYTES_MAX, PRODUCER_WINDOW_BATCHES, RECORD_BYTES_MAX_DEFAULT,
};

use crate::client::{Core, check_topic};
use crate::error::RequestError;

use super::driver;
use super::failures::Failures;
use super::link::Links;
use super::partitions::Partitions;
use super::queue::BatchShape;
use super::{Inner, Producer, ProducerShared};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What a producer does with a record when its memory is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// `send` waits until there is room: the default.
    #[default]
    Wait,
    /// `send` hands the record back with [`SendCause::Full`](super::SendCause::Full).
    Error,
}

#[derive(Clone, Debug)]
pub(crate) struct ProducerSettings {
    pub(super) idempotence: bool,
    pub(super) delivery_budget: Duration,
    pub(super) ack_timeout: Duration,
    pub(super) memory_bytes_max: usize,
    pub(super) batches_in_flight: usize,
    pub(super) batch_bytes_max: usize,
    pub(super) codec: Codec,
    pub(super) when_full: WhenFull,
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
        // Asked for anew: producers that know different numbers of partitions send a key to different ones.
        let routes = self.core.refresh_routes(&self.topic).await?;
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
        let shared = ProducerShared {
            topic_id: Bytes::copy_from_slice(routes.id.as_bytes()),
            topic: self.topic,
            identity: identity.map(|granted| granted.identity),
            batches_in_flight: granted_window(identity, self.settings.batches_in_flight),
            ack_timeout_ms: u32::try_from(self.settings.ack_timeout.as_millis()).expect("at most 60,000"),
            links: Links::default(),
            failures: Failures::default(),
            partitions: Partitions::new(routes.partition_count(), shape),
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
