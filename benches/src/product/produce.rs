//! Producing through the SDK: every producer hands over one record after the other.
//!
//! The shape's messages are the floor's. Here nobody makes batches but the SDK: a producer keeps as many *records*
//! unanswered as the shape has records in flight, and each counts as a message of its own in latencies.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fidelog_client::{Delivery, Producer, Receipt, Record};

use super::cluster::Cluster;
use crate::contender::{Contender, Running, warm_up};
use crate::floor::payload::Payloads;
use crate::sample::Sample;
use crate::shape::Shape;

const TOPIC: &str = "bench";

/// Fidelog, with as many brokers as a record has replicas.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fidelog {
    /// Partitions instead of the shape's: for a row that compares Fidelog with itself.
    pub partitions: Option<usize>,
}

impl Contender for Fidelog {
    fn start(&self, shape: &Shape, dir: &Path) -> Result<Box<dyn Running>> {
        let shape = Shape { partitions: self.partitions.unwrap_or(shape.partitions), ..*shape };
        let cluster = Cluster::start(dir, shape.replicas)?;
        let producers = cluster.runtime.block_on(open(&cluster, &shape))?;
        Ok(Box::new(Producing { cluster, producers, shape }))
    }
}

async fn open(cluster: &Cluster, shape: &Shape) -> Result<Vec<Producer>> {
    cluster.create_topic(TOPIC, shape.partitions, shape.replicas).await?;
    let mut producers = Vec::new();
    for _ in 0..shape.producers {
        producers.push(cluster.client().await?.producer(TOPIC).open().await?);
    }
    Ok(producers)
}

struct Producing {
    cluster: Cluster,
    producers: Vec<Producer>,
    shape: Shape,
}

impl Running for Producing {
    fn drive(&mut self, time: Duration) -> Result<Sample> {
        let counted_from = Instant::now() + warm_up(time);
        let tasks: Vec<_> = (0..)
            .zip(&self.producers)
            .map(|(seed, producer)| {
                let payloads = Payloads::new(seed, self.shape.record_bytes);
                let window = Window::new(&self.shape, counted_from, counted_from + time);
                self.cluster.runtime.spawn(produce(producer.clone(), payloads, seed, window))
            })
            .collect();
        let mut total = Sample::default();
        for task in tasks {
            let sample = self.cluster.runtime.block_on(task)?;
            total.merge(&sample.with_context(|| self.cluster.broker(0).said())?);
        }
        Ok(total)
    }
}

async fn produce(
    producer: Producer,
    mut payloads: Payloads,
    seed: u64,
    mut window: Window,
) -> Result<Sample> {
    let mut number = seed << 40;
    loop {
        let handed = Instant::now();
        if handed >= window.counted_end {
            break;
        }
        let mut record = Record::new(payloads.take());
        if window.keyed {
            number += 1;
            record = record.key(number.to_le_bytes().to_vec());
        }
        let delivery = producer.send(record).await?;
        window.sent.push_back((handed, delivery));
        if window.sent.len() >= window.records_max {
            window.settle_some().await?;
        }
    }
    while !window.sent.is_empty() {
        window.settle_some().await?;
    }
    Ok(window.sample.over(window.counted_end - window.counted_from))
}

/// What one producer has unanswered, oldest first, and what it has seen.
struct Window {
    records_max: usize,
    record_bytes: usize,
    keyed: bool,
    sent: VecDeque<(Instant, Delivery)>,
    counted_from: Instant,
    counted_end: Instant,
    sample: Sample,
}

impl Window {
    fn new(shape: &Shape, counted_from: Instant, counted_end: Instant) -> Self {
        Self {
            records_max: shape.in_flight * shape.records_per_batch,
            record_bytes: shape.record_bytes,
            keyed: shape.partitions > 1,
            sent: VecDeque::new(),
            counted_from,
            counted_end,
            sample: Sample::default(),
        }
    }

    /// Waits for the oldest answer, and takes those that are there with it.
    async fn settle_some(&mut self) -> Result<()> {
        let Some((handed, delivery)) = self.sent.pop_front() else { return Ok(()) };
        let receipt = delivery.await?;
        let now = Instant::now();
        self.count(handed, now, &receipt);
        while let Some((handed, outcome)) = self.sent.front().map(|(handed, it)| (*handed, it.outcome())) {
            let Some(receipt) = outcome else { break };
            self.sent.pop_front();
            self.count(handed, now, &receipt?);
        }
        Ok(())
    }

    fn count(&mut self, handed: Instant, now: Instant, receipt: &Receipt) {
        if now >= self.counted_from && now < self.counted_end {
            self.sample.record(now - handed, 1, self.record_bytes);
            self.sample.record_stages(&receipt.stages);
        }
    }
}
