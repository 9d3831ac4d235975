//! All streams of this broker, by number: how partitions reach the network.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use arc_swap::ArcSwap;
use bytes::Bytes;
use fidelog_proto::internal::v1 as wire;
use fidelog_record::types::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, LeaderEpoch, Offset, TopicPartition,
};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::codec;
use super::inflow::Inflow;
use super::isr_changes::IsrChanges;
use super::outbox::Outbox;
use super::refill;
use super::reply_outbox::ReplyOutbox;
use super::tail;
use crate::meta::quorum::MetadataQuorum;
use crate::meta::state::Proposal;
use crate::meta::view::MetaView;
use crate::partition::{Links, Partition};
use crate::replica::message::{FollowerMessage, LeaderMessage};
use crate::replica::{Incarnate, Proposed, StreamId};
use crate::rpc::context::Reachability;

/// A stream to a follower that is up.
#[derive(Clone, Debug)]
pub struct LiveStream {
    /// The stream.
    pub stream: StreamId,
    /// Whom it reaches.
    pub incarnate: Incarnate,
}

/// Who this broker is, for hellos and proposals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) cluster: ClusterId,
    pub(super) broker: BrokerId,
    pub(super) epoch: BrokerEpoch,
    pub(super) directory: DirectoryId,
}

impl Identity {
    pub(super) fn hello(&self, lane: wire::Lane) -> wire::Hello {
        wire::Hello {
            cluster_id: Bytes::copy_from_slice(self.cluster.as_bytes()),
            broker_id: self.broker.0,
            broker_epoch: self.epoch.0,
            directory_id: Bytes::copy_from_slice(self.directory.as_bytes()),
            lane: lane.into(),
        }
    }
}

#[derive(Clone, Debug)]
struct Outgoing {
    outbox: Arc<Outbox>,
    incarnate: Incarnate,
}

/// The streams. One for the whole broker.
pub struct PeerLinks {
    cluster: ClusterId,
    broker: BrokerId,
    directory: DirectoryId,
    /// From its registration.
    epoch: OnceLock<BrokerEpoch>,
    pub(super) view: Arc<MetaView>,
    runtime: Handle,
    isr_changes: IsrChanges,
    /// A log has failed: whoever tells the quorum how replicas are looks at once.
    failures: Arc<Notify>,
    next_stream: AtomicU64,
    pub(super) inflow: Inflow,
    outgoing: ArcSwap<HashMap<StreamId, Outgoing>>,
    incoming: ArcSwap<HashMap<StreamId, Arc<ReplyOutbox>>>,
    /// Serialises changes of the two maps; reading them takes no lock.
    changing: Mutex<()>,
}

impl std::fmt::Debug for PeerLinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PeerLinks({} outgoing, {} incoming)",
            self.outgoing.load().len(),
            self.incoming.load().len()
        )
    }
}

impl PeerLinks {
    /// No streams yet, and none before the broker has registered: it listens before that. Proposals and reads run on
    /// the runtime this is called in.
    #[must_use]
    pub fn new(
        me: (ClusterId, BrokerId, DirectoryId),
        view: Arc<MetaView>,
        quorum: Arc<dyn MetadataQuorum>,
    ) -> Arc<Self> {
        let (cluster, broker, directory) = me;
        Arc::new(Self {
            cluster,
            broker,
            directory,
            epoch: OnceLock::new(),
            view,
            isr_changes: IsrChanges::new(quorum, Handle::current()),
            runtime: Handle::current(),
            failures: Arc::default(),
            next_stream: AtomicU64::new(1),
            inflow: Inflow::default(),
            outgoing: ArcSwap::default(),
            incoming: ArcSwap::default(),
            changing: Mutex::new(()),
        })
    }

    /// The broker has registered; told once.
    pub fn registered(&self, epoch: BrokerEpoch) {
        let first = *self.epoch.get_or_init(|| epoch);
        assert_eq!(first, epoch, "a process registers once");
    }

    pub(super) fn broker(&self) -> BrokerId {
        self.broker
    }

    /// Woken whenever a log has failed.
    #[must_use]
    pub fn failures(&self) -> Arc<Notify> {
        Arc::clone(&self.failures)
    }

    /// Who this broker is, once it has registered.
    pub(super) fn identity(&self) -> Option<Identity> {
        let Self { cluster, broker, directory, .. } = *self;
        self.epoch.get().map(|&epoch| Identity { cluster, broker, epoch, directory })
    }

    pub(super) fn mint(&self) -> StreamId {
        StreamId(self.next_stream.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn add_outgoing(&self, outbox: Arc<Outbox>, incarnate: Incarnate) {
        let _changing = self.changing.lock();
        let mut map = HashMap::clone(&self.outgoing.load());
        map.insert(outbox.stream, Outgoing { outbox, incarnate });
        self.outgoing.store(Arc::new(map));
    }

    pub(super) fn remove_outgoing(&self, stream: StreamId) {
        let _changing = self.changing.lock();
        let mut map = HashMap::clone(&self.outgoing.load());
        map.remove(&stream);
        self.outgoing.store(Arc::new(map));
    }

    pub(super) fn add_incoming(&self, stream: StreamId, outbox: Arc<ReplyOutbox>) {
        let _changing = self.changing.lock();
        let mut map = HashMap::clone(&self.incoming.load());
        map.insert(stream, outbox);
        self.incoming.store(Arc::new(map));
    }

    pub(super) fn remove_incoming(&self, stream: StreamId) {
        let _changing = self.changing.lock();
        let mut map = HashMap::clone(&self.incoming.load());
        map.remove(&stream);
        self.incoming.store(Arc::new(map));
    }

    fn find(&self, to: BrokerId, lane: wire::Lane) -> Option<LiveStream> {
        let outgoing = self.outgoing.load();
        let found = outgoing.values().find(|it| it.outbox.to == to && it.outbox.lane == lane)?;
        Some(LiveStream { stream: found.outbox.stream, incarnate: found.incarnate })
    }

    /// The live streams that are up, for a partition that begins to lead.
    #[must_use]
    pub fn live_streams(&self) -> Vec<LiveStream> {
        let outgoing = self.outgoing.load();
        let live = outgoing.values().filter(|it| it.outbox.lane == wire::Lane::Live);
        live.map(|it| LiveStream { stream: it.outbox.stream, incarnate: it.incarnate }).collect()
    }

    /// The live stream to a follower, when it is up.
    pub(super) fn live_stream(&self, to: BrokerId) -> Option<LiveStream> {
        self.find(to, wire::Lane::Live)
    }

    fn move_to(&self, partition: &Arc<Partition>, to: BrokerId, lane: wire::Lane) -> bool {
        let Some(target) = self.find(to, lane) else { return false };
        debug!(partition = %partition.id(), follower = %to, ?lane, "replication moves to another stream");
        partition.stream_up(target.stream, target.incarnate);
        true
    }

    /// Sends a partition that is far behind to the catch-up stream, when there is one.
    pub(super) fn move_to_catch_up(&self, partition: &Arc<Partition>, to: BrokerId) -> bool {
        self.move_to(partition, to, wire::Lane::CatchUp)
    }

    /// Sends a partition that has nearly caught up back to the live stream, when there is one and fewer than
    /// `reading_max` are read for on it.
    pub(super) fn move_to_live(&self, partition: &Arc<Partition>, to: BrokerId, reading_max: usize) -> bool {
        let outgoing = self.outgoing.load();
        let is_it = |it: &&Outgoing| it.outbox.to == to && it.outbox.lane == wire::Lane::Live;
        let has_room =
            outgoing.values().find(is_it).is_some_and(|it| it.outbox.reading_count() < reading_max);
        has_room && self.move_to(partition, to, wire::Lane::Live)
    }
}

impl Reachability for PeerLinks {
    fn is_reachable(&self, broker: BrokerId) -> bool {
        self.find(broker, wire::Lane::Live).is_some()
    }
}

impl Links for PeerLinks {
    fn tell(
        &self,
        stream: StreamId,
        partition: &Partition,
        epoch: LeaderEpoch,
        message: LeaderMessage,
    ) -> Option<Waker> {
        let outgoing = self.outgoing.load();
        let outbox = &outgoing.get(&stream)?.outbox;
        outbox.say(codec::encode_leader(partition.topic_bytes(), partition.id(), epoch, message))
    }

    fn reply(
        &self,
        stream: StreamId,
        at: TopicPartition,
        epoch: LeaderEpoch,
        message: FollowerMessage,
    ) -> Option<Waker> {
        self.incoming.load().get(&stream)?.push(at, epoch, message)
    }

    fn push_ready(&self, stream: StreamId, partition: &Arc<Partition>) -> Option<Waker> {
        self.outgoing.load().get(&stream)?.outbox.ready(partition)
    }

    fn committed_ready(&self, stream: StreamId, partition: &Arc<Partition>) -> Option<Waker> {
        self.outgoing.load().get(&stream)?.outbox.committed(partition)
    }

    fn propose(&self, partition: TopicPartition, epoch: LeaderEpoch, proposed: Proposed) {
        let Some(state) = self.view.state() else { return };
        let Some(Identity { broker, epoch: broker_epoch, directory, .. }) = self.identity() else { return };
        let me = Incarnate { broker, epoch: broker_epoch, directory };
        let Some(proposal) = Proposal::change_isr(&state, me, partition, epoch, &proposed) else { return };
        self.isr_changes.add(partition, proposal);
    }

    fn replica_failed(&self, _: TopicPartition) {
        self.failures.notify_one();
    }

    fn held_changed(&self, before: u64, after: u64) {
        self.inflow.change(before, after);
    }

    fn read_producers(&self, partition: &Arc<Partition>, epoch: LeaderEpoch, at: Offset) {
        let leader = partition.inspect(|machine| machine.assignment().and_then(|seen| seen.leader));
        let state = self.view.state();
        let address = state.and_then(|state| Some(state.broker(leader?)?.peer_address.clone()));
        let partition = Arc::clone(partition);
        self.runtime.spawn(async move {
            let read = match address {
                Some(address) => refill::read(&address, partition.id(), epoch, at).await,
                None => Err("where the leader is, is not known".to_owned()),
            };
            match read {
                Ok(producers) => partition.producers_read(at, epoch, producers),
                Err(why) => partition.producers_not_read(at, epoch, &why),
            }
        });
    }

    fn read_tail(
        &self,
        partition: &Arc<Partition>,
        from: BrokerId,
        epoch: LeaderEpoch,
        start: Offset,
        end: Offset,
    ) {
        let address =
            self.view.state().and_then(|state| state.broker(from).map(|it| it.peer_address.clone()));
        let partition = Arc::clone(partition);
        self.runtime.spawn(async move {
            let Some(address) = address else { return partition.tail_not_copied(from) };
            match tail::read(&address, &partition, epoch, start, end).await {
                Ok(batches) => partition.tail_copied(from, batches),
                Err(why) => {
                    warn!(partition = %partition.id(), follower = %from, "cannot copy its tail: {why}");
                    partition.tail_not_copied(from);
                }
            }
        });
    }
}
