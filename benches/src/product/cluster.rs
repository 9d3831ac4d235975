//! A cluster of brokers on this machine, each at a loopback address of its own, and a client of it.

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fidelog_client::types::ClusterId;
use fidelog_client::{Client, NewTopic};
use tokio::runtime::Runtime;

use super::broker::Broker;
use super::network::Network;
use crate::floor::wire;

/// How long a cluster may take until it serves.
const START_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The last part of the next broker's address.
static NEXT_ADDRESS: AtomicU8 = AtomicU8::new(1);

/// Running brokers, and the runtime of whoever is their client.
#[derive(Debug)]
pub struct Cluster {
    brokers: Vec<Broker>,
    addresses: Vec<String>,
    /// Its few threads are the client's: as many as a floor's client has.
    pub runtime: Runtime,
}

impl Cluster {
    /// Formats and starts `count` brokers with their data below `dir`; returns when clients are served by all.
    ///
    /// # Errors
    /// When a broker does not start: what it said.
    pub fn start(dir: &Path, count: usize) -> Result<Self> {
        Self::start_at(dir, &(0..count).map(|_| (host(), Vec::new())).collect::<Vec<_>>())
    }

    /// The same, each broker in its place of `network`; the calling thread has entered it.
    ///
    /// # Errors
    /// When a broker does not start: what it said.
    pub fn start_in(dir: &Path, network: &Network) -> Result<Self> {
        let places = (0..network.places()).map(|index| (network.host(index), network.launcher(index)));
        Self::start_at(dir, &places.collect::<Vec<_>>())
    }

    /// Brokers at these hosts, each begun with these words.
    fn start_at(dir: &Path, places: &[(String, Vec<String>)]) -> Result<Self> {
        let id = ClusterId::from_random(rand::random());
        let hosts: Vec<_> = places.iter().map(|(host, _)| host.clone()).collect();
        let brokers = (1..)
            .zip(places)
            .map(|(number, (_, launcher))| {
                let config = dir.join(format!("broker{number}.toml"));
                std::fs::write(&config, config_text(dir, id, &hosts, number))?;
                Broker::format(&config, launcher.clone())
            })
            .collect::<Result<Vec<_>>>()?;
        let addresses = hosts.iter().map(|host| format!("{host}:9094")).collect();
        let mut cluster = Self { brokers, addresses, runtime: wire::runtime()? };
        cluster.brokers.iter_mut().try_for_each(Broker::start)?;
        cluster.wait()?;
        Ok(cluster)
    }

    /// The broker at `index`.
    pub fn broker(&mut self, index: usize) -> &mut Broker {
        &mut self.brokers[index]
    }

    /// Starts the broker at `index` again and returns how long it took until the broker served clients.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self, index: usize) -> Result<Duration> {
        self.brokers[index].kill();
        let began = Instant::now();
        self.brokers[index].start()?;
        let address = self.addresses[index].clone();
        self.wait_until_connected(&address)?;
        Ok(began.elapsed())
    }

    /// Starts all of them, after they were stopped or killed; returns when all serve clients.
    ///
    /// # Errors
    /// When one does not start.
    pub fn restart_all(&mut self) -> Result<()> {
        self.brokers.iter_mut().try_for_each(Broker::start)?;
        self.wait()
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.brokers.len()
    }

    /// A client of its own: connections are not shared with any other.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn client(&self) -> Result<Client> {
        Client::connect(self.addresses.clone()).await.context("cannot connect to the cluster")
    }

    /// Makes a topic whose every partition has a leader.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub async fn create_topic(&self, name: &str, partitions: usize, replicas: usize) -> Result<()> {
        let mut topic = NewTopic::new(name);
        topic.partitions = u32::try_from(partitions)?;
        topic.replication_factor = u32::try_from(replicas)?;
        topic.allow_unreplicated = replicas == 1;
        let admin = self.client().await?.admin();
        let until = Instant::now() + START_MAX;
        admin
            .create_topic(topic)
            .await
            .with_context(|| format!("topic {name} with {partitions} partitions"))?;
        loop {
            let found = admin.describe_topic(name).await?;
            let ready = |it: &fidelog_client::wire::PartitionDescription| it.isr.len() == replicas;
            if found.partitions.iter().all(ready) {
                return Ok(());
            }
            ensure!(Instant::now() < until, "topic {name} does not get {replicas} replicas in sync");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn wait(&mut self) -> Result<()> {
        for address in self.addresses.clone() {
            self.wait_until_connected(&address)?;
        }
        let count = self.brokers.len();
        let until = Instant::now() + START_MAX;
        self.runtime.block_on(async {
            let admin = self.client().await?.admin();
            loop {
                let found = admin.describe_cluster().await?;
                if found.brokers.len() == count {
                    return Ok(());
                }
                ensure!(
                    Instant::now() < until,
                    "only {} of {count} brokers have registered",
                    found.brokers.len()
                );
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
    }

    fn wait_until_connected(&mut self, address: &str) -> Result<()> {
        let until = Instant::now() + START_MAX;
        while std::net::TcpStream::connect(address).is_err() {
            self.brokers.iter_mut().try_for_each(Broker::check)?;
            ensure!(Instant::now() < until, "no broker listens on {address}");
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

/// A loopback address nobody else uses: one per process and broker.
fn host() -> String {
    let pid = std::process::id();
    let number = NEXT_ADDRESS.fetch_add(1, Ordering::Relaxed).max(1);
    format!("127.{}.{}.{number}", 64 + (pid >> 8) % 128, pid % 256)
}

fn config_text(dir: &Path, cluster: ClusterId, hosts: &[String], number: usize) -> String {
    let mut brokers = String::new();
    for (id, host) in (1..).zip(hosts) {
        writeln!(brokers, "    {{ id = {id}, client = \"{host}:9094\", peer = \"{host}:9095\" }},")
            .expect("a string takes everything");
    }
    let own = &hosts[number - 1];
    let data_dir = dir.join(format!("broker{number}"));
    let alone = hosts.len() == 1;
    // In a network namespace of its own nobody else reaches it.
    let beyond_loopback = !own.starts_with("127.");
    format!(
        "[broker]
id = {number}
data_dir = {data_dir:?}
listen = \"{own}:9094\"
peer_listen = \"{own}:9095\"
unsafe_open_access = {beyond_loopback}

[cluster]
id = \"{cluster}\"
allow_unreplicated = {alone}
brokers = [
{brokers}]

[log]
free_bytes_min = {}
",
        256 << 20
    )
}
