//! `bench consume`: records a second that come out, checksums verified.

use std::time::{Duration, Instant};

use fidelog_client::StartAt;
use serde::Serialize;

use super::per_second;
use super::produce::throughput;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::output::{Show, Table};
use crate::quantity::parse_duration;

/// Measure consuming: records a second, from the start of a topic
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog bench consume
  fidelog bench consume orders --records 1000000 -o json
  fidelog bench consume orders --duration 5s")]
pub(super) struct Consume {
    /// The topic
    #[arg(default_value = "bench")]
    topic: String,
    /// How long at most; it ends at the topic's end too
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// End after about so many records
    #[arg(long, value_name = "N")]
    records: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ConsumeReport {
    bench: &'static str,
    topic: String,
    seconds: f64,
    records: u64,
    bytes: u64,
    records_per_s: f64,
    bytes_per_s: f64,
}

impl Show for ConsumeReport {
    fn names(&self) -> Vec<String> {
        vec![self.bench.to_owned()]
    }

    fn table(&self, _: bool) -> String {
        let Self { topic, seconds, records, .. } = self;
        let facts = Table::facts([
            ("consumed", format!("{records} records of topic {topic} in {seconds:.1} s")),
            ("throughput", throughput("records", self.records_per_s, self.bytes_per_s)),
        ]);
        facts.to_string()
    }
}

pub(super) async fn run(
    context: &Context,
    command: Consume,
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    let client = context.connect().await?;
    let mut consumer = client.consumer(&command.topic).from(StartAt::Start).stop_at_end().open().await?;
    let began = Instant::now();
    let over = tokio::time::sleep(command.duration);
    tokio::pin!(over);
    let mut pressed = interrupts.clone();
    let (mut records, mut bytes) = (0u64, 0u64);
    while command.records.is_none_or(|wanted| records < wanted) {
        let batch = tokio::select! {
            biased;
            () = &mut over => break,
            () = pressed.reached(1) => break,
            batch = consumer.next_batch() => batch,
        };
        let Some(batch) = batch else { break };
        let batch = batch?;
        bytes += batch.bytes() as u64;
        for record in batch.records() {
            record.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
            records += 1;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    context.print(&ConsumeReport {
        bench: "consume",
        topic: command.topic,
        seconds: (seconds * 1000.0).round() / 1000.0,
        records,
        bytes,
        records_per_s: per_second(records, seconds),
        bytes_per_s: per_second(bytes, seconds),
    })?;
    super::ended(interrupts)
}
