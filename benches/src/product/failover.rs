//! How long writes stand still when a broker is lost: replication factor 3, default settings, a topic of which every
//! broker leads a partition, and one record in flight on each.
//!
//! A round loses one broker: kills it, pauses it, or pulls its plug; in every third round that is the one that leads the
//! controller quorum. Before it, every broker leads what it prefers to lead. What is measured on each partition is the
//! time from the loss to the first acknowledgement of a record that was handed over after it; the worst partition
//! counts. Before the next round the broker is back and every replica in sync.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fidelog_client::wire::PartitionDescription;
use fidelog_client::{Client, Record};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::cluster::Cluster;
use super::figure::{Figure, count_of, quantile};
use super::network::Network;

const TOPIC: &str = "failover";
const BROKERS: usize = 3;
const PARTITIONS: u32 = 3;
/// Longer than anything should take; a round that does not heal is an error and not a figure.
const HEAL_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// After a loss by kill; every node sees that connections are refused.
const KILL_S_MAX: f64 = 3.0;
/// After a loss that only silence tells of.
const SILENCE_S_MAX: f64 = 5.0;

/// Records that took less are not told apart.
const SLOW_MIN: Duration = Duration::from_millis(5);
/// After what was planned.
const PLANNED_S_MAX: f64 = 0.3;

/// What happens to the broker.
#[derive(Clone, Copy)]
enum Loss<'a> {
    Kill,
    Pause,
    Cut(&'a Network),
    /// SIGTERM: it hands over first.
    Stop,
    /// Nothing, but that all it leads is moved to the next one by order.
    Moved,
}

/// Kills with -9: as many as `FIDELOG_BENCH_FAILOVERS` says, else 6.
pub(super) fn after_kill(dir: &Path) -> Result<Vec<Figure>> {
    rounds(Cluster::start(dir, BROKERS)?, Loss::Kill, "kill -9", KILL_S_MAX)
}

/// SIGSTOP: as many as `FIDELOG_BENCH_FAILOVERS` says, else 6.
pub(super) fn after_pause(dir: &Path) -> Result<Vec<Figure>> {
    rounds(Cluster::start(dir, BROKERS)?, Loss::Pause, "SIGSTOP", SILENCE_S_MAX)
}

/// SIGTERM: as many as `FIDELOG_BENCH_FAILOVERS` says, else 6.
pub(super) fn after_stop(dir: &Path) -> Result<Vec<Figure>> {
    rounds(Cluster::start(dir, BROKERS)?, Loss::Stop, "SIGTERM, one in flight", PLANNED_S_MAX)
}

/// Leaders moved by order: as many times as `FIDELOG_BENCH_FAILOVERS` says, else 6.
pub(super) fn after_move(dir: &Path) -> Result<Vec<Figure>> {
    rounds(Cluster::start(dir, BROKERS)?, Loss::Moved, "partition elect, one in flight", PLANNED_S_MAX)
}

/// A broker that nothing reaches and that reaches nobody: as many as `FIDELOG_BENCH_FAILOVERS` says, else 6. Without
/// network namespaces there is no figure, and that is said.
pub(super) fn after_cut(dir: &Path) -> Result<Vec<Figure>> {
    let network = match Network::enter(BROKERS) {
        Ok(network) => network,
        Err(why) => {
            println!("cut link: not measured: {why:#}");
            return Ok(Vec::new());
        }
    };
    rounds(Cluster::start_in(dir, &network)?, Loss::Cut(&network), "cut link", SILENCE_S_MAX)
}

fn rounds(mut cluster: Cluster, loss: Loss<'_>, name: &str, below: f64) -> Result<Vec<Figure>> {
    let count = count_of("FIDELOG_BENCH_FAILOVERS", 6)?;
    cluster.runtime.block_on(cluster.create_topic(TOPIC, PARTITIONS as usize, BROKERS))?;
    let client = cluster.runtime.block_on(cluster.client())?;
    let writers = Writers::start(&cluster, &client)?;
    let (mut others, mut controllers) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for round in 0..count {
        cluster.runtime.block_on(balance(&client))?;
        let controller = cluster.runtime.block_on(controller(&client))?;
        // In every third round the quorum loses its leader as well; otherwise one of the others, in turn.
        let index = if round % 3 == 0 { controller } else { (controller + 1 + round % 2) % BROKERS };
        let took = lose(&mut cluster, &client, &writers, index, loss)
            .with_context(|| format!("round {round}, {name} of broker {}", index + 1))?;
        (if index == controller { &mut controllers } else { &mut others }).push(took);
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    writers.stop.store(true, Ordering::Relaxed);
    let all: Vec<_> = controllers.iter().chain(&others).copied().collect();
    let mut figures = vec![Figure {
        name: format!("{name}: {count} losses and recoveries took"),
        value: minutes,
        unit: "min",
        below: None,
    }];
    for (of, values) in [("all", &all), ("another node", &others), ("the quorum's leader", &controllers)] {
        let of = format!("{name} of {of}: writes flow again");
        let figure = |what: String, per_cent, below| Figure {
            name: format!("{of}, {what}"),
            value: quantile(values, per_cent),
            unit: "s",
            below,
        };
        figures.push(figure(format!("p50 of {}", values.len()), 50, None));
        figures.push(figure("p99".to_owned(), 99, Some(below)));
        figures.push(figure("the longest".to_owned(), 100, None));
    }
    Ok(figures)
}

/// The index of the broker that leads the quorum.
async fn controller(client: &Client) -> Result<usize> {
    let until = Instant::now() + HEAL_MAX;
    loop {
        if let Ok(found) = client.admin().describe_cluster().await
            && let Some(index) = (found.controller as usize).checked_sub(1)
        {
            return Ok(index);
        }
        ensure!(Instant::now() < until, "nobody leads the quorum");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Lets every broker lead what it prefers to lead, so that whichever is lost, a partition loses its leader.
async fn balance(client: &Client) -> Result<()> {
    let all: Vec<_> = (0..PARTITIONS).map(|it| (TOPIC.to_owned(), it)).collect();
    // Whatever is refused is seen below.
    drop(client.admin().elect_leaders(&all, None).await);
    until(client, "the preferred leaders", |it| it.replicas.first() == Some(&it.leader)).await
}

/// Loses the broker at `index`, waits until every partition takes writes, and brings it back.
fn lose(
    cluster: &mut Cluster,
    client: &Client,
    writers: &Writers,
    index: usize,
    loss: Loss<'_>,
) -> Result<f64> {
    let since = Instant::now();
    match loss {
        Loss::Kill => cluster.broker(index).kill(),
        Loss::Pause => cluster.broker(index).signal("-STOP")?,
        Loss::Cut(network) => network.plug(index, false)?,
        Loss::Stop => cluster.broker(index).signal("-TERM")?,
        Loss::Moved => cluster.runtime.block_on(move_leaders(client, index))?,
    }
    let took = match loss {
        Loss::Kill | Loss::Pause | Loss::Cut(_) => cluster.runtime.block_on(writers.flow_again(since))?,
        Loss::Stop | Loss::Moved => {
            // The former leader goes on until another leads: what counts is the longest time without a receipt.
            let leads = u32::try_from(index)? + 1;
            cluster.runtime.block_on(until(client, "the others to lead", |it| it.leader != leads))?;
            cluster.runtime.block_on(writers.flow_again(Instant::now()))?;
            writers.longest_since(since)
        }
    };
    match loss {
        Loss::Kill => drop(cluster.restart(index)?),
        Loss::Pause => cluster.broker(index).signal("-CONT")?,
        Loss::Cut(network) => network.plug(index, true)?,
        Loss::Stop => {
            cluster.broker(index).stop()?;
            cluster.restart(index)?;
        }
        Loss::Moved => {}
    }
    cluster.runtime.block_on(until(client, "every replica in sync", |it| it.isr.len() == BROKERS))?;
    Ok(took.as_secs_f64())
}

/// Orders that the next broker leads what the one at `index` does.
async fn move_leaders(client: &Client, index: usize) -> Result<()> {
    let leads = u32::try_from(index)? + 1;
    let next = u32::try_from((index + 1) % BROKERS)? + 1;
    let topic = client.admin().describe_topic(TOPIC).await?;
    for partition in topic.partitions.iter().filter(|it| it.leader == leads) {
        let answer =
            client.admin().elect_leaders(&[(TOPIC.to_owned(), partition.partition)], Some(next)).await?;
        let refused = answer.iter().find_map(|it| it.error.as_ref()).map(|it| it.message.as_str());
        ensure!(refused.is_none(), "{}", refused.unwrap_or_default());
    }
    Ok(())
}

/// Waits until every partition is as it should be.
async fn until(client: &Client, what: &str, is_so: impl Fn(&PartitionDescription) -> bool) -> Result<()> {
    let until = Instant::now() + HEAL_MAX;
    loop {
        if let Ok(topic) = client.admin().describe_topic(TOPIC).await
            && topic.partitions.iter().all(&is_so)
        {
            return Ok(());
        }
        ensure!(Instant::now() < until, "no sign of {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// One producer a partition, one record in flight each.
struct Writers {
    began: Instant,
    /// By partition: when the last acknowledged record was handed over, and when it was acknowledged; microseconds
    /// since `began`.
    acknowledged: Vec<Arc<(AtomicU64, AtomicU64)>>,
    /// Records that took a while: when they were acknowledged, and how long it took.
    slow: Arc<Mutex<Vec<(Instant, Duration)>>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Writers {
    fn start(cluster: &Cluster, client: &Client) -> Result<Self> {
        let mut writers = Self {
            began: Instant::now(),
            acknowledged: Vec::new(),
            slow: Arc::default(),
            stop: Arc::default(),
            tasks: Vec::new(),
        };
        for partition in 0..PARTITIONS {
            let producer = cluster.runtime.block_on(client.producer(TOPIC).open())?;
            let (times, began, stop) =
                (Arc::<(AtomicU64, AtomicU64)>::default(), writers.began, Arc::clone(&writers.stop));
            writers.acknowledged.push(Arc::clone(&times));
            let slow = Arc::clone(&writers.slow);
            let micros = move || u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            writers.tasks.push(cluster.runtime.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let handed = micros();
                    let record = Record::new(handed.to_string());
                    let sent = Instant::now();
                    producer.send_to(partition, record).await?.await?;
                    if sent.elapsed() >= SLOW_MIN {
                        slow.lock().push((Instant::now(), sent.elapsed()));
                    }
                    times.1.store(micros(), Ordering::Relaxed);
                    times.0.store(handed, Ordering::Release);
                }
                Ok(())
            }));
        }
        Ok(writers)
    }

    /// How long the slowest record took of those acknowledged after `since`.
    fn longest_since(&self, since: Instant) -> Duration {
        let slow = self.slow.lock();
        slow.iter().filter(|(at, _)| *at >= since).map(|(_, took)| *took).max().unwrap_or(SLOW_MIN)
    }

    /// Waits until every partition has acknowledged a record handed over after `since`; how long the last took.
    async fn flow_again(&self, since: Instant) -> Result<Duration> {
        let from = u64::try_from(since.duration_since(self.began).as_micros())?;
        let mut worst = 0;
        for (partition, times) in self.acknowledged.iter().enumerate() {
            loop {
                if times.0.load(Ordering::Acquire) >= from {
                    worst = worst.max(times.1.load(Ordering::Relaxed) - from);
                    break;
                }
                ensure!(since.elapsed() < HEAL_MAX, "partition {partition} takes no writes");
                let ended = self.tasks[partition].is_finished();
                ensure!(!ended, "the writer of partition {partition} gave up");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(Duration::from_micros(worst))
    }
}
