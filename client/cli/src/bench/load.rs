//! What producers of a benchmark send, how fast, and where to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fidelog_client::types::limits::RECORD_BYTES_MAX;
use fidelog_client::{Client, Delivery, DeliveryError, NewTopic, Producer, Reason, Receipt, Record, Stages};
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use serde::Serialize;

use super::latency::{Latency, LatencyReport};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::produce::Compression;
use crate::quantity::{parse_duration, parse_size};

/// What is common to `bench produce` and `bench e2e`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Load {
    /// The topic; made when there is none. Random records stay in it: use one of its own
    #[arg(default_value = "bench")]
    pub(super) topic: String,
    /// Bytes of each value; random, so that they do not compress
    #[arg(long, value_name = "SIZE", default_value = "1k", value_parser = parse_size)]
    pub(super) size: usize,
    /// Producers, each with connections of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(super) producers: u32,
    /// Unacknowledged records of each producer
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    in_flight: u32,
    /// Records a second, all producers together; as fast as it goes when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// How long
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// End after so many records, all producers together
    #[arg(long, value_name = "N")]
    records: Option<u64>,
    /// How batches are compressed
    #[arg(short = 'z', long, value_enum, default_value_t = Compression::None)]
    compression: Compression,
    /// Partitions of a topic that is made
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) partitions: u32,
    /// Copies of a topic that is made; the cluster's default when not given
    #[arg(short = 'r', long, value_name = "N")]
    replication_factor: Option<u32>,
    /// Allow a topic that is made to have one copy
    #[arg(long)]
    allow_unreplicated: bool,
}

impl Load {
    /// Refuses what no topic takes; `size_min` is what the benchmark itself writes into a value.
    pub(super) fn check(&self, size_min: usize) -> Result<(), Failure> {
        let Self { size, .. } = self;
        if *size < size_min || *size > RECORD_BYTES_MAX {
            return Err(Failure::usage(format!(
                "--size is {size} bytes; {size_min} to {RECORD_BYTES_MAX} are allowed here"
            )));
        }
        Ok(())
    }

    /// Makes the topic if there is none; tells its partitions.
    pub(super) async fn topic(&self, context: &Context, client: &Client) -> Result<u32, Failure> {
        match client.partitions(&self.topic).await {
            Ok((_, partitions)) => return Ok(partitions),
            Err(error) if error.reason() == Some(Reason::UnknownTopic) => {}
            Err(error) => return Err(error.into()),
        }
        let topic = NewTopic {
            partitions: self.partitions,
            replication_factor: self.replication_factor.unwrap_or_default(),
            allow_unreplicated: self.allow_unreplicated,
            ..NewTopic::new(&self.topic)
        };
        let made = client.admin().create_topic(topic).await?;
        context.note(&format!("made topic `{}`; `fidelog topic rm {0}` deletes it", self.topic));
        u32::try_from(made.partitions.len()).map_err(|error| Failure::new(Exit::Failure, error.to_string()))
    }

    /// Says what is left behind.
    pub(super) fn tell_leftovers(&self, context: &Context, records: u64) {
        let topic = &self.topic;
        context.note(&format!(
            "{records} random records stay in topic `{topic}`; `fidelog topic rm {topic}` deletes it with all it holds"
        ));
    }

    /// Runs all producers to their end. `value` makes each value from random bytes.
    pub(super) async fn run(
        &self,
        context: &Context,
        interrupts: &Interrupts,
        value: impl Fn(&Bytes) -> Bytes + Send + Sync + 'static,
    ) -> Result<(Tally, Duration), Failure> {
        let value = Arc::new(value);
        let mut producers = Vec::new();
        for _ in 0..self.producers {
            let client = context.connect().await?;
            producers.push(client.producer(&self.topic).compression(self.compression.into()).open().await?);
        }
        let began = Instant::now();
        let workers = producers.into_iter().zip(0..).map(|(producer, number)| {
            let worker = Worker {
                producer,
                filler: Filler::new(self.size, number),
                in_flight: self.in_flight as usize,
                records: self.share(number),
                interval: self.rate.map(|rate| Duration::from_secs(self.producers.into()) / rate),
                end: began + self.duration,
                interrupts: interrupts.clone(),
                tally: Tally::default(),
                unsettled: VecDeque::new(),
            };
            let value = Arc::clone(&value);
            tokio::spawn(worker.run(began, move |filler: &Bytes| value(filler)))
        });
        let workers: Vec<_> = workers.collect();
        let mut tally = Tally::default();
        for worker in workers {
            tally.add(worker.await.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?);
        }
        Ok((tally, began.elapsed()))
    }

    fn share(&self, number: u64) -> u64 {
        let producers = u64::from(self.producers);
        self.records.map_or(u64::MAX, |records| records / producers + u64::from(number < records % producers))
    }
}

/// Random bytes to cut values from, without a copy.
struct Filler {
    bytes: Bytes,
    size: usize,
    at: usize,
}

impl Filler {
    fn new(size: usize, seed: u64) -> Self {
        const SPARE_BYTES: usize = 64 * 1024;
        let mut bytes = vec![0; size + SPARE_BYTES];
        SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
        Self { bytes: bytes.into(), size, at: 0 }
    }

    fn next(&mut self) -> Bytes {
        // A stride that shares no factor with the room visits every place before one comes again.
        self.at = (self.at + 509) % (self.bytes.len() - self.size);
        self.bytes.slice(self.at..self.at + self.size)
    }
}

/// One producer at work.
struct Worker {
    producer: Producer,
    filler: Filler,
    in_flight: usize,
    records: u64,
    interval: Option<Duration>,
    end: Instant,
    interrupts: Interrupts,
    tally: Tally,
    /// With how much later than planned each was sent, microseconds.
    unsettled: VecDeque<(Delivery, u64)>,
}

impl Worker {
    async fn run(mut self, began: Instant, value: impl Fn(&Bytes) -> Bytes) -> Tally {
        let mut planned = began;
        for _ in 0..self.records {
            if let Some(interval) = self.interval {
                planned += interval;
                if planned < self.end {
                    tokio::time::sleep_until(planned.into()).await;
                }
            }
            if planned.max(Instant::now()) >= self.end || self.interrupts.any() {
                break;
            }
            self.settle_ready();
            while self.unsettled.len() >= self.in_flight {
                self.settle_oldest().await;
            }
            let filler = self.filler.next();
            let schedule = self.interval.map(|_| planned);
            let late_us = lateness_us(schedule, Instant::now());
            match self.producer.send(Record::new(value(&filler))).await {
                Ok(delivery) => self.unsettled.push_back((delivery, late_us)),
                Err(error) => {
                    self.tally.fail(Failure::from(error.cause()));
                    break;
                }
            }
        }
        while !self.unsettled.is_empty() {
            self.settle_oldest().await;
        }
        self.tally
    }

    fn settle_ready(&mut self) {
        while let Some((oldest, late_us)) = self.unsettled.front()
            && let Some(outcome) = oldest.outcome()
        {
            self.tally.note(outcome, *late_us);
            self.unsettled.pop_front();
        }
    }

    async fn settle_oldest(&mut self) {
        if let Some((oldest, late_us)) = self.unsettled.pop_front() {
            self.tally.note(oldest.await, late_us);
        }
    }
}

/// How much later than planned a record is handed over, microseconds. With a schedule, what a full pipe delayed counts:
/// a user who came at that time would have waited. Without one nobody came: the next record is made when there is room.
fn lateness_us(schedule: Option<Instant>, now: Instant) -> u64 {
    let late = schedule.map(|planned| now.saturating_duration_since(planned)).unwrap_or_default();
    u64::try_from(late.as_micros()).unwrap_or(u64::MAX)
}

/// What became of the records.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) records: u64,
    pub(super) failed: u64,
    pub(super) failure: Option<Failure>,
    latency: Latency,
    stages: [Latency; 7],
}

const STAGES: [&str; 7] = ["schedule", "gather", "queue", "append", "sync", "replication", "network"];

impl Tally {
    fn note(&mut self, outcome: Result<Receipt, DeliveryError>, late_us: u64) {
        match outcome {
            Ok(receipt) => {
                self.records += 1;
                self.latency.note_us(receipt.stages.client_us.saturating_add(late_us));
                for (latency, us) in self.stages.iter_mut().zip(parts(late_us, receipt.stages)) {
                    latency.note_us(us);
                }
            }
            Err(error) => self.fail(Failure::from(&error)),
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.failed += 1;
        self.failure.get_or_insert(failure);
    }

    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.failed += other.failed;
        self.failure = self.failure.take().or(other.failure);
        self.latency.add(&other.latency);
        self.stages.iter_mut().zip(&other.stages).for_each(|(sum, stage)| sum.add(stage));
    }

    pub(super) fn latency(&self) -> LatencyReport {
        self.latency.report()
    }

    pub(super) fn stages(&self) -> StagesReport {
        let [schedule, gather, queue, append, sync, replication, network] = &self.stages;
        StagesReport {
            schedule: schedule.report(),
            gather: gather.report(),
            queue: queue.report(),
            append: append.report(),
            sync: sync.report(),
            replication: replication.report(),
            network: network.report(),
        }
    }
}

/// They add up to what counts as the latency, except for a duplicate.
fn parts(late_us: u64, stages: Stages) -> [u64; 7] {
    let Stages { gather_us, queue_us, append_us, sync_us, replication_us, network_us, client_us: _ } = stages;
    [late_us, gather_us, queue_us, append_us, sync_us, replication_us, network_us]
}

/// Where the time of receipts went, microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct StagesReport {
    /// With --rate: behind the schedule when it was handed over.
    schedule: LatencyReport,
    gather: LatencyReport,
    queue: LatencyReport,
    append: LatencyReport,
    sync: LatencyReport,
    replication: LatencyReport,
    network: LatencyReport,
}

impl StagesReport {
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let Self { schedule, gather, queue, append, sync, replication, network } = self;
        let reports = [schedule, gather, queue, append, sync, replication, network];
        STAGES.iter().zip(reports).map(|(name, report)| report.cells(&format!("- {name}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With one record in flight the latency was twice the sum of its stages: it began before there was room.
    #[test]
    fn stages_add_up_to_the_latency() {
        let now = Instant::now();
        assert_eq!(lateness_us(None, now + Duration::from_secs(5)), 0, "nobody came earlier");
        assert_eq!(lateness_us(Some(now), now + Duration::from_micros(70)), 70);
        let stages = Stages {
            gather_us: 1,
            queue_us: 2,
            append_us: 3,
            sync_us: 4,
            replication_us: 5,
            network_us: 6,
            client_us: 21,
        };
        assert_eq!(parts(70, stages).into_iter().sum::<u64>(), stages.client_us + 70);
    }

    #[test]
    fn values_are_of_the_size_asked_for_and_differ() {
        let mut filler = Filler::new(100, 7);
        let values: Vec<_> = (0..50).map(|_| filler.next()).collect();
        assert!(values.iter().all(|value| value.len() == 100));
        assert!(values.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(Filler::new(100, 7).next(), values[0]);
    }
}
