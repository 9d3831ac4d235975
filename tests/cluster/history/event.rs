//! What clients do and see. Every value is sent once, so that a value names its send.

use std::fmt;

/// A record's value: `producer-counter`, the counter rising with every send of the producer, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Value {
    pub(crate) producer: u32,
    pub(crate) counter: u64,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.producer, self.counter)
    }
}

impl Value {
    /// Reads what [`Self::to_string`] wrote, possibly with filling behind a space.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.split(' ').next()?;
        let (producer, counter) = text.split_once('-')?;
        Some(Self { producer: producer.parse().ok()?, counter: counter.parse().ok()? })
    }
}

/// What a producer was told about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A receipt; without an offset when an earlier attempt had stored it too long ago.
    Acked { offset: Option<u64> },
    /// Definitely not stored.
    NotStored,
    /// Nobody knows. Also what a send is until it is answered.
    Unknown,
}

/// One record handed to a producer. A producer's sends are noted in the order they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Send {
    pub(crate) value: Value,
    pub(crate) partition: u32,
    pub(crate) outcome: Outcome,
}

/// One record that a reader got. `session` ends and another begins whenever reading begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) session: u32,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    /// `None`: bytes that are no value of ours.
    pub(crate) value: Option<Value>,
}

/// What a receipt said of one record: these brokers had synced it when the acknowledgement left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) value: Value,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) by: Vec<u32>,
}

/// Everything that was seen. Reads of a session are in the order they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) sends: Vec<Send>,
    pub(crate) reads: Vec<Read>,
    pub(crate) synced: Vec<Synced>,
}
