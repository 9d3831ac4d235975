//! Full load on a topic: a producer for every partition, each with as many records unanswered as keeps both sides busy,
//! and when its receipts came.
//!
//! What is kept of the receipts is only where there were none for a while: the pauses.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fidelog_client::{Client, NewTopic, Record};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::cluster::Cluster;
use crate::floor::payload::Payloads;

/// The topic that is written to.
pub(super) const TOPIC: &str = "load";
/// Its partitions: two that each of three brokers leads.
pub(super) const PARTITIONS: u32 = 6;
const BROKERS: usize = 3;
const RECORD_BYTES: usize = 1024;
/// Records of one partition that are not answered yet.
const IN_FLIGHT: usize = 512;
/// Shorter ones are not kept.
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// Bytes each partition keeps, so that ten minutes fit a disk.
const RETENTION_BYTES: u64 = 256 << 20;
const SEGMENT_BYTES: u64 = 64 << 20;
const WAIT_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A time without a receipt.
#[derive(Clone, Copy, Debug)]
struct Pause {
    begin: Instant,
    end: Instant,
}

/// What one producer has seen.
#[derive(Debug, Default)]
struct Seen {
    records: AtomicU64,
    /// In order.
    pauses: Mutex<Vec<Pause>>,
}

/// Three brokers, a topic of which each leads two partitions, and a producer for each of these.
pub(super) struct Load {
    pub(super) cluster: Cluster,
    pub(super) client: Client,
    began: Instant,
    seen: Vec<Arc<Seen>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    /// Starts all of it with data below `dir`.
    pub(super) fn start(dir: &std::path::Path) -> Result<Self> {
        let cluster = Cluster::start(dir, BROKERS)?;
        let client = cluster.runtime.block_on(async {
            let client = cluster.client().await?;
            let mut topic = NewTopic::new(TOPIC);
            (topic.partitions, topic.replication_factor) = (PARTITIONS, u32::try_from(BROKERS)?);
            topic.configs.insert("retention_bytes".to_owned(), RETENTION_BYTES.to_string());
            topic.configs.insert("segment_bytes".to_owned(), SEGMENT_BYTES.to_string());
            client.admin().create_topic(topic).await?;
            anyhow::Ok(client)
        })?;
        let (seen, stop) = (Vec::new(), Arc::default());
        let mut load = Self { cluster, client, began: Instant::now(), seen, stop, tasks: Vec::new() };
        load.in_sync()?;
        for partition in 0..PARTITIONS {
            let producer = load.cluster.runtime.block_on(load.client.producer(TOPIC).open())?;
            let seen = Arc::new(Seen::default());
            load.seen.push(Arc::clone(&seen));
            let stop = Arc::clone(&load.stop);
            load.tasks.push(load.cluster.runtime.spawn(async move {
                let mut payloads = Payloads::new(u64::from(partition), RECORD_BYTES);
                let (mut unanswered, mut last) = (VecDeque::new(), Instant::now());
                loop {
                    let stopping = stop.load(Ordering::Relaxed);
                    if !stopping && unanswered.len() < IN_FLIGHT {
                        unanswered
                            .push_back(producer.send_to(partition, Record::new(payloads.take())).await?);
                        continue;
                    }
                    let Some(oldest) = unanswered.pop_front() else { return Ok(()) };
                    oldest.await.with_context(|| format!("a produce to partition {partition} failed"))?;
                    let now = Instant::now();
                    if now - last >= PAUSE_MIN {
                        seen.pauses.lock().await.push(Pause { begin: last, end: now });
                    }
                    last = now;
                    seen.records.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        Ok(load)
    }

    /// How many records have receipts.
    pub(super) fn records(&self) -> u64 {
        self.seen.iter().map(|seen| seen.records.load(Ordering::Relaxed)).sum()
    }

    /// Since when there is load.
    pub(super) fn time(&self) -> Duration {
        self.began.elapsed()
    }

    /// That every producer still works.
    pub(super) fn check(&self) -> Result<()> {
        let ended = self.tasks.iter().position(JoinHandle::is_finished);
        ensure!(ended.is_none(), "the producer of partition {} gave up", ended.unwrap_or_default());
        Ok(())
    }

    /// The longest time without a receipt of `partition` that reached into the time since `from`, ms. To be asked once
    /// records flow again: a pause that has not ended is not known.
    pub(super) fn longest_pause_ms(&self, partition: u32, from: Instant) -> f64 {
        let seen = &self.seen[partition as usize];
        let pauses = self.cluster.runtime.block_on(seen.pauses.lock());
        let touching = pauses.iter().rev().take_while(|pause| pause.end >= from);
        let longest = touching.map(|pause| pause.end - pause.begin).max().unwrap_or(PAUSE_MIN);
        longest.as_secs_f64() * 1e3
    }

    /// Waits until every partition has receipts of records answered from now on.
    pub(super) fn flow(&self) -> Result<()> {
        let before: Vec<_> = self.seen.iter().map(|seen| seen.records.load(Ordering::Relaxed)).collect();
        let until = Instant::now() + WAIT_MAX;
        // Twice what was in flight: some of it was handed over after this call.
        let more = 2 * IN_FLIGHT as u64;
        while self
            .seen
            .iter()
            .zip(&before)
            .any(|(it, before)| it.records.load(Ordering::Relaxed) < before + more)
        {
            self.check()?;
            ensure!(Instant::now() < until, "some partition takes no records");
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Waits until every replica is in sync.
    pub(super) fn in_sync(&self) -> Result<()> {
        self.until("every replica in sync", |it| it.isr.len() == BROKERS)
    }

    /// Lets the preferred replicas lead, and waits until they do.
    pub(super) fn balance(&self) -> Result<()> {
        let all: Vec<_> = (0..PARTITIONS).map(|it| (TOPIC.to_owned(), it)).collect();
        self.cluster.runtime.block_on(self.client.admin().elect_leaders(&all, None))?;
        self.until("the preferred leaders", |it| it.replicas.first() == Some(&it.leader))
    }

    /// Waits until every partition of the topic is as it should be.
    pub(super) fn until(
        &self,
        what: &str,
        is_so: impl Fn(&fidelog_client::wire::PartitionDescription) -> bool,
    ) -> Result<()> {
        let until = Instant::now() + WAIT_MAX;
        loop {
            let found = self.cluster.runtime.block_on(self.client.admin().describe_topic(TOPIC));
            if found.is_ok_and(|topic| topic.partitions.iter().all(&is_so)) {
                return Ok(());
            }
            ensure!(Instant::now() < until, "no sign of {what}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Ends the load; every record handed over has its receipt.
    pub(super) fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for task in std::mem::take(&mut self.tasks) {
            match self.cluster.runtime.block_on(task) {
                Ok(ended) => ended?,
                Err(panicked) => bail!("a producer panicked: {panicked}"),
            }
        }
        Ok(())
    }
}
