//! What the public services work with. Built once by the node, shared by every service of both listeners.

use std::fmt::Debug;
use std::sync::Arc;

use fidelog_log::env::{Clock, Entropy};
use fidelog_record::types::{BrokerId, ClusterId};
use tokio_util::sync::CancellationToken;

use super::budget::Budget;
use super::committed_ends::CommittedEnds;
use super::forward::Forwarder;
use super::limits::RpcLimits;
use super::operations::Journal;
use super::placement::Sticky;
use super::producer_ids::ProducerIds;
use crate::group::Positions;
use crate::meta::quorum::MetadataQuorum;
use crate::meta::view::MetaView;
use crate::partition::Partitions;

/// What this broker knows of its own links.
pub trait Reachability: Debug + Send + Sync {
    /// Whether this broker's link to `broker` is up.
    fn is_reachable(&self, broker: BrokerId) -> bool;
}

/// What the node gives to build a [`Context`].
#[derive(Debug)]
pub struct Parts {
    /// This broker.
    pub me: BrokerId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its version, as shown to people.
    pub version: String,
    /// The partitions it hosts.
    pub partitions: Arc<Partitions>,
    /// Its view of the metadata.
    pub meta: Arc<MetaView>,
    /// Who decides on the metadata.
    pub quorum: Arc<dyn MetadataQuorum>,
    /// The positions of groups; answers only where it owns them.
    pub positions: Arc<Positions>,
    /// Its links.
    pub reachability: Arc<dyn Reachability>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids.
    pub entropy: Arc<dyn Entropy>,
    /// Bounds.
    pub limits: RpcLimits,
    /// Cancelled when the broker stops: streams end after what they have taken on.
    pub stopping: CancellationToken,
}

/// What the public services work with.
#[derive(Debug)]
pub struct Context {
    pub(super) me: BrokerId,
    pub(super) cluster: ClusterId,
    pub(super) version: String,
    pub(super) partitions: Arc<Partitions>,
    pub(super) meta: Arc<MetaView>,
    pub(super) quorum: Arc<dyn MetadataQuorum>,
    pub(super) positions: Arc<Positions>,
    pub(super) reachability: Arc<dyn Reachability>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) limits: RpcLimits,
    pub(super) stopping: CancellationToken,
    pub(super) requests: Budget,
    pub(super) reads: Budget,
    pub(super) forwarder: Forwarder,
    pub(super) producer_ids: ProducerIds,
    pub(super) sticky: Sticky,
    pub(super) committed_ends: CommittedEnds,
    pub(super) journal: Journal,
}

impl Context {
    /// A context of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { me, cluster, version, partitions, meta, quorum, positions, .. } = parts;
        let Parts { reachability, clock, entropy, limits, stopping, .. } = parts;
        Arc::new(Self {
            me,
            cluster,
            version,
            partitions,
            meta,
            producer_ids: ProducerIds::new(Arc::clone(&quorum), me, limits.producer_ids_per_grant),
            quorum,
            positions,
            reachability,
            clock,
            entropy,
            limits,
            stopping,
            requests: Budget::new("request_bytes_max", limits.request_bytes_max, limits.room_wait),
            reads: Budget::new("read_bytes_max", limits.read_bytes_max, limits.room_wait),
            forwarder: Forwarder::default(),
            sticky: Sticky::default(),
            committed_ends: CommittedEnds::default(),
            journal: Journal::default(),
        })
    }
}
