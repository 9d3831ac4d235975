//! Three brokers with ten thousand partitions, replication factor 3: how long they take to start, what they take when
//! nobody uses them, and how long the leaders of a broker that is killed take to be elsewhere.
//!
//! Every partition holds a record, so that each has a file to open. A partition counts as served when it has a leader and
//! takes a record; one is written to each of them, a thousand or so at a time.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fidelog_client::{Client, ListPartitions, Producer, Record};
use futures::{StreamExt, TryStreamExt, stream};

use super::cluster::Cluster;
use super::creation::make;
use super::figure::{Figure, count_of};
use super::memory::anonymous_bytes;

const BROKERS: usize = 3;
/// How the partitions are spread.
const PARTITIONS_PER_TOPIC: usize = 100;
/// Topics written to at once.
const TOPICS_AT_ONCE: usize = 10;
const START_S_MAX: f64 = 20.0;
const FAILOVER_S_MAX: f64 = 10.0;
const IDLE_CPU_PER_CENT_MAX: f64 = 5.0;
/// What comes before the idle time, so that what a start leaves to be done is done.
const SETTLE: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(10);
const WAIT_MAX: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const MIB: f64 = (1 << 20) as f64;

/// As many partitions as `FIDELOG_BENCH_SCALE_PARTITIONS` says, else 10,000.
pub(super) fn many_partitions(dir: &Path) -> Result<Vec<Figure>> {
    let count = count_of("FIDELOG_BENCH_SCALE_PARTITIONS", 10_000)?;
    let mut figures = Vec::new();
    let mut tell = |what: &str, value: f64, unit, below| {
        let figure = Figure { name: format!("{count} partitions: {what}"), value, unit, below };
        // These take minutes: each is shown when it is known, too.
        eprintln!("{figure}");
        figures.push(figure);
    };
    let mut cluster = Cluster::start(dir, BROKERS)?;
    let topics = count.div_ceil(PARTITIONS_PER_TOPIC);
    let made = cluster.runtime.block_on(make(&cluster, "many", topics, PARTITIONS_PER_TOPIC))?;
    tell("made", made, "s", None);
    in_sync(&cluster, count)?;
    tell("the first record in each", write(&cluster)?, "s", None);

    tell(
        "idle CPU, the busiest broker",
        idle_cpu_per_cent(&mut cluster)?,
        "% of a core",
        Some(IDLE_CPU_PER_CENT_MAX),
    );
    tell("anonymous memory, the largest broker", memory_mib(&mut cluster)?, "MiB", None);

    let began = Instant::now();
    (0..BROKERS).try_for_each(|index| cluster.broker(index).stop())?;
    tell("all stop, one after the other", began.elapsed().as_secs_f64(), "s", None);
    let (writable, whole) = start(&mut cluster, count)?;
    tell("all start: every partition has a leader and takes a record", writable, "s", Some(START_S_MAX));
    tell("all start: every replica in sync", whole, "s", None);

    (0..BROKERS).for_each(|index| cluster.broker(index).kill());
    let (writable, whole) = start(&mut cluster, count)?;
    tell("all start after kill -9: every partition takes a record", writable, "s", Some(START_S_MAX));
    tell("all start after kill -9: every replica in sync", whole, "s", None);

    let lost = 2;
    let began = Instant::now();
    cluster.broker(lost).kill();
    let led = led_by_others(&cluster, lost)?;
    tell(
        "kill -9 of one broker: another leads each of its partitions",
        (led - began).as_secs_f64(),
        "s",
        None,
    );
    write(&cluster)?;
    let took = began.elapsed().as_secs_f64();
    tell("kill -9 of one broker: every partition takes a record", took, "s", Some(FAILOVER_S_MAX));
    let began = Instant::now();
    cluster.restart(lost)?;
    in_sync(&cluster, count)?;
    tell("it starts again: every replica in sync", began.elapsed().as_secs_f64(), "s", Some(START_S_MAX));
    Ok(figures)
}

/// Starts all brokers; after how many seconds every partition took a record, and after how many all was in sync.
fn start(cluster: &mut Cluster, count: usize) -> Result<(f64, f64)> {
    let began = Instant::now();
    cluster.restart_all()?;
    write(cluster)?;
    let writable = began.elapsed().as_secs_f64();
    in_sync(cluster, count)?;
    Ok((writable, began.elapsed().as_secs_f64()))
}

/// Waits until the cluster shows so many partitions, all in sync.
fn in_sync(cluster: &Cluster, count: usize) -> Result<()> {
    let until = Instant::now() + WAIT_MAX;
    cluster.runtime.block_on(async {
        let admin = cluster.client().await?.admin();
        loop {
            let found = admin.describe_cluster().await?;
            if found.partitions as usize >= count && found.under_replicated == 0 && found.leaderless == 0 {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "of {} partitions {} are under-replicated and {} without a leader",
                found.partitions,
                found.under_replicated,
                found.leaderless
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
}

/// Waits until nothing is led by the broker at `lost`.
fn led_by_others(cluster: &Cluster, lost: usize) -> Result<Instant> {
    let (until, lost) = (Instant::now() + WAIT_MAX, u32::try_from(lost)? + 1);
    cluster.runtime.block_on(async {
        let admin = cluster.client().await?.admin();
        loop {
            let brokers = admin.list_brokers().await?;
            if brokers.iter().any(|it| it.id == lost && it.fenced && it.leads == 0) {
                return Ok(Instant::now());
            }
            ensure!(Instant::now() < until, "broker {lost} still leads");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
}

/// Writes one record to every partition; how long until all have receipts, s.
fn write(cluster: &Cluster) -> Result<f64> {
    let began = Instant::now();
    cluster.runtime.block_on(async {
        let client = cluster.client().await?;
        let partitions = client.admin().list_partitions(ListPartitions::default()).await?;
        let mut topics: Vec<(String, Vec<u32>)> = Vec::new();
        for it in &partitions {
            match topics.last_mut() {
                Some((topic, numbers)) if *topic == it.topic => numbers.push(it.partition),
                _ => topics.push((it.topic.clone(), vec![it.partition])),
            }
        }
        let written = topics.into_iter().map(|(topic, numbers)| {
            let client = client.clone();
            async move { write_topic(&client, &topic, &numbers).await }
        });
        stream::iter(written).buffer_unordered(TOPICS_AT_ONCE).try_collect::<()>().await
    })?;
    Ok(began.elapsed().as_secs_f64())
}

async fn write_topic(client: &Client, topic: &str, numbers: &[u32]) -> Result<()> {
    let producer: Producer = client.producer(topic).open().await?;
    let mut deliveries = Vec::new();
    for &number in numbers {
        deliveries.push(producer.send_to(number, Record::new("one")).await?);
    }
    for delivery in deliveries {
        delivery.await.with_context(|| format!("topic {topic}"))?;
    }
    producer.close().await?;
    Ok(())
}

/// The share of a core the busiest broker takes while nobody asks it for anything.
fn idle_cpu_per_cent(cluster: &mut Cluster) -> Result<f64> {
    std::thread::sleep(SETTLE);
    let mut cpu_s = || -> Result<Vec<f64>> {
        (0..BROKERS)
            .map(|index| cpu_seconds(cluster.broker(index).pid().context("the broker runs")?))
            .collect()
    };
    let (began, before) = (Instant::now(), cpu_s()?);
    std::thread::sleep(IDLE);
    let after = cpu_s()?;
    let took = began.elapsed().as_secs_f64();
    let busiest = before.iter().zip(&after).map(|(before, after)| after - before).fold(0.0, f64::max);
    Ok(busiest / took * 100.0)
}

/// What a process has used of all cores, user and system.
fn cpu_seconds(pid: u32) -> Result<f64> {
    // Nanoseconds on a core: finer than the ticks of `stat`. Summed over its threads.
    let mut nanoseconds = 0_u64;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that has ended meanwhile used nothing worth counting.
        let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanoseconds += text.split_whitespace().next().context("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(nanoseconds as f64 / 1e9)
}

fn memory_mib(cluster: &mut Cluster) -> Result<f64> {
    let mut largest = 0.0_f64;
    for index in 0..BROKERS {
        let pid = cluster.broker(index).pid().context("the broker runs")?;
        largest = largest.max(anonymous_bytes(pid)? / MIB);
    }
    Ok(largest)
}
