//! Catching up through the SDK: a consumer reads a partition that was written before, from its start, again and
//! again.
//!
//! As for the floor, what is read is in the page cache. Every record is looked at; a latency is the time from one
//! batch to the next.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fidelog_client::{Client, Record, StartAt};

use super::cluster::Cluster;
use crate::contender::{Contender, Running, warm_up};
use crate::floor::payload::Payloads;
use crate::sample::Sample;
use crate::shape::Shape;

const TOPIC: &str = "bench";
/// Bytes written before the first read: as many as the floor writes.
const WRITTEN_BYTES: usize = 512 << 20;

/// See the module. One broker, one partition.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatchUp;

impl Contender for CatchUp {
    fn start(&self, shape: &Shape, dir: &Path) -> Result<Box<dyn Running>> {
        let cluster = Cluster::start(dir, 1)?;
        let client = cluster.runtime.block_on(write(&cluster, TOPIC, shape.record_bytes, WRITTEN_BYTES))?;
        Ok(Box::new(Reading { cluster, client }))
    }
}

/// Makes a topic of one unreplicated partition and writes `bytes` of records of `record_bytes` to it.
pub(super) async fn write(
    cluster: &Cluster,
    topic: &str,
    record_bytes: usize,
    bytes: usize,
) -> Result<Client> {
    cluster.create_topic(topic, 1, 1).await?;
    let client = cluster.client().await?;
    let producer = client.producer(topic).open().await?;
    let mut payloads = Payloads::new(1, record_bytes);
    for _ in 0..bytes / record_bytes {
        // Its outcome is told by the flush.
        drop(producer.send(Record::new(payloads.take())).await?);
    }
    producer.close().await?;
    Ok(client)
}

struct Reading {
    cluster: Cluster,
    client: Client,
}

impl Running for Reading {
    fn drive(&mut self, time: Duration) -> Result<Sample> {
        let client = self.client.clone();
        // On a worker, as the floor's connection is: not on the thread that only waits.
        let task = self.cluster.runtime.spawn(async move { read(&client, time).await });
        let sample = self.cluster.runtime.block_on(task)?;
        sample.with_context(|| self.cluster.broker(0).said())
    }
}

async fn read(client: &Client, time: Duration) -> Result<Sample> {
    let counted_from = Instant::now() + warm_up(time);
    let mut sample = Sample::default();
    loop {
        let mut consumer = client.consumer(TOPIC).from(StartAt::Start).stop_at_end().open().await?;
        let mut before = Instant::now();
        while let Some(batch) = consumer.next_batch().await {
            let (mut records, mut bytes) = (0, 0);
            for record in batch?.records() {
                records += 1;
                bytes += record?.value.map_or(0, |value| value.len());
            }
            let after = Instant::now();
            if before >= counted_from {
                sample.record(after - before, records, bytes);
            }
            if after >= counted_from + time {
                return Ok(sample.over(after - counted_from));
            }
            before = after;
        }
    }
}
