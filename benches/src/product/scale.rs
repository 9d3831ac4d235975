//! Three brokers with ten thousand partitions, replication factor 3: how long they take to start, what they take when
//! nobody uses them, and how long the leaders of a broker that is killed take to be elsewhere.
//!
//! Every partition holds records, so that each has a file to open. Records are written to a thousand partitions at a time,
//! one to each: on a disk that syncs files one after the other this measures the disk, so it is shown by itself, and a
//! start is judged by who leads, who is in sync, and a record in one partition of each topic.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fidelog_client::wire::PartitionState;
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
/// Retention looks once in that time, and once only.
const IDLE: Duration = Duration::from_secs(30);
const WAIT_MAX: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Of the kernel's figures of time, on every Linux that matters.
const TICKS_PER_S: f64 = 100.0;
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
    tell("the first record in each", write(&cluster, |_| true)?, "s", None);
    tell("another record in each", write(&cluster, |_| true)?, "s", None);
    let idle = idle_cpu_per_cent(&mut cluster)?;
    tell("idle CPU, the busiest broker", idle, "% of a core", Some(IDLE_CPU_PER_CENT_MAX));
    tell("anonymous memory, the largest broker", memory_mib(&mut cluster)?, "MiB", None);

    let began = Instant::now();
    (0..BROKERS).try_for_each(|index| cluster.broker(index).stop())?;
    tell("all stop, one after the other", began.elapsed().as_secs_f64(), "s", None);
    for what in ["start", "start after kill -9"] {
        let (writable, whole) = start(&mut cluster, count)?;
        tell(&format!("{what}: one of each topic takes a record"), writable, "s", Some(START_S_MAX));
        tell(&format!("{what}: all have leaders and all replicas in sync"), whole, "s", Some(START_S_MAX));
        if what == "start" {
            (0..BROKERS).for_each(|index| cluster.broker(index).kill());
        }
    }

    tell("leaderships are even again", even(&cluster, count)?, "s", None);

    let lost = 2;
    let lost_id = u32::try_from(lost)? + 1;
    let led: BTreeSet<_> =
        partitions(&cluster)?.into_iter().filter(|it| it.leader == lost_id).map(|it| id_of(&it)).collect();
    let began = Instant::now();
    cluster.broker(lost).kill();
    let elsewhere = led_by_others(&cluster, lost_id)?;
    let name = format!("kill -9 of a broker that leads {}: others lead them", led.len());
    tell(&name, (elsewhere - began).as_secs_f64(), "s", None);
    write(&cluster, |it| led.contains(&id_of(it)))?;
    let took = began.elapsed().as_secs_f64();
    tell("kill -9 of a broker: each that it led takes a record", took, "s", Some(FAILOVER_S_MAX));
    let began = Instant::now();
    cluster.restart(lost)?;
    in_sync(&cluster, count)?;
    tell("it starts again: all replicas in sync", began.elapsed().as_secs_f64(), "s", None);
    Ok(figures)
}

fn id_of(partition: &PartitionState) -> (String, u32) {
    (partition.topic.clone(), partition.partition)
}

/// Starts all brokers; after how many seconds one partition of each topic took a record, and all were in sync.
fn start(cluster: &mut Cluster, count: usize) -> Result<(f64, f64)> {
    let began = Instant::now();
    cluster.restart_all()?;
    write(cluster, |it| it.partition == 0)?;
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

/// Waits until every broker leads about as much as the others; tells how long that took.
fn even(cluster: &Cluster, count: usize) -> Result<f64> {
    let (began, least) = (Instant::now(), u32::try_from(count / BROKERS * 9 / 10)?);
    cluster.runtime.block_on(async {
        let admin = cluster.client().await?.admin();
        loop {
            let brokers = admin.list_brokers().await?;
            if brokers.iter().all(|it| it.leads >= least) {
                return Ok(began.elapsed().as_secs_f64());
            }
            let leads: Vec<_> = brokers.iter().map(|it| it.leads).collect();
            ensure!(
                began.elapsed() < WAIT_MAX,
                "the brokers lead {leads:?}, and {least} each at least are wanted"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
}

/// Waits until nothing is led by the broker `lost`.
fn led_by_others(cluster: &Cluster, lost: u32) -> Result<Instant> {
    let until = Instant::now() + WAIT_MAX;
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

fn partitions(cluster: &Cluster) -> Result<Vec<PartitionState>> {
    cluster.runtime.block_on(async {
        Ok(cluster.client().await?.admin().list_partitions(ListPartitions::default()).await?)
    })
}

/// Writes one record to each of the partitions that are wanted; how long until all have receipts, s.
fn write(cluster: &Cluster, is_wanted: impl Fn(&PartitionState) -> bool) -> Result<f64> {
    let began = Instant::now();
    let mut topics: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for it in partitions(cluster)?.into_iter().filter(is_wanted) {
        topics.entry(it.topic).or_default().push(it.partition);
    }
    cluster.runtime.block_on(async {
        let client = cluster.client().await?;
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
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Fields 14 and 15, counted from 1; the second is the program's name in brackets, and may hold anything.
    let after_name = text.rsplit_once(')').context("a stat without a name")?.1;
    let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    let ticks: Vec<f64> = ticks.collect::<Result<_, _>>().context("a stat without times")?;
    ensure!(ticks.len() == 2, "a stat that ends early");
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_S)
}

fn memory_mib(cluster: &mut Cluster) -> Result<f64> {
    let mut largest = 0.0_f64;
    for index in 0..BROKERS {
        let pid = cluster.broker(index).pid().context("the broker runs")?;
        largest = largest.max(anonymous_bytes(pid)? / MIB);
    }
    Ok(largest)
}
