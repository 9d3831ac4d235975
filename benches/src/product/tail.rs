//! Tailing through the SDK: how long after a record was handed over, or acknowledged, a waiting consumer has it.
//!
//! Producer and consumer are clients of their own in one process, so that there is one clock.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fidelog_client::{Consumer, Producer, Record, StartAt};

use super::cluster::Cluster;
use crate::contender::{Contender, Running, warm_up};
use crate::floor::payload::Payloads;
use crate::sample::Sample;
use crate::shape::Shape;

const TOPIC: &str = "bench";

/// What a latency begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// The producer hands the record over.
    FromHandOver,
    /// The producer has the receipt; a record delivered before that took no time.
    FromReceipt,
}

impl Contender for Tail {
    fn start(&self, shape: &Shape, dir: &Path) -> Result<Box<dyn Running>> {
        let cluster = Cluster::start(dir, shape.replicas)?;
        let (producer, consumer) = cluster.runtime.block_on(async {
            cluster.create_topic(TOPIC, 1, shape.replicas).await?;
            let producer = cluster.client().await?.producer(TOPIC).open().await?;
            let consumer = cluster.client().await?.consumer(TOPIC).from(StartAt::Start).open().await?;
            anyhow::Ok((producer, consumer))
        })?;
        let payloads = Payloads::new(1, shape.record_bytes);
        Ok(Box::new(Tailing { cluster, producer, consumer: Some(consumer), payloads, from: *self }))
    }
}

struct Tailing {
    cluster: Cluster,
    producer: Producer,
    consumer: Option<Consumer>,
    payloads: Payloads,
    from: Tail,
}

impl Running for Tailing {
    fn drive(&mut self, time: Duration) -> Result<Sample> {
        let consumer = self.consumer.take().context("an earlier repetition has failed")?;
        let (producer, payloads) = (self.producer.clone(), self.payloads.clone());
        let task = self.cluster.runtime.spawn(tail(producer, consumer, payloads, self.from, time));
        let (sample, consumer) = self.cluster.runtime.block_on(task)??;
        self.consumer = Some(consumer);
        Ok(sample)
    }
}

async fn tail(
    producer: Producer,
    mut consumer: Consumer,
    mut payloads: Payloads,
    from: Tail,
    time: Duration,
) -> Result<(Sample, Consumer)> {
    let counted_from = Instant::now() + warm_up(time);
    let mut sample = Sample::default();
    loop {
        let payload = payloads.take();
        let bytes = payload.len();
        let handed = Instant::now();
        let delivery = producer.send(Record::new(payload)).await?;
        let acknowledged = async { anyhow::Ok((delivery.await?, Instant::now())) };
        let consumed = async {
            let record = consumer.next().await.context("the consumer has ended")??;
            anyhow::Ok((record, Instant::now()))
        };
        let ((receipt, acknowledged_at), (record, consumed_at)) = tokio::try_join!(acknowledged, consumed)?;
        ensure!(
            receipt.offset.is_some_and(|it| it.0 == record.offset),
            "another record came: {}",
            record.offset
        );
        let begin = match from {
            Tail::FromHandOver => handed,
            Tail::FromReceipt => acknowledged_at,
        };
        if consumed_at >= counted_from + time {
            return Ok((sample.over(time), consumer));
        }
        if consumed_at >= counted_from {
            sample.record(consumed_at.saturating_duration_since(begin), 1, bytes);
        }
    }
}
