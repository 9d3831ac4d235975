//! `bench produce`: acknowledged records a second, and where the time of an acknowledgement goes.

use serde::Serialize;

use super::latency::LatencyReport;
use super::load::{Load, StagesReport, Tally};
use super::per_second;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::output::{Show, Table};
use crate::quantity::bytes;

/// Measure producing: acknowledged records a second, latency, and its stages
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog bench produce
  fidelog bench produce --size 256 --producers 4 --duration 30s -o json
  fidelog bench produce --rate 5000 --in-flight 10000

With --rate the time a record waited because others were late counts too.")]
pub(super) struct Produce {
    #[command(flatten)]
    load: Load,
}

#[derive(Debug, Serialize)]
pub(super) struct ProduceReport {
    bench: &'static str,
    topic: String,
    partitions: u32,
    producers: u32,
    value_bytes: usize,
    seconds: f64,
    records: u64,
    failed: u64,
    records_per_s: f64,
    bytes_per_s: f64,
    latency_us: LatencyReport,
    stages_us: StagesReport,
}

impl ProduceReport {
    pub(super) fn new(load: &Load, partitions: u32, seconds: f64, tally: &Tally) -> Self {
        Self {
            bench: "produce",
            topic: load.topic.clone(),
            partitions,
            producers: load.producers,
            value_bytes: load.size,
            seconds: (seconds * 1000.0).round() / 1000.0,
            records: tally.records,
            failed: tally.failed,
            records_per_s: per_second(tally.records, seconds),
            bytes_per_s: per_second(tally.records.saturating_mul(load.size as u64), seconds),
            latency_us: tally.latency(),
            stages_us: tally.stages(),
        }
    }

    /// Another benchmark's, which produces too.
    pub(super) fn rename(&mut self, bench: &'static str) {
        self.bench = bench;
    }

    pub(super) fn facts(&self) -> Table {
        let Self { topic, partitions, producers, value_bytes, seconds, records, failed, .. } = self;
        Table::facts([
            (
                "load",
                format!(
                    "{producers} producers, topic {topic}, {partitions} partitions, values of {value_bytes} B"
                ),
            ),
            ("acknowledged", format!("{records} records in {seconds:.1} s, {failed} failed")),
            ("throughput", throughput("records", self.records_per_s, self.bytes_per_s)),
        ])
    }

    pub(super) fn times(&self) -> Table {
        let mut table = Table::new(&LatencyReport::COLUMNS);
        table.push(self.latency_us.cells("acknowledged"));
        self.stages_us.rows().into_iter().for_each(|row| table.push(row));
        table
    }
}

/// As people read it.
pub(super) fn throughput(things: &str, things_per_s: f64, bytes_per_s: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and rates are positive"
    )]
    let whole = bytes_per_s as u64;
    format!("{things_per_s:.0} {things}/s, {}/s", bytes(whole))
}

impl Show for ProduceReport {
    fn names(&self) -> Vec<String> {
        vec![self.bench.to_owned()]
    }

    fn table(&self, _: bool) -> String {
        format!("{}\n\n{}", self.facts(), self.times())
    }
}

pub(super) async fn run(
    context: &Context,
    command: Produce,
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    let load = command.load;
    load.check(0)?;
    let client = context.connect().await?;
    let partitions = load.topic(context, &client).await?;
    let (tally, took) = load.run(context, interrupts, bytes::Bytes::clone).await?;
    context.print(&ProduceReport::new(&load, partitions, took.as_secs_f64(), &tally))?;
    load.tell_leftovers(context, tally.records);
    judge(tally)?;
    super::ended(interrupts)
}

/// Some records were not acknowledged.
pub(super) fn judge(tally: Tally) -> Result<(), Failure> {
    let Some(mut first) = tally.failure else { return Ok(()) };
    if tally.records > 0 {
        first.exit = Exit::SomeFailed;
    }
    let what = format!("{} of {} records failed, the first", tally.failed, tally.failed + tally.records);
    Err(first.context(what))
}
