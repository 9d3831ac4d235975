//! The three brokers together.
//!
//! What is always true: nothing is started again by itself; every end is told once, to whoever asks next; a stop asks
//! first and kills only what did not stop in time. [`LocalCluster::start`] and [`LocalCluster::start_again`] are to be
//! called on the main thread.

use std::collections::VecDeque;
use std::time::Duration;

use fidelog_broker::DataDirError;
use fidelog_broker::node::{self, FormatError};
use fidelog_client::Client;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::broker::{Broker, Ended, Order};
use super::broker_config;
use super::home::Home;
use super::ports::{Ports, local};
use super::terminal::say;
use super::{LocalError, at};
use crate::args::LogArgs;

/// How long the brokers may take until they work together.
const READY_MAX: Duration = Duration::from_secs(60);
/// How often they are asked.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long a stop may take before it is a kill: as long as a broker promises.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Three broker processes on one directory.
#[derive(Debug)]
pub(crate) struct LocalCluster {
    home: Home,
    ports: Ports,
    brokers: Vec<Broker>,
    log: LogArgs,
    ends: mpsc::UnboundedReceiver<Ended>,
    ends_sender: mpsc::UnboundedSender<Ended>,
    /// Ends that came while another one was waited for.
    untold: VecDeque<Ended>,
}

impl LocalCluster {
    /// Writes the configurations, formats what is not formatted, starts the processes. They are not ready yet.
    ///
    /// # Errors
    /// [`LocalError`]; what was started is killed.
    pub(crate) fn start(home: Home, ports: Ports, log: &LogArgs) -> Result<Self, LocalError> {
        ports.check()?;
        let (ends_sender, ends) = mpsc::unbounded_channel();
        let mut brokers = Vec::new();
        for (id, pair) in (1..).zip(ports.pairs()) {
            let directory = home.directory();
            let broker = Broker {
                id,
                client: local(pair.client),
                peer: local(pair.peer),
                data_dir: directory.join(format!("broker{id}")),
                config: directory.join(broker_config::name(id)),
                log: directory.join(format!("broker{id}.log")),
                process: None,
            };
            make(&broker, &home, &ports)?;
            brokers.push(broker);
        }
        let log = log.clone();
        let mut cluster = Self { home, ports, brokers, log, ends, ends_sender, untold: VecDeque::new() };
        for id in 1..=super::BROKER_COUNT {
            cluster.start_again(id)?;
        }
        Ok(cluster)
    }

    /// Starts the process of a broker that has none.
    ///
    /// # Errors
    /// When the system does not.
    pub(crate) fn start_again(&mut self, id: u16) -> Result<u32, LocalError> {
        let broker = &mut self.brokers[usize::from(id - 1)];
        assert!(broker.process.is_none(), "broker {id} has a process already");
        let spawned = broker.spawn(&self.log, self.ends_sender.clone());
        spawned.map_err(|source| LocalError::Spawn { broker: id, source })?;
        Ok(broker.pid().expect("it was just started"))
    }

    /// Waits until every broker answers, reaches the other two and hears of the metadata.
    ///
    /// # Errors
    /// When one ends meanwhile, or it takes too long; with what their logs say.
    pub(crate) async fn ready(&mut self) -> Result<Client, LocalError> {
        let addresses: Vec<String> = self.brokers.iter().map(|broker| broker.client.to_string()).collect();
        match self.while_up(timeout(READY_MAX, until_ready(&addresses))).await? {
            Ok(client) => Ok(client),
            Err(_) => Err(self.not_ready(&addresses).await),
        }
    }

    async fn not_ready(&self, addresses: &[String]) -> LocalError {
        let missing = match ask(addresses).await {
            Ok(_) => "they are now, just too late".to_owned(),
            Err(missing) => missing,
        };
        let tails =
            self.brokers.iter().map(|it| format!("\nthe end of {}:\n{}", it.log.display(), it.log_tail()));
        LocalError::NotReady { seconds: READY_MAX.as_secs(), missing, tails: tails.collect() }
    }

    /// Does `work` while no process ends; everything that ended on purpose was taken note of before.
    ///
    /// # Errors
    /// [`LocalError::Ended`]; the work is dropped.
    pub(crate) async fn while_up<T>(&mut self, work: impl Future<Output = T>) -> Result<T, LocalError> {
        let ended = tokio::select! {
            done = work => return Ok(done),
            ended = self.next_end() => ended,
        };
        let broker = &self.brokers[usize::from(ended.broker - 1)];
        Err(LocalError::Ended { log: broker.log.clone(), tail: broker.log_tail(), ended })
    }

    /// The next end of a process. Dropping the future loses none.
    pub(crate) async fn next_end(&mut self) -> Ended {
        if let Some(ended) = self.untold.pop_front() {
            return ended;
        }
        self.receive_end().await
    }

    async fn receive_end(&mut self) -> Ended {
        let ended = self.ends.recv().await.expect("a sender is kept beside the receiver");
        self.brokers[usize::from(ended.broker - 1)].process = None;
        ended
    }

    /// SIGKILL, and waits until it is gone. `None` when it had no process.
    pub(crate) async fn kill(&mut self, id: u16) -> Option<Ended> {
        let broker = &self.brokers[usize::from(id - 1)];
        broker.process.as_ref()?;
        broker.order(Order::Kill);
        loop {
            let ended = self.receive_end().await;
            if ended.broker == id {
                return Some(ended);
            }
            self.untold.push_back(ended);
        }
    }

    /// Stops what runs: asks, waits up to 10 s, then kills and says so.
    pub(crate) async fn stop(mut self) {
        for broker in &self.brokers {
            broker.order(Order::Terminate);
        }
        let give_up_at = Instant::now() + STOP_MAX;
        let mut killed = false;
        while self.brokers.iter().any(|broker| broker.process.is_some()) {
            if killed {
                self.receive_end().await;
            } else if tokio::time::timeout_at(give_up_at, self.receive_end()).await.is_err() {
                killed = true;
                for broker in self.brokers.iter().filter(|broker| broker.process.is_some()) {
                    say(format_args!(
                        "broker {} did not stop within {} s: killed",
                        broker.id,
                        STOP_MAX.as_secs()
                    ));
                    broker.order(Order::Kill);
                }
            }
        }
    }

    /// The brokers, in the order of their ids.
    pub(crate) fn brokers(&self) -> &[Broker] {
        &self.brokers
    }

    /// Where they live.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Where they listen.
    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
    }
}

/// Writes the configuration, and formats the data directory unless that was done before.
fn make(broker: &Broker, home: &Home, ports: &Ports) -> Result<(), LocalError> {
    let data_dir = broker.data_dir.to_str().ok_or_else(|| LocalError::NotText(broker.data_dir.clone()))?;
    let text = broker_config::text(broker.id, data_dir, home.cluster_id(), ports);
    std::fs::write(&broker.config, &text).map_err(at(&broker.config))?;
    let config = broker_config::load(&broker.config, &text)?.node;
    match node::format(&config) {
        Ok(_) | Err(FormatError::Directory(DataDirError::Formatted { .. })) => Ok(()),
        // Formatted and never served: an earlier start was cut short between the two.
        Err(FormatError::Store(fidelog_broker::meta::store::StoreError::Exists { .. })) => Ok(()),
        Err(error) => Err(LocalError::Format { broker: broker.id, cause: error.to_string() }),
    }
}

async fn until_ready(addresses: &[String]) -> Client {
    loop {
        match ask(addresses).await {
            Ok(client) => return client,
            Err(_) => sleep(ASK_EVERY).await,
        }
    }
}

/// A client, if every broker says that all is well; otherwise what is missing.
async fn ask(addresses: &[String]) -> Result<Client, String> {
    let builder = Client::builder(addresses.to_vec()).client_id("fidelogd-local").request_timeout(ANSWER_MAX);
    let client = builder.connect().await.map_err(|error| error.to_string())?;
    for (id, address) in (1..).zip(addresses) {
        let asked = timeout(ANSWER_MAX, client.admin().describe_cluster_at(address)).await;
        let cluster = asked
            .map_err(|_| format!("broker {id} at {address} does not answer"))?
            .map_err(|error| format!("broker {id} at {address}: {error}"))?;
        let reached = cluster.brokers.iter().filter(|broker| broker.reachable).count();
        if !cluster.quorum_reachable || reached < addresses.len() {
            let quorum = if cluster.quorum_reachable { "hears" } else { "does not hear" };
            return Err(format!(
                "broker {id} reaches {reached} of {} brokers and {quorum} of the metadata",
                addresses.len()
            ));
        }
    }
    Ok(client)
}
