//! The quorum, for a broker that is not it: the same trait over the wire.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fidelog_proto::internal::v1 as wire;
use fidelog_proto::internal::v1::meta_service_client::MetaServiceClient;
use fidelog_record::types::limits::MESSAGE_BYTES_MAX;
use fidelog_record::types::{BrokerEpoch, BrokerId, ClusterId, Incarnation, MetaIndex};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::meta::quorum::{
    Accepted, MetadataQuorum, ProposeError, QuorumStatus, WatchError, WatchEvent, WatchStream,
};
use crate::meta::state::{Proposal, Stored};

/// A watch that is silent for longer is given up; signs of life come every 500 ms.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// A quorum behind an address.
pub struct RemoteQuorum {
    cluster: ClusterId,
    leader: BrokerId,
    me: BrokerId,
    channel: Channel,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    epoch: BrokerEpoch,
    incarnation: Incarnation,
    index: MetaIndex,
}

impl fmt::Debug for RemoteQuorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteQuorum(broker {}, {:?})", self.leader, *self.seen.lock())
    }
}

impl RemoteQuorum {
    /// Connects lazily to the broker that decides.
    ///
    /// # Errors
    /// When `address` is not `host:port`.
    pub fn new(
        cluster: ClusterId,
        me: BrokerId,
        leader: BrokerId,
        address: &str,
    ) -> Result<Arc<Self>, String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| format!("peer address {address:?} of broker {leader}: {error}"))?;
        let channel = endpoint
            .connect_timeout(Duration::from_secs(2))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(1))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true)
            .connect_lazy();
        Ok(Arc::new(Self { cluster, leader, me, channel, seen: Arc::default() }))
    }

    /// The registration that watches from now on are the session of.
    pub fn registered(&self, epoch: BrokerEpoch) {
        self.seen.lock().epoch = epoch;
    }

    fn client(&self) -> MetaServiceClient<Channel> {
        MetaServiceClient::new(self.channel.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn cluster_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.cluster.as_bytes())
    }
}

impl MetadataQuorum for RemoteQuorum {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'static, Result<Accepted, ProposeError>> {
        let mut client = self.client();
        let request =
            wire::ProposeRequest { cluster_id: self.cluster_bytes(), proposal: proposal.to_bytes().into() };
        async move {
            use wire::propose_response::Result as Outcome;
            let unreachable = |reason: String| ProposeError::Unreachable { reason };
            let response = match client.propose(request).await {
                Ok(response) => response.into_inner(),
                // The request never left this broker, or was refused before it was looked at.
                Err(status) if matches!(status.code(), Code::FailedPrecondition) => {
                    return Err(ProposeError::Unavailable { reason: status.message().to_owned() });
                }
                Err(status) => return Err(unreachable(status.to_string())),
            };
            match response.result {
                Some(Outcome::Accepted(bytes)) => {
                    Accepted::from_bytes(&bytes).map_err(|error| unreachable(error.to_string()))
                }
                Some(Outcome::Refused(bytes)) => {
                    Err(ProposeError::from_bytes(&bytes)
                        .unwrap_or_else(|error| unreachable(error.to_string())))
                }
                None => Err(unreachable("the answer holds nothing".to_owned())),
            }
        }
        .boxed()
    }

    fn watch(&self, from: MetaIndex) -> WatchStream {
        let mut client = self.client();
        let request = wire::WatchRequest {
            cluster_id: self.cluster_bytes(),
            from_index: from.0,
            broker_id: self.me.0,
            broker_epoch: self.seen.lock().epoch.0,
        };
        let seen = Arc::clone(&self.seen);
        let lost = |reason: String| WatchError::Lost { reason };
        futures::stream::once(async move { client.watch(request).await })
            .flat_map(move |opened| match opened {
                Err(status) => futures::stream::iter([Err(lost(status.to_string()))]).boxed(),
                Ok(response) => tokio_stream::StreamExt::timeout(response.into_inner(), SILENCE_MAX)
                    .map(move |item| match item {
                        Err(_) => Err(lost(format!("silent for {SILENCE_MAX:?}"))),
                        Ok(Err(status)) => Err(lost(status.to_string())),
                        Ok(Ok(response)) if response.event.is_empty() => Ok(None),
                        Ok(Ok(response)) => {
                            WatchEvent::from_bytes(&response.event).map(Some).map_err(Into::into)
                        }
                    })
                    .filter_map(|item| async move { item.transpose() })
                    .boxed(),
            })
            .inspect(move |event| match event {
                Ok(WatchEvent::Opened { incarnation, index, .. }) => {
                    let mut seen = seen.lock();
                    seen.incarnation = *incarnation;
                    seen.index = seen.index.max(*index);
                }
                Ok(WatchEvent::Snapshot(state)) => seen.lock().index = state.index(),
                Ok(WatchEvent::Entries(entries)) => {
                    if let Some((index, _)) = entries.last() {
                        seen.lock().index = *index;
                    }
                }
                Err(_) => {}
            })
            .boxed()
    }

    fn status(&self) -> QuorumStatus {
        let Seen { incarnation, index, .. } = *self.seen.lock();
        QuorumStatus {
            cluster: self.cluster,
            incarnation,
            index,
            leader: Some(self.leader),
            voters: vec![self.leader],
            stopped: None,
        }
    }
}
