//! The client: where brokers are, and how to ask one of them.
//!
//! A [`Client`] is cheap to clone; clones share connections and routes. It does nothing by itself: producers and
//! consumers run tasks of their own, and end with their handles.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use fidelog_proto::v1::{self, cluster_service_client::ClusterServiceClient};
use fidelog_record::types::limits::MESSAGE_BYTES_MAX;
use fidelog_record::types::{ClusterId, TopicName};
use tonic::transport::Channel;

use crate::address;
use crate::admin::Admin;
use crate::backoff;
use crate::calls::{LAG_PATIENCE, LAGGING_ANSWERS, Patience, asks_routes};
use crate::connection::{ConnectionSettings, Connections};
use crate::consumer::ConsumerBuilder;
use crate::error::{Leader, Refusal, RequestError};
use crate::event::{Event, Listener};
use crate::producer::ProducerBuilder;
use crate::routes::{Adopted, Change, Routes, TopicRoutes};

/// How long the first connection is tried while every broker refuses it.
const FIRST_CONNECTION_WAIT: Duration = Duration::from_secs(2);

/// How a client reaches its cluster. Made by [`Client::builder`].
#[derive(Debug)]
pub struct ClientBuilder {
    addresses: Vec<String>,
    connections_per_broker: usize,
    connect_timeout: Duration,
    request_timeout: Duration,
    routes_age_max: Duration,
    client_id: String,
    listener: Listener,
}

impl ClientBuilder {
    /// Connections to each broker; one is about one core of work. 1 to 16, default 2.
    #[must_use]
    pub fn connections_per_broker(mut self, connections: usize) -> Self {
        self.connections_per_broker = connections.clamp(1, 16);
        self
    }

    /// How long making a connection may take. 10 ms to 60 s, default 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.clamp(Duration::from_millis(10), Duration::from_secs(60));
        self
    }

    /// How long a request that is not a produce or a consume may take in all, retries included. 10 ms to 10 min,
    /// default 15 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout.clamp(Duration::from_millis(10), Duration::from_secs(600));
        self
    }

    /// How old the number of a topic's partitions may get, as producers and consumers know it, before it is asked for
    /// again: partitions that were added are taken up after that long. 10 ms to 1 h, default 30 s.
    #[must_use]
    pub fn routes_age_max(mut self, age: Duration) -> Self {
        self.routes_age_max = age.clamp(Duration::from_millis(10), Duration::from_secs(3_600));
        self
    }

    /// How the program names itself to brokers; printable ASCII. Default `fidelog-rust`.
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Called with everything the client notices and mends: reconnects, new leaders, retries. It runs on the
    /// client's own tasks, so it returns quickly. Default: nobody listens.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.listener = Listener::new(listener);
        self
    }

    /// Asks the cluster who its brokers are. While every address refuses connections it tries for 2 s only: whoever
    /// gave a wrong address learns it soon, and a broker that is being started is met.
    ///
    /// # Errors
    /// When an address is not host:port, or no broker answered within the request timeout.
    pub async fn connect(self) -> Result<Client, RequestError> {
        if self.addresses.is_empty() {
            return Err(RequestError::Invalid(
                "no address was given; name at least one broker as host:port".into(),
            ));
        }
        self.addresses.iter().try_for_each(|text| address::check(text))?;
        let settings = ConnectionSettings {
            per_broker: self.connections_per_broker,
            connect_timeout: self.connect_timeout,
            client_id: self.client_id,
        };
        let core = Core {
            bootstrap: self.addresses,
            request_timeout: self.request_timeout,
            routes_age_max: self.routes_age_max,
            connections: Connections::new(settings, self.listener.clone()),
            routes: Routes::default(),
            listener: self.listener,
            cluster: parking_lot::Mutex::default(),
            preferred: parking_lot::Mutex::default(),
            turn: AtomicUsize::new(0),
        };
        core.ask_brokers().await?;
        Ok(Client { core: Arc::new(core) })
    }
}

/// A cluster, as a program sees it. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(crate) core: Arc<Core>,
}

impl Client {
    /// Connects with every setting at its default. `addresses` are some of the cluster's brokers, as host:port; the
    /// others are found through them.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub async fn connect<A: Into<String>>(
        addresses: impl IntoIterator<Item = A>,
    ) -> Result<Self, RequestError> {
        Self::builder(addresses).connect().await
    }

    /// A client to be set up first.
    pub fn builder<A: Into<String>>(addresses: impl IntoIterator<Item = A>) -> ClientBuilder {
        ClientBuilder {
            addresses: addresses.into_iter().map(Into::into).collect(),
            connections_per_broker: 2,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(15),
            routes_age_max: Duration::from_secs(30),
            client_id: "fidelog-rust".into(),
            listener: Listener::default(),
        }
    }

    /// A producer for one topic, to be set up first.
    #[must_use]
    pub fn producer(&self, topic: &str) -> ProducerBuilder {
        ProducerBuilder::new(self.core.clone(), topic)
    }

    /// A consumer of one topic, to be set up first.
    #[must_use]
    pub fn consumer(&self, topic: &str) -> ConsumerBuilder {
        ConsumerBuilder::new(self.core.clone(), topic)
    }

    /// Topics, groups and the cluster itself.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self.core.clone())
    }

    /// The cluster's identity.
    #[must_use]
    pub fn cluster_id(&self) -> ClusterId {
        *self.core.cluster.lock()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("bootstrap", &self.core.bootstrap).finish_non_exhaustive()
    }
}

/// What all handles share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) bootstrap: Vec<String>,
    pub(crate) request_timeout: Duration,
    pub(crate) routes_age_max: Duration,
    pub(crate) connections: Connections,
    pub(crate) routes: Routes,
    pub(crate) listener: Listener,
    cluster: parking_lot::Mutex<ClusterId>,
    /// The broker that answered last: it is asked first.
    pub(crate) preferred: parking_lot::Mutex<Option<String>>,
    /// Whose turn it is to be asked for routes.
    pub(crate) turn: AtomicUsize,
}

impl Core {
    async fn ask_brokers(&self) -> Result<(), RequestError> {
        let patience =
            Patience { unreachable: FIRST_CONNECTION_WAIT, ..Patience::for_routes(self.request_timeout) };
        let (address, answer) = self.ask(patience, self.addresses(), asks_routes(Vec::new())).await?;
        self.prefer(&address);
        self.routes.adopt_brokers(&answer.brokers, answer.metadata_index);
        *self.cluster.lock() = ClusterId::try_from(&answer.cluster_id[..])
            .map_err(|_| RequestError::Malformed("a cluster id of 16 bytes"))?;
        Ok(())
    }

    async fn get_routes(
        &self,
        addresses: Vec<String>,
        topic: &str,
    ) -> Result<v1::GetRoutesResponse, RequestError> {
        let patience = Patience::for_routes(self.request_timeout);
        // The error of a topic comes inside a good answer.
        let judge = |answer: &v1::GetRoutesResponse| {
            let route = answer.topics.iter().find(|route| route.topic == topic);
            let error = route.and_then(|route| route.error.clone());
            error.map_or(Ok(()), |error| Err(Refusal::from_wire(error).into()))
        };
        Ok(self.ask_for(patience, addresses, asks_routes(vec![topic.to_owned()]), judge).await?.1)
    }

    /// A broker that answers, found by a question that costs it nothing.
    pub(crate) async fn responsive(
        &self,
        patience: Patience,
        addresses: Vec<String>,
    ) -> Result<String, RequestError> {
        let (address, answer) = self.ask(patience, addresses, asks_routes(Vec::new())).await?;
        self.routes.adopt_brokers(&answer.brokers, answer.metadata_index);
        self.prefer(&address);
        Ok(address)
    }

    /// The topic's routes as known, asked for when nothing is known, or what is known is old. Old ones are better than
    /// none.
    pub(crate) async fn routes(&self, topic: &str) -> Result<Arc<TopicRoutes>, RequestError> {
        let known = self.routes.topic(topic);
        if let Some(fresh) = known.clone().filter(|known| known.age() < self.routes_age_max) {
            return Ok(fresh);
        }
        match (self.ask_routes(topic, self.addresses_in_turn()).await, known) {
            (Err(error), Some(known)) if error.is_passing() => Ok(known),
            (asked, _) => asked,
        }
    }

    /// Asks for the topic's routes anew, each time of another broker first: one that is cut off from the others knows
    /// nothing of a new leader, and says so with confidence. Callers that come together share one question.
    pub(crate) async fn refresh_routes(&self, topic: &str) -> Result<Arc<TopicRoutes>, RequestError> {
        self.ask_routes(topic, self.addresses_in_turn()).await
    }

    /// Routes that know at least so many partitions, if any broker does: one that lags behind knows fewer.
    pub(crate) async fn routes_of(
        &self,
        topic: &str,
        partition_count: u32,
    ) -> Result<Arc<TopicRoutes>, RequestError> {
        let give_up_at = Instant::now() + LAG_PATIENCE.min(self.request_timeout);
        let brokers = u32::try_from(self.addresses().len()).expect("a handful");
        let mut asked = 0;
        loop {
            let routes = self.refresh_routes(topic).await?;
            asked += 1;
            let told = asked >= brokers.saturating_mul(LAGGING_ANSWERS) || Instant::now() >= give_up_at;
            if routes.partition_count() >= partition_count || told {
                return Ok(routes);
            }
            tokio::time::sleep(backoff::search(asked / brokers.max(1), rand::random())).await;
        }
    }

    async fn ask_routes(
        &self,
        topic: &str,
        addresses: Vec<String>,
    ) -> Result<Arc<TopicRoutes>, RequestError> {
        let began = Instant::now();
        let _asking = self.routes.asking.lock().await;
        if let Some(routes) = self.routes.topic_since(topic, began) {
            return Ok(routes);
        }
        let asked_at = Instant::now();
        let answer = self.get_routes(addresses, topic).await?;
        let Adopted { routes, changes, grew_from } = self.routes.adopt(topic, answer, asked_at)?;
        for change in changes {
            self.tell_leader(topic, change);
        }
        if let Some(from) = grew_from {
            let to = routes.partition_count();
            self.listener.tell(Event::PartitionsGrew { topic: topic.to_owned(), from, to });
        }
        Ok(routes)
    }

    /// Takes the hint that a refusal carries; tells whether it named another leader than the one known.
    pub(crate) fn learn_leader(&self, topic: &str, partition: u32, refusal: &Refusal) -> bool {
        let Some(leader) = refusal.leader.clone() else { return false };
        let change = self.routes.learn(topic, partition, leader);
        change.map(|change| self.tell_leader(topic, change)).is_some()
    }

    fn tell_leader(&self, topic: &str, change: Change) {
        let Change { partition, leader: Leader { broker, epoch, .. } } = change;
        self.listener.tell(Event::LeaderChanged {
            topic: topic.to_owned(),
            partition,
            leader: broker,
            epoch,
        });
    }
}

/// Checks a topic's name as a broker would, internal ones allowed.
pub(crate) fn check_topic(topic: &str) -> Result<(), RequestError> {
    TopicName::internal(topic).map(drop).map_err(|error| RequestError::Invalid(error.to_string()))
}

pub(crate) fn cluster_client(channel: Channel) -> ClusterServiceClient<Channel> {
    ClusterServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}
