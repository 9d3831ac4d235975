//! How long writes stand still when a broker is lost: replication factor 3, default settings, a topic of which every
//! broker leads a partition, and one record in flight on each.
//!
//! A round kills (or pauses) one broker, in every third round the one that leads the controller quorum. What is measured
//! on each partition is the time from the kill to the first acknowledgement of a record that was handed over after it;
//! the worst partition counts. Before the next round the broker is back and every replica in sync.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fidelog_client::{Client, Record};
use tokio::task::JoinHandle;

use super::cluster::Cluster;
use super::figure::Figure;

const TOPIC: &str = "failover";
const BROKERS: usize = 3;
const PARTITIONS: u32 = 3;
/// Longer than anything should take; a round that does not heal is an error and not a figure.
const HEAL_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What happens to the broker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    Kill,
    Pause,
}

/// Kills with -9: as many as `FIDELOG_BENCH_FAILOVERS` says, else 6.
pub(super) fn after_kill(dir: &Path) -> Result<Vec<Figure>> {
    rounds(dir, Loss::Kill, "kill -9", 3.0)
}

/// SIGSTOP: as many as `FIDELOG_BENCH_FAILOVERS` says, else 6.
pub(super) fn after_pause(dir: &Path) -> Result<Vec<Figure>> {
    rounds(dir, Loss::Pause, "SIGSTOP", 5.0)
}

fn rounds(dir: &Path, loss: Loss, name: &str, below: f64) -> Result<Vec<Figure>> {
    let count: usize = match std::env::var("FIDELOG_BENCH_FAILOVERS") {
        Ok(text) => {
            text.parse().with_context(|| format!("FIDELOG_BENCH_FAILOVERS={text:?} is not a count"))?
        }
        Err(_) => 6,
    };
    let mut cluster = Cluster::start(dir, BROKERS)?;
    cluster.runtime.block_on(cluster.create_topic(TOPIC, PARTITIONS as usize, BROKERS))?;
    let client = cluster.runtime.block_on(cluster.client())?;
    let writers = Writers::start(&cluster, &client)?;
    let (mut others, mut controllers) = (Vec::new(), Vec::new());
    for round in 0..count {
        let controller = cluster.runtime.block_on(controller(&client))?;
        // In every third round the quorum loses its leader as well; otherwise one of the others, in turn.
        let index = if round % 3 == 0 { controller } else { (controller + 1 + round % 2) % BROKERS };
        let took = lose(&mut cluster, &client, &writers, index, loss)?;
        (if index == controller { &mut controllers } else { &mut others }).push(took);
    }
    writers.stop.store(true, Ordering::Relaxed);
    let (of_controllers, of_others) = (controllers.len(), others.len());
    let all: Vec<_> = controllers.iter().chain(&others).copied().collect();
    let figure =
        |what: String, value, below| Figure { name: format!("{name}: {what}"), value, unit: "s", below };
    Ok(vec![
        figure(format!("writes flow again, p50 of {count}"), quantile(&all, 50), None),
        figure(format!("writes flow again, p99 of {count}"), quantile(&all, 99), Some(below)),
        figure(format!("worst of {of_others} of another node"), quantile(&others, 100), None),
        figure(
            format!("worst of {of_controllers} of the quorum's leader"),
            quantile(&controllers, 100),
            None,
        ),
    ])
}

/// The nearest rank of so many per cent; 0 of nothing.
fn quantile(values: &[f64], per_cent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (sorted.len() * per_cent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
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

/// Loses the broker at `index`, waits until every partition takes writes, and brings it back.
fn lose(cluster: &mut Cluster, client: &Client, writers: &Writers, index: usize, loss: Loss) -> Result<f64> {
    let pid = cluster.broker(index).pid().context("the broker runs")?;
    match loss {
        Loss::Kill => cluster.broker(index).kill(),
        Loss::Pause => signal(pid, "-STOP")?,
    }
    let took = cluster.runtime.block_on(writers.flow_again(Instant::now()))?;
    match loss {
        Loss::Kill => drop(cluster.restart(index)?),
        Loss::Pause => signal(pid, "-CONT")?,
    }
    cluster.runtime.block_on(in_sync(client))?;
    Ok(took.as_secs_f64())
}

fn signal(pid: u32, signal: &str) -> Result<()> {
    let status = Command::new("kill").args([signal, &pid.to_string()]).status().context("cannot run kill")?;
    ensure!(status.success(), "kill {signal} {pid} failed");
    Ok(())
}

async fn in_sync(client: &Client) -> Result<()> {
    let until = Instant::now() + HEAL_MAX;
    loop {
        if let Ok(topic) = client.admin().describe_topic(TOPIC).await
            && topic.partitions.iter().all(|it| it.isr.len() == BROKERS)
        {
            return Ok(());
        }
        ensure!(Instant::now() < until, "the replicas of {TOPIC} do not get in sync again");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// One producer a partition, one record in flight each.
struct Writers {
    began: Instant,
    /// By partition: when the last acknowledged record was handed over, and when it was acknowledged; microseconds
    /// since `began`.
    acknowledged: Vec<Arc<(AtomicU64, AtomicU64)>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Writers {
    fn start(cluster: &Cluster, client: &Client) -> Result<Self> {
        let mut writers =
            Self { began: Instant::now(), acknowledged: Vec::new(), stop: Arc::default(), tasks: Vec::new() };
        for partition in 0..PARTITIONS {
            let producer = cluster.runtime.block_on(client.producer(TOPIC).open())?;
            let (times, began, stop) =
                (Arc::<(AtomicU64, AtomicU64)>::default(), writers.began, Arc::clone(&writers.stop));
            writers.acknowledged.push(Arc::clone(&times));
            let micros = move || u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            writers.tasks.push(cluster.runtime.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let handed = micros();
                    let record = Record::new(handed.to_string());
                    producer.send_to(partition, record).await?.await?;
                    times.1.store(micros(), Ordering::Relaxed);
                    times.0.store(handed, Ordering::Release);
                }
                Ok(())
            }));
        }
        Ok(writers)
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
