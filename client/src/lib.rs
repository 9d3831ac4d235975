//! The Fidelog SDK for Rust: producers, consumers and administration over gRPC.

mod admin;
mod backoff;
mod client;
mod connection;
mod consumer;
mod error;
mod event;
mod fetch;
mod producer;
mod receipt;
mod routes;

pub use admin::{Admin, NewTopic};
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
