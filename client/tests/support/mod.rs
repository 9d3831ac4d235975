//! A broker for tests: one process, memory only, honest about order, sequences, credit and offsets. It implements just
//! what the SDK's shell is exercised with; the rules of the real broker are tested where they live.
//!
//! Several [`TestBroker`]s may share one [`Partitions`], as brokers of a cluster share a log; one of them leads.

mod admin;
mod fetch;
mod produce;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fidelog_proto::v1::cluster_service_server::{ClusterService, ClusterServiceServer};
use fidelog_proto::v1::fetch_service_server::{FetchService, FetchServiceServer};
use fidelog_proto::v1::position_service_server::{PositionService, PositionServiceServer};
use fidelog_proto::v1::produce_service_server::{ProduceService, ProduceServiceServer};
use fidelog_proto::v1::{
    self, Reason, consume_request, consume_response, list_offsets_request, produce_request,
};
use fidelog_record::batch::Placement;
use fidelog_record::types::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition};
use fidelog_record::{EncodedBatch, PlacedBatch, ProducerStamp};
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status, Streaming};

pub(crate) const TOPIC: &str = "orders";
const TOPIC_ID: [u8; 16] = [9; 16];

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The logs of one topic's partitions, and what is to go wrong.
pub(crate) struct Partitions {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    logs: Vec<Vec<PlacedBatch>>,
    brokers: BTreeMap<u32, String>,
    leader: u32,
    epoch: u32,
    producers: u64,
    /// How many of the next answers are swallowed together with their stream, after the batch was stored.
    answers_to_lose: u32,
    /// What the next attempts are refused with.
    refusals: Vec<Reason>,
    positions: HashMap<(String, u32), v1::Position>,
    sent_bytes: u64,
    granted_bytes: u64,
    requests: u64,
    subscriptions: u64,
    position_reads: u64,
    /// Answers wait until this is false.
    held: bool,
    /// Partitions whose leader does not answer.
    away: BTreeSet<u32>,
    /// Partitions whose records are damaged at their leader.
    damaged: BTreeSet<u32>,
    /// How many partitions a broker that lags behind has heard of; 0: not even of the topic.
    heard_of: BTreeMap<u32, usize>,
    /// A broker that is cut off from the others: it stores, acknowledges nothing, and believes that it leads.
    isolated: Option<Isolated>,
    /// What the next commits are refused with, each partition of them.
    commit_refusals: Vec<Reason>,
}

struct Isolated {
    broker: u32,
    believes: v1::LeaderHint,
}

impl Partitions {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        let state = State { logs: vec![Vec::new(); count], leader: 1, epoch: 1, ..State::default() };
        Arc::new(Self { state: Mutex::new(state), changed: watch::channel(0).0 })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.state.lock());
        self.changed.send_modify(|count| *count += 1);
        value
    }

    pub(crate) fn lose_answers(&self, count: u32) {
        self.change(|state| state.answers_to_lose = count);
    }

    /// The next attempts are refused so, in this order.
    pub(crate) fn refuse(&self, reasons: &[Reason]) {
        self.change(|state| state.refusals = reasons.iter().rev().copied().collect());
    }

    pub(crate) fn lead(&self, broker: u32) {
        self.change(|state| {
            state.leader = broker;
            state.epoch += 1;
        });
    }

    /// The leaders of these partitions, and no others, do not answer.
    pub(crate) fn away(&self, partitions: impl IntoIterator<Item = u32>) {
        self.change(|state| state.away = partitions.into_iter().collect());
    }

    /// The records of these partitions, and of no others, are damaged at their leader, and will be mended.
    pub(crate) fn damage(&self, partitions: impl IntoIterator<Item = u32>) {
        self.change(|state| state.damaged = partitions.into_iter().collect());
    }

    /// The topic has so many partitions from now on.
    pub(crate) fn grow(&self, count: usize) {
        self.change(|state| state.logs.resize(count, Vec::new()));
    }

    /// This broker lags behind: it has heard of so many partitions only; of none means not of the topic.
    pub(crate) fn lag(&self, broker: u32, partitions: usize) {
        self.change(|state| state.heard_of.insert(broker, partitions));
    }

    /// The others do not hear this broker any more; clients do.
    pub(crate) fn isolate(&self, broker: u32) {
        self.change(|state| state.isolated = Some(Isolated { broker, believes: state.hint() }));
    }

    pub(crate) fn refuse_commits(&self, reasons: &[Reason]) {
        self.change(|state| state.commit_refusals = reasons.iter().rev().copied().collect());
    }

    async fn until_heard(&self, broker: u32) {
        let mut changed = self.changed.subscribe();
        let isolated = || self.state.lock().isolated.as_ref().is_some_and(|it| it.broker == broker);
        while isolated() && changed.changed().await.is_ok() {}
    }

    pub(crate) fn hold(&self, held: bool) {
        self.change(|state| state.held = held);
    }

    /// Batches that arrived, however often.
    pub(crate) fn requests(&self) -> u64 {
        self.state.lock().requests
    }

    /// How often a consumer subscribed.
    pub(crate) fn subscriptions(&self) -> u64 {
        self.state.lock().subscriptions
    }

    /// How often a group's positions were read.
    pub(crate) fn position_reads(&self) -> u64 {
        self.state.lock().position_reads
    }

    /// Values stored in a partition, in order.
    pub(crate) fn values(&self, partition: usize) -> Vec<Bytes> {
        let state = self.state.lock();
        let records = state.logs[partition].iter().flat_map(|batch| batch.records().unwrap());
        records.map(|record| record.unwrap().value.unwrap_or_default()).collect()
    }

    pub(crate) fn batch_count(&self, partition: usize) -> usize {
        self.state.lock().logs[partition].len()
    }

    /// Bytes sent to consumers, and the credit they gave.
    pub(crate) fn credit(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.sent_bytes, state.granted_bytes)
    }

    pub(crate) async fn until(&self, done: impl Fn(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !done(self) {
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .expect("the test's condition never came true");
    }
}

impl State {
    fn end(&self, partition: usize) -> u64 {
        self.logs[partition].last().map_or(0, |batch| batch.end_offset().0)
    }

    /// How many partitions this broker has heard of.
    fn known_to(&self, broker: u32) -> usize {
        self.heard_of.get(&broker).copied().unwrap_or(self.logs.len())
    }

    /// What a broker that has not heard of the partition says.
    fn denial(&self, broker: u32, partition: u32) -> Option<Reason> {
        match self.known_to(broker) {
            0 => Some(Reason::UnknownTopic),
            known if partition as usize >= known => Some(Reason::UnknownPartition),
            _ => None,
        }
    }

    fn hint(&self) -> v1::LeaderHint {
        let address = self.brokers.get(&self.leader).cloned().unwrap_or_default();
        v1::LeaderHint { broker_id: self.leader, address, leader_epoch: self.epoch }
    }

    /// Who leads, as this broker believes.
    fn hint_of(&self, broker: u32) -> v1::LeaderHint {
        match &self.isolated {
            Some(isolated) if isolated.broker == broker => isolated.believes.clone(),
            _ => self.hint(),
        }
    }

    fn leads(&self, broker: u32) -> bool {
        self.hint_of(broker).broker_id == broker
    }

    fn error(&self, reason: Reason) -> v1::Error {
        let leader = (reason == Reason::NotLeader).then(|| self.hint());
        v1::Error {
            reason: reason.into(),
            message: "as the test wished".into(),
            leader,
            ..Default::default()
        }
    }

    fn append(&mut self, broker: u32, request: v1::ProduceRequest) -> Result<v1::Receipt, v1::Error> {
        self.requests += 1;
        if !self.leads(broker) {
            return Err(self.error(Reason::NotLeader));
        }
        if let Some(reason) = self.refusals.pop() {
            return Err(self.error(reason));
        }
        let partition = request.partition.unwrap_or_default();
        let Some(produce_request::Payload::Batch(bytes)) = request.payload else {
            return Err(self.error(Reason::InvalidArgument));
        };
        let batch = EncodedBatch::from_bytes(bytes).map_err(|_| self.error(Reason::InvalidBatch))?;
        let stamp = batch.header().producer;
        let log = &self.logs[partition as usize];
        if stamp.id.0 != 0
            && let Some(earlier) = log.iter().find(|earlier| earlier.header().producer == stamp)
        {
            return Ok(self.receipt(partition, earlier, true));
        }
        let expected = next_sequence(log, stamp);
        if stamp.id.0 != 0 && stamp.base_sequence.0 != expected {
            return Err(self.error(Reason::OutOfOrder));
        }
        let end = self.end(partition as usize);
        let placed = batch.place(Placement {
            topic_partition: at(partition),
            base_offset: Offset(end),
            leader_epoch: LeaderEpoch(self.epoch),
            append_time_ms: 1,
            committed_below: Offset(end),
        });
        let receipt = self.receipt(partition, &placed, false);
        self.logs[partition as usize].push(placed);
        Ok(receipt)
    }

    fn receipt(&self, partition: u32, batch: &PlacedBatch, duplicate: bool) -> v1::Receipt {
        v1::Receipt {
            topic_id: Bytes::from_static(&TOPIC_ID),
            partition,
            base_offset: batch.base_offset().0,
            end_offset: batch.end_offset().0,
            leader_epoch: self.epoch,
            synced_by: vec![self.leader, 99],
            replicas: 2,
            duplicate,
            ..Default::default()
        }
    }

    fn fetch(&self, partition: u32, offset: u64, bytes_max: u64) -> v1::FetchResponse {
        let mut batches = BytesMut::new();
        let mut next = offset;
        for batch in self.logs[partition as usize].iter().filter(|batch| batch.end_offset().0 > offset) {
            if !batches.is_empty() && (batches.len() + batch.length()) as u64 > bytes_max {
                break;
            }
            batches.extend_from_slice(&batch.to_bytes());
            next = batch.end_offset().0;
        }
        v1::FetchResponse {
            next_offset: next,
            start_offset: 0,
            committed_end: self.end(partition as usize),
            leader_epoch: self.epoch,
            topic_id: Bytes::from_static(&TOPIC_ID),
            records: Vec::new(),
            batches: batches.freeze(),
        }
    }
}

fn next_sequence(log: &[PlacedBatch], stamp: ProducerStamp) -> u64 {
    let same = |batch: &&PlacedBatch| {
        let producer = batch.header().producer;
        (producer.id, producer.epoch) == (stamp.id, stamp.epoch)
    };
    let last = log.iter().rev().find(same);
    last.map_or(0, |batch| batch.header().producer.base_sequence.0 + u64::from(batch.record_count()))
}

fn at(partition: u32) -> TopicPartition {
    TopicPartition { topic: TopicId::from_bytes(TOPIC_ID), partition: PartitionIndex(partition) }
}

/// One broker: a listener in front of the shared partitions, on a runtime of its own, so that stopping it cuts every
/// connection at once.
pub(crate) struct TestBroker {
    pub(crate) address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A broker that stands still.
pub(crate) struct Frozen {
    _thaw: std::sync::mpsc::Sender<()>,
}

#[derive(Clone)]
struct Service {
    id: u32,
    shared: Arc<Partitions>,
}

impl TestBroker {
    pub(crate) fn start(id: u32, shared: &Arc<Partitions>) -> Self {
        Self::start_at(id, shared, "127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_at(id: u32, shared: &Arc<Partitions>, address: SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _entered = runtime.enter();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener: TcpListener = socket.listen(64).unwrap();
        let address = listener.local_addr().unwrap();
        shared.change(|state| state.brokers.insert(id, address.to_string()));
        let service = Service { id, shared: shared.clone() };
        let server = tonic::transport::Server::builder()
            .add_service(ProduceServiceServer::new(service.clone()).max_decoding_message_size(16 << 20))
            .add_service(FetchServiceServer::new(service.clone()).max_encoding_message_size(16 << 20))
            .add_service(PositionServiceServer::new(service.clone()))
            .add_service(ClusterServiceServer::new(service));
        // Without this an answer waits 40 ms for the acknowledgement of the one before.
        let incoming = TcpListenerStream::new(listener).inspect(|stream| {
            let _best_effort = stream.as_ref().map(|stream| stream.set_nodelay(true));
        });
        runtime.spawn(async move { server.serve_with_incoming(incoming).await });
        Self { address, runtime: Some(runtime) }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Everything of it stops at once, as by SIGSTOP, until the guard is dropped: connections stay up.
    pub(crate) fn freeze(&self) -> Frozen {
        let (thaw, frozen) = std::sync::mpsc::channel();
        let (stands, standing) = std::sync::mpsc::channel();
        let runtime = self.runtime.as_ref().expect("a broker that runs");
        runtime.spawn(async move {
            let _awaited = stands.send(());
            // On purpose: this is the runtime's only thread.
            let _thawed: Result<(), _> = frozen.recv();
        });
        standing.recv().expect("the broker stands still");
        Frozen { _thaw: thaw }
    }

    /// Cuts every connection; the log stays.
    pub(crate) fn stop(mut self) -> SocketAddr {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
        self.address
    }
}

fn refuse(reason: Reason) -> Status {
    use tonic_types::{ErrorDetails, StatusExt};
    let details = ErrorDetails::with_error_info(reason.name(), "fidelog", HashMap::new());
    Status::with_error_details(tonic::Code::FailedPrecondition, "as the test wished", details)
}
