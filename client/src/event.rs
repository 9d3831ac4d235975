//! What a client tells its program while it mends things by itself (G10).
//!
//! Events are for logs, metrics and people: nothing has to be done about them. They are delivered on the client's
//! own tasks, so a listener returns quickly and never blocks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fidelog_proto::v1::Reason;
use fidelog_record::types::{BrokerId, LeaderEpoch, ProducerEpoch};

/// Something the client noticed, or did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection to a broker ended; the client connects again by itself.
    Disconnected {
        /// host:port.
        address: String,
        /// What ended it.
        cause: String,
    },
    /// A connection that had ended, or could not be made, is there again.
    Reconnected {
        /// host:port.
        address: String,
    },
    /// A partition is led by another broker, or in another epoch, than before.
    LeaderChanged {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: u32,
        /// Who leads it now.
        leader: BrokerId,
        /// In which epoch.
        epoch: LeaderEpoch,
    },
    /// A topic has more partitions than before. Consumers of all its partitions read the new ones from their start, and
    /// producers send new records to them: a key may go to another partition from now on.
    PartitionsGrew {
        /// The topic's name.
        topic: String,
        /// How many there were.
        from: u32,
        /// How many there are.
        to: u32,
    },
    /// A batch will be sent again.
    BatchRetried {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: u32,
        /// How often it has been sent so far.
        attempts: u32,
        /// Why the last attempt failed; `None`: its answer was lost with the connection.
        reason: Option<Reason>,
    },
    /// Batches of a partition wait: there is no connection to its leader, or no identity to send under.
    ProducerWaiting {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: u32,
        /// Why.
        cause: String,
    },
    /// Batches of a partition that had to wait are stored again.
    ProducerResumed {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// A request that is not a produce or a consume was not answered as it should be, and is sent again.
    RequestRetried {
        /// Why.
        cause: String,
    },
    /// The producer began a new row of sequences for a partition, because a batch in the old one was refused (N17).
    ProducerEpochRaised {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: u32,
        /// The new epoch.
        epoch: ProducerEpoch,
    },
    /// A broker asked to slow down; the client waits.
    Throttled {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: u32,
        /// How long it waits.
        wait: Duration,
    },
    /// A partition cannot be read for now; it is tried again, and [`Self::ConsumerResumed`] tells when records come.
    ConsumerWaiting {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: u32,
        /// The first offset not yet read.
        offset: u64,
        /// Why.
        cause: String,
    },
    /// Records of a partition that had to wait come again, at exactly the next offset.
    ConsumerResumed {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: u32,
        /// Where it goes on.
        offset: u64,
    },
    /// A consumer asked for an offset that does not exist any more, and moved as its program had asked it to.
    ConsumerReset {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: u32,
        /// The offset that was out of range.
        from: u64,
        /// Where it goes on.
        to: u64,
    },
}

/// Who listens.
#[derive(Clone, Default)]
pub(crate) struct Listener(Option<Arc<Hear>>);

type Hear = dyn Fn(&Event) + Send + Sync;

impl Listener {
    pub(crate) fn new(listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    pub(crate) fn tell(&self, event: Event) {
        tracing::debug!(?event, "client");
        if let Some(listener) = &self.0 {
            listener(&event);
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Listener(set)" } else { "Listener(none)" })
    }
}
