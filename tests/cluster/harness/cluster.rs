//! A cluster of real daemons, and clients to it. It ends with the test; after a failure its files stay and the end of
//! every log is printed.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fidelog_client::{Client, NewTopic};
use fidelog_proto::v1::DescribeClusterRequest;
use fidelog_proto::v1::cluster_service_client::ClusterServiceClient;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::address;
use super::broker::Broker;
use super::network::Network;
use super::wait::{LONG, wait_until};

/// What the smallest cluster without a weak spot has.
const BROKERS: usize = 3;

/// A cluster to be started.
#[derive(Debug)]
pub(crate) struct Builder {
    name: &'static str,
    settings: Vec<(String, String)>,
    data_dirs: Vec<(u32, PathBuf)>,
    roles: Vec<Option<&'static str>>,
    last_joins_later: bool,
    places: Option<Vec<(IpAddr, Vec<String>)>>,
}

impl Builder {
    /// Three brokers with small segments; `name` shows in paths.
    pub(crate) fn new(name: &'static str) -> Self {
        let settings = [
            ("log.segment_bytes", "2097152"),
            ("log.free_bytes_min", "0"),
            ("log.ballast_bytes", "1048576"),
            ("log.recovery_point_ms", "200"),
        ];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let roles = vec![None; BROKERS];
        let (settings, data_dirs) = (settings.into(), Vec::new());
        Self { name, settings, data_dirs, roles, last_joins_later: false, places: None }
    }

    /// A setting of every broker.
    pub(crate) fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// One node for each role, from 1 on; without one it has what a configuration without roles gives.
    pub(crate) fn roles(mut self, roles: &[Option<&'static str>]) -> Self {
        self.roles = roles.to_vec();
        self
    }

    /// The configurations of the others do not name the last one.
    pub(crate) fn last_joins_later(mut self) -> Self {
        self.last_joins_later = true;
        self
    }

    /// The brokers live in this network, which must outlive the cluster.
    pub(crate) fn within(mut self, network: &Network) -> Self {
        let ids = 1..=u32::try_from(self.roles.len()).expect("few brokers");
        self.places = Some(ids.map(|id| (network.address(id), network.launcher(id))).collect());
        self.set("broker.unsafe_open_access", true)
    }

    /// Where broker `id` keeps its data, if not with the others.
    pub(crate) fn keep_in(mut self, id: u32, data_dir: &Path) -> Self {
        self.data_dirs.push((id, data_dir.to_owned()));
        self
    }

    /// Makes the directories and configurations; formats and starts nothing.
    pub(crate) fn prepare(self) -> Cluster {
        let home =
            TempDir::with_prefix(format!("fidelog-cluster-{}-", self.name)).expect("a temporary directory");
        let ids = 1..=u32::try_from(self.roles.len()).expect("few brokers");
        let places = self.places.unwrap_or_else(|| {
            let number = address::next_cluster();
            ids.clone().map(|id| (address::of(number, id).into(), Vec::new())).collect()
        });
        let mut brokers: Vec<_> = ids
            .zip(places)
            .map(|(id, (address, launcher))| Broker::new(id, address, launcher, home.path()))
            .collect();
        let listed: Vec<String> =
            brokers.iter().zip(&self.roles).map(|(broker, role)| listed(broker, *role)).collect();
        let known_by_all = listed.len() - usize::from(self.last_joins_later);
        let id = Uuid::new_v4().to_string();
        for (id, data_dir) in &self.data_dirs {
            brokers[*id as usize - 1].keep_in(data_dir);
        }
        for broker in &mut brokers {
            let knows = if broker.id as usize > known_by_all { listed.len() } else { known_by_all };
            broker.configure(&id, &listed[..knows].concat());
            for (key, value) in &self.settings {
                broker.set(key, value);
            }
        }
        Cluster { home: Some(home), id, voters: only_voters(&self.roles), brokers }
    }

    /// Formats, starts, and waits until everybody serves.
    pub(crate) async fn start(self) -> Cluster {
        let mut cluster = self.prepare();
        for broker in &mut cluster.brokers {
            broker.format().expect("a new directory is formatted");
            broker.start();
        }
        cluster.ready().await;
        cluster
    }
}

fn only_voters(roles: &[Option<&'static str>]) -> Vec<u32> {
    (1..).zip(roles).filter(|(_, role)| **role == Some("controller")).map(|(id, _)| id).collect()
}

fn listed(broker: &Broker, role: Option<&str>) -> String {
    let (client, peer) = (broker.client_address(), broker.peer_address());
    let role = role.map(|role| format!(", role = \"{role}\"")).unwrap_or_default();
    format!("    {{ id = {}, client = \"{client}\", peer = \"{peer}\"{role} }},\n", broker.id)
}

/// Some brokers.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Taken, and kept on disk, when the test fails.
    home: Option<TempDir>,
    id: String,
    /// Who of them only votes, and so is nobody's replica.
    voters: Vec<u32>,
    brokers: Vec<Broker>,
}

impl Cluster {
    /// Three brokers with small segments.
    pub(crate) async fn start(name: &'static str) -> Self {
        Builder::new(name).start().await
    }

    /// From their next starts on, brokers are configured to have these roles.
    pub(crate) fn give_roles(&mut self, roles: &[Option<&'static str>]) {
        let listed: String = self.brokers.iter().zip(roles).map(|(it, role)| listed(it, *role)).collect();
        self.voters = only_voters(roles);
        for broker in &self.brokers {
            broker.configure(&self.id, &listed);
        }
    }

    /// Broker `id`, from 1.
    pub(crate) fn broker(&mut self, id: u32) -> &mut Broker {
        &mut self.brokers[id as usize - 1]
    }

    /// All of them.
    pub(crate) fn brokers(&mut self) -> &mut [Broker] {
        &mut self.brokers
    }

    /// Where broker `id` listens for clients.
    pub(crate) fn client_address(&self, id: u32) -> SocketAddr {
        self.brokers[id as usize - 1].client_address()
    }

    /// Memory that broker `id` has resident now, bytes; pages of mapped files count.
    pub(crate) fn resident_bytes(&self, id: u32) -> u64 {
        self.brokers[id as usize - 1].resident_bytes()
    }

    /// Where all brokers listen for clients.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.brokers.iter().map(|broker| broker.client_address().to_string()).collect()
    }

    /// A client that knows every broker.
    pub(crate) async fn client(&self) -> Client {
        let builder = Client::builder(self.addresses()).request_timeout(Duration::from_secs(30));
        builder.connect().await.expect("some broker answers")
    }

    /// A plain connection to one broker, made when it is used first.
    pub(crate) fn channel(&self, id: u32) -> Channel {
        let address = self.client_address(id);
        Endpoint::from_shared(format!("http://{address}")).expect("an address makes a URI").connect_lazy()
    }

    /// A topic of three partitions on every broker, acknowledged by a majority.
    pub(crate) async fn topic(&self, client: &Client, name: &str) {
        self.topic_of(client, name, 3, &[]).await;
    }

    /// A topic on every broker.
    pub(crate) async fn topic_of(
        &self,
        client: &Client,
        name: &str,
        partitions: u32,
        configs: &[(&str, &str)],
    ) {
        let mut topic = NewTopic::new(name);
        topic.partitions = partitions;
        topic.replication_factor = 3;
        topic.configs = configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        client.admin().create_topic(topic).await.unwrap_or_else(|error| panic!("topic {name}: {error}"));
    }

    /// A topic of one partition on every broker, led by `leader`; its name begins with `prefix`.
    ///
    /// # Panics
    /// When the broker was given none of 30 partitions to lead.
    pub(crate) async fn topic_led_by(&self, client: &Client, prefix: &str, leader: u32) -> String {
        for number in 0..30 {
            let topic = format!("{prefix}-{number}");
            self.topic_of(client, &topic, 1, &[]).await;
            if self.leader(client, &topic, 0).await == leader {
                return topic;
            }
        }
        panic!("broker {leader} was given none of 30 partitions to lead");
    }

    /// Waits until every broker that was started serves, and sees every other that was and holds replicas.
    pub(crate) async fn ready(&mut self) {
        let running: Vec<u32> =
            self.brokers.iter_mut().filter_map(|it| it.is_running().then_some(it.id)).collect();
        let channels: Vec<_> = running.iter().map(|id| self.channel(*id)).collect();
        let holders: Vec<u32> = running.iter().copied().filter(|id| !self.voters.contains(id)).collect();
        for (id, channel) in running.iter().zip(channels) {
            wait_until(&format!("broker {id} serves and sees {holders:?}"), LONG, async || {
                assert!(self.broker(*id).is_running(), "broker {id} ended:\n{}", self.broker(*id).log_tail());
                sees(channel.clone(), &holders).await.then_some(())
            })
            .await;
        }
    }

    /// Waits until every replica of every partition of `topic` is in sync.
    pub(crate) async fn in_sync(&self, client: &Client, topic: &str) {
        wait_until(&format!("every replica of {topic} is in sync"), LONG, async || {
            let topic = client.admin().describe_topic(topic).await.ok()?;
            topic
                .partitions
                .iter()
                .all(|partition| partition.isr.len() == partition.replicas.len())
                .then_some(())
        })
        .await;
    }

    /// Waits until just `brokers`, in rising order, are in sync for partition 0 of `topic`.
    pub(crate) async fn in_sync_are(&self, client: &Client, topic: &str, brokers: &[u32]) {
        wait_until(&format!("the in-sync set of {topic}/0 is {brokers:?}"), LONG, async || {
            let mut isr = client.admin().describe_topic(topic).await.ok()?.partitions.first()?.isr.clone();
            isr.sort_unstable();
            (isr == brokers).then_some(())
        })
        .await;
    }

    /// A partition's leader.
    pub(crate) async fn leader(&self, client: &Client, topic: &str, partition: u32) -> u32 {
        wait_until(&format!("somebody leads {topic}/{partition}"), LONG, async || {
            let topic = client.admin().describe_topic(topic).await.ok()?;
            let leader = topic.partitions.iter().find(|it| it.partition == partition)?.leader;
            (leader != 0).then_some(leader)
        })
        .await
    }
}

async fn sees(channel: Channel, others: &[u32]) -> bool {
    let Ok(answer) = ClusterServiceClient::new(channel).describe_cluster(DescribeClusterRequest {}).await
    else {
        return false;
    };
    let answer = answer.into_inner();
    let reachable = |id: &u32| answer.brokers.iter().any(|broker| broker.id == *id && broker.reachable);
    answer.quorum_reachable && others.iter().all(reachable)
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for broker in &mut self.brokers {
            broker.kill();
        }
        if !std::thread::panicking() {
            return;
        }
        for broker in &self.brokers {
            eprintln!("--- the end of broker {}'s log\n{}", broker.id, broker.log_tail());
        }
        if let Some(home) = self.home.take() {
            eprintln!("--- everything is kept in {}", home.keep().display());
        }
    }
}
