//! The outgoing side: one task per other broker and lane, which connects, says hello, and hears what comes back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::Clock;
use fidelog_proto::internal::v1 as wire;
use fidelog_proto::internal::v1::replication_service_client::ReplicationServiceClient;
use fidelog_record::types::limits::MESSAGE_BYTES_MAX;
use fidelog_record::types::{BrokerEpoch, BrokerId, ClusterId, DirectoryId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use tracing::{debug, info, warn};

use super::codec;
use super::frame::Frames;
use super::links::PeerLinks;
use super::outbox::Outbox;
use super::reader::Reader;
use crate::partition::Partitions;
use crate::replica::Incarnate;

/// Settings of the outgoing streams.
#[derive(Clone, Copy, Debug)]
pub struct LinkSettings {
    /// First pause after a failed connection; doubled up to `pause_max`.
    pub pause_first: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// Bytes a second that may be read from the log for a follower, on each of its two streams.
    pub catch_up_bytes_per_s: u64,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            pause_first: Duration::from_millis(20),
            pause_max: Duration::from_millis(500),
            catch_up_bytes_per_s: 400 << 20,
        }
    }
}

/// Keeps both streams up, until `stop`, to every other broker that has ever registered: one that is added to a running
/// cluster is in no file of those that were there before it. Safe to stop at every await.
pub async fn run_links(
    links: Arc<PeerLinks>,
    partitions: Arc<Partitions>,
    clock: Arc<dyn Clock>,
    settings: LinkSettings,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    let mut linked = BTreeSet::from([links.broker()]);
    let mut changes = links.view.subscribe();
    loop {
        let (state, _) = changes.next().await;
        for to in state.brokers().map(|entry| entry.id).filter(|&id| linked.insert(id)) {
            for lane in [wire::Lane::Live, wire::Lane::CatchUp] {
                let link = Link {
                    to,
                    lane,
                    links: Arc::clone(&links),
                    partitions: Arc::clone(&partitions),
                    clock: Arc::clone(&clock),
                    settings,
                };
                let stop = stop.clone();
                tracker.spawn(async move {
                    // Stopping here is safe: positions belong to the stream and end with it.
                    stop.run_until_cancelled(link.run()).await;
                });
            }
        }
    }
}

struct Link {
    to: BrokerId,
    lane: wire::Lane,
    links: Arc<PeerLinks>,
    partitions: Arc<Partitions>,
    clock: Arc<dyn Clock>,
    settings: LinkSettings,
}

impl Link {
    async fn run(self) {
        let mut pause = self.settings.pause_first;
        loop {
            match self.connect().await {
                Ok(channel) => {
                    pause = self.settings.pause_first;
                    let why = self.stream(channel).await;
                    debug!(follower = %self.to, lane = ?self.lane, "the replication stream ended: {why}");
                }
                Err(why) => debug!(follower = %self.to, lane = ?self.lane, "cannot reach it: {why}"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.settings.pause_max);
        }
    }

    async fn connect(&self) -> Result<Channel, String> {
        let address = self
            .links
            .view
            .state()
            .and_then(|state| state.broker(self.to).map(|entry| entry.peer_address.clone()))
            .ok_or("it has not registered yet")?;
        let endpoint =
            Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
        endpoint
            .connect_timeout(Duration::from_secs(2))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(1))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(16 << 20)
            .initial_connection_window_size(16 << 20)
            .connect()
            .await
            .map_err(|error| error.to_string())
    }

    async fn stream(&self, channel: Channel) -> String {
        let stream = self.links.mint();
        let Some(identity) = self.links.identity() else {
            return "this broker has not registered yet".to_owned();
        };
        let outbox = Outbox::new(stream, self.to, self.lane, identity.hello(self.lane));
        let frames = Frames::new(Arc::clone(&outbox), Arc::clone(&self.links));
        let mut client = ReplicationServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(usize::MAX);
        let _closing = Closing { outbox: &outbox, links: &self.links, partitions: &self.partitions };
        let mut replies = match client.replicate(frames).await {
            Ok(response) => response.into_inner(),
            Err(status) => return status.to_string(),
        };
        let incarnate = match self.greeted(identity.cluster, &mut replies).await {
            Ok(incarnate) => incarnate,
            Err(why) => {
                warn!(follower = %self.to, "refusing to replicate to it: {why}");
                return why;
            }
        };
        info!(follower = %self.to, lane = ?self.lane, epoch = %incarnate.epoch, "replication stream up");
        self.links.add_outgoing(Arc::clone(&outbox), incarnate);
        if self.lane == wire::Lane::Live {
            for partition in self.partitions.all() {
                partition.stream_up(stream, incarnate);
            }
        }
        let pace = self.settings.catch_up_bytes_per_s;
        let reader = Reader::new(Arc::clone(&outbox), Arc::clone(&self.clock), pace);
        // Stopping either is safe: positions belong to the stream and end with it.
        tokio::select! {
            why = self.hear(&outbox, replies) => why,
            () = reader.run() => unreachable!("it reads for as long as the stream lives"),
        }
    }

    async fn greeted(
        &self,
        cluster: ClusterId,
        replies: &mut Streaming<wire::FollowerFrame>,
    ) -> Result<Incarnate, String> {
        let frame = replies.message().await.map_err(|status| status.to_string())?.ok_or("it hung up")?;
        let hello = frame.hello.ok_or("it did not say who it is")?;
        if hello.cluster_id != cluster.as_bytes().as_slice() || hello.broker_id != self.to.0 {
            return Err(format!(
                "broker {} of another cluster, or another broker, answers there",
                hello.broker_id
            ));
        }
        let directory = DirectoryId::try_from(&hello.directory_id[..]).map_err(|error| error.to_string())?;
        Ok(Incarnate { broker: self.to, epoch: BrokerEpoch(hello.broker_epoch), directory })
    }

    async fn hear(&self, outbox: &Outbox, mut replies: Streaming<wire::FollowerFrame>) -> String {
        loop {
            let frame = match replies.message().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return "it hung up".to_owned(),
                Err(status) => return status.to_string(),
            };
            for message in frame.messages {
                match codec::decode_follower(message) {
                    Ok((at, epoch, message)) => {
                        if let Some(partition) = self.partitions.get(at) {
                            partition.heard(self.to, outbox.stream, epoch, message);
                        }
                    }
                    Err(error) => return error.to_string(),
                }
            }
            outbox.call_reader();
        }
    }
}

/// However the stream ends, its partitions hear of it.
struct Closing<'a> {
    outbox: &'a Arc<Outbox>,
    links: &'a PeerLinks,
    partitions: &'a Partitions,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.outbox.close();
        self.links.remove_outgoing(self.outbox.stream);
        let live = self.links.live_stream(self.outbox.to);
        for partition in self.partitions.all() {
            partition.stream_down(self.outbox.stream, self.outbox.to);
            // Whoever was catching up goes on where it would be after that; nobody else would begin with it again.
            if let Some(live) = &live {
                partition.stream_up_if_down(live.stream, live.incarnate);
            }
        }
    }
}
