//! The Fidelog SDK for Rust: producers, consumers and administration over gRPC.
//!
//! ```no_run
//! use fidelog_client::{Client, Record};
//!
//! # async fn hello() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(["127.0.0.1:9094"]).await?;
//!
//! let producer = client.producer("orders").open().await?;
//! let delivery = producer.send(Record::new("a chair").key("customer-7")).await?;
//! let receipt = delivery.await?;
//! println!("offset {:?}, synced by {} brokers", receipt.offset, receipt.replicas);
//!
//! let mut consumer = client.consumer("orders").group("billing").open().await?;
//! while let Some(record) = consumer.next().await {
//!     let record = record?;
//!     println!("{} {}: {:?}", record.partition, record.offset, record.value);
//!     // Once the work is done, and not before:
//!     consumer.commit_processed().await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What a producer promises
//!
//! [`Producer::send`] returns as soon as the record is in a batch; its [`Delivery`] ends with a [`Receipt`], which is
//! proof that the record is synced on every broker it names, or with a [`DeliveryError`]. That says either
//! *definitely not stored* or *outcome unknown*, and never guesses: definite means that every single attempt was
//! answered definitely. Resends are recognised by the brokers, so that nothing is stored twice, and records of one
//! producer stay in order within a partition.
//!
//! Nothing needs tuning. A record is sent at once when nothing of its partition is in flight; otherwise records
//! gather until the pipe is free or the batch is full.
//!
//! | [`ProducerBuilder`] | default | range | meaning |
//! |---|---|---|---|
//! | `idempotence` | on | on, off | resends are recognised; without it one batch is in flight and unknown is final |
//! | `delivery_budget` | 120 s | 1 ms – 1 day | how long delivery is tried |
//! | `ack_timeout` | 10 s | 1 ms – 60 s | how long a broker may wait before it answers "unknown" |
//! | `memory_bytes_max` | 64 MiB | 64 KiB – 512 MiB | records handed over and not yet answered |
//! | `when_full` | wait | wait, error | when that memory is used up |
//! | `batches_in_flight` | 5 | 1 – 1,024 | unanswered batches of one partition |
//! | `batch_bytes_max` | 256 KiB | 1 KiB – 8 MiB | size of a batch before compression |
//! | `compression` | none | none, lz4, zstd | of whole batches |
//!
//! # What a consumer promises
//!
//! Committed records only, in offset order, without holes; both checksums of every batch are verified here. After a
//! lost connection or a new leader reading goes on at exactly the next offset. An offset that retention has passed
//! is an error unless a reset was asked for. Nothing is committed unless the program says so; a committed position
//! is the first offset not yet processed. A reader whose group was taken over is told
//! ([`CommitError::Fenced`]) and ends.
//!
//! | [`ConsumerBuilder`] | default | range | meaning |
//! |---|---|---|---|
//! | `partitions` | all | | which to read |
//! | `from` | the group's position, else the start | [`StartAt`] | where to begin |
//! | `until`, `stop_at_end` | reads for ever | | where to end |
//! | `group` | none | a group's name | whose positions to take over and commit |
//! | `group_start` | the start | [`StartAt`] | where a group without a position begins |
//! | `owner` | the process id | 249 bytes | how people recognise the reader |
//! | `buffer_bytes` | 16 MiB | 64 KiB – 1 GiB | what brokers may send ahead |
//! | `fetch_bytes` | 1 MiB | 1 – 8 MiB | about how much comes at once |
//! | `when_out_of_range` | error | error, start, end | when an offset does not exist |
//!
//! # Reaching the cluster
//!
//! | [`ClientBuilder`] | default | range | meaning |
//! |---|---|---|---|
//! | `connections_per_broker` | 2 | 1 – 16 | one is about one core of work |
//! | `connect_timeout` | 5 s | 10 ms – 60 s | for one connection; the first, to any broker, is tried for 2 s when all refuse |
//! | `request_timeout` | 15 s | 10 ms – 10 min | for a request that is not a produce or a consume, retries included |
//! | `routes_age_max` | 30 s | 10 ms – 1 h | after which partitions that were added to a topic are looked for |
//! | `client_id` | `fidelog-rust` | printable ASCII | how brokers name the program |
//! | `on_event` | nobody | | hears of reconnects, new leaders, retries ([`Event`]) |
//!
//! A leader that dies, hangs or is cut off is left by itself: routes are asked of another broker each time, the newest
//! leader epoch counts, and what was in flight goes to the new leader under the same sequences. A leader that is silent
//! for 500 ms with batches in flight is doubted; a consumer's connection is given up after 5 s without a sign of life.
//!
//! When a topic gets more partitions, consumers of all of them read the new ones from their start, and producers send new
//! records to them. A key may then go to another partition than before: its records are in order before the growth and
//! after it, and not across it; two producers may differ for as long as `routes_age_max`.
//!
//! Waits between retries double from 10 ms and are jittered: up to 100 ms for the first five seconds that a leader is
//! looked for, up to 1 s afterwards and for brokers that are overloaded.

mod address;
mod admin;
mod backoff;
mod calls;
mod client;
mod connection;
mod consumer;
mod error;
mod event;
mod fetch;
mod producer;
mod receipt;
mod routes;

pub use admin::{Admin, ClusterEvents, ListPartitions, NewTopic};
pub use client::{Client, ClientBuilder};
pub use consumer::{
    CommitError, ConsumeError, ConsumedBatch, ConsumedRecord, ConsumedRecords, Consumer, ConsumerBuilder,
    ConsumerPosition, StartAt, Unfit, WhenOutOfRange,
};
pub use error::{Leader, Refusal, RequestError};
pub use event::Event;
pub use fetch::{Fetch, ListedOffset, OffsetAt, PartitionLag};
pub use producer::{
    Cause, Delivery, DeliveryError, FlushError, Producer, ProducerBuilder, SendCause, SendError, WhenFull,
};
pub use receipt::{Receipt, Stages};

/// The wire's own messages, which administration answers with.
pub use fidelog_proto::v1 as wire;
pub use fidelog_proto::v1::Reason;
pub use fidelog_proto::{Certainty, Meaning};
/// Offsets, epochs, ids.
pub use fidelog_record::types;
pub use fidelog_record::{Codec, Header, HeaderName, Record};
