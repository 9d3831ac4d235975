//! `bench e2e`: from the hand-over of a record to its being read by a consumer that waits for it.
//!
//! Each value begins with the run's number and its own time, so that a consumer beside the producers, in the same
//! process and by the same clock, can tell.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fidelog_client::{Consumer, StartAt};
use serde::Serialize;
use tokio::sync::watch;

use super::latency::{Latency, LatencyReport};
use super::load::Load;
use super::produce::{ProduceReport, judge};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::output::{Show, Table};

/// Run number and time.
const STAMP_BYTES: usize = 16;
/// A record acknowledged and not read within this time counts as missing.
const READ_WAIT: Duration = Duration::from_secs(10);

/// Measure the whole way: from hand-over to a waiting consumer
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog bench e2e --rate 1000
  fidelog bench e2e --rate 5000 --duration 30s -o json

Use --rate: without it the numbers tell how long queues are. Exit code 8 when an acknowledged record was not read.")]
pub(super) struct EndToEnd {
    #[command(flatten)]
    load: Load,
}

#[derive(Debug, Serialize)]
struct EndToEndReport {
    #[serde(flatten)]
    produced: ProduceReport,
    read: u64,
    missing: u64,
    end_to_end_us: LatencyReport,
}

impl Show for EndToEndReport {
    fn names(&self) -> Vec<String> {
        vec!["e2e".to_owned()]
    }

    fn table(&self, _: bool) -> String {
        let mut times = self.produced.times();
        times.push(self.end_to_end_us.cells("read"));
        let read = Table::facts([("read", format!("{} records, {} missing", self.read, self.missing))]);
        format!("{}\n{read}\n\n{times}", self.produced.facts())
    }
}

#[derive(Clone, Copy, Debug)]
struct Stamp {
    run: u64,
    began: Instant,
}

impl Stamp {
    fn write(self, filler: &Bytes) -> Bytes {
        let mut value = filler.to_vec();
        let us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        value[..8].copy_from_slice(&self.run.to_be_bytes());
        value[8..STAMP_BYTES].copy_from_slice(&us.to_be_bytes());
        value.into()
    }

    /// How long ago a value of this run was made.
    fn age(self, value: &[u8]) -> Option<Duration> {
        let (run, us) = value.first_chunk::<STAMP_BYTES>()?.split_at(8);
        let us = u64::from_be_bytes(us.try_into().ok()?);
        let ours = run == self.run.to_be_bytes();
        ours.then(|| self.began.elapsed().saturating_sub(Duration::from_micros(us)))
    }
}

pub(super) async fn run(
    context: &Context,
    command: EndToEnd,
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    let load = command.load;
    load.check(STAMP_BYTES)?;
    let client = context.connect().await?;
    let partitions = load.topic(context, &client).await?;
    let stamp = Stamp { run: rand::random(), began: Instant::now() };
    let consumer = client.consumer(&load.topic).from(StartAt::End).open().await?;
    let (tell, wanted) = watch::channel(None);
    let reader = tokio::spawn(read(consumer, stamp, wanted));

    let (tally, took) = load.run(context, interrupts, move |filler| stamp.write(filler)).await?;
    // A reader that failed says so below.
    let _over = tell.send(Some(tally.records));
    let (read, latency) = reader.await.map_err(|error| Failure::new(Exit::Failure, error.to_string()))??;
    let missing = tally.records.saturating_sub(read);
    let mut produced = ProduceReport::new(&load, partitions, took.as_secs_f64(), &tally);
    produced.rename("e2e");
    context.print(&EndToEndReport { produced, read, missing, end_to_end_us: latency.report() })?;
    if missing > 0 {
        let said = format!("{missing} acknowledged records were not read within {} s", READ_WAIT.as_secs());
        return Err(Failure::new(Exit::Problem, said));
    }
    load.tell_leftovers(context, tally.records);
    judge(tally)?;
    super::ended(interrupts)
}

/// Reads until as many records of this run came as are wanted, once that is known.
async fn read(
    mut consumer: Consumer,
    stamp: Stamp,
    mut wanted: watch::Receiver<Option<u64>>,
) -> Result<(u64, Latency), Failure> {
    let (mut read, mut latency) = (0, Latency::default());
    loop {
        let known = *wanted.borrow_and_update();
        if known.is_some_and(|wanted| read >= wanted) {
            return Ok((read, latency));
        }
        let next = tokio::select! {
            changed = wanted.changed(), if known.is_none() => match changed {
                Ok(()) => continue,
                // The producers failed before they began.
                Err(_) => return Ok((read, latency)),
            },
            () = tokio::time::sleep(READ_WAIT), if known.is_some() => return Ok((read, latency)),
            next = consumer.next_batch() => next,
        };
        let Some(batch) = next else { return Ok((read, latency)) };
        for record in batch?.records() {
            let record = record.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
            if let Some(age) = stamp.age(record.value.as_deref().unwrap_or_default()) {
                read += 1;
                latency.note(age);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_knows_its_own_run_only() {
        let stamp = Stamp { run: 7, began: Instant::now() };
        let value = stamp.write(&Bytes::from(vec![9; 20]));
        assert_eq!((value.len(), value[19]), (20, 9));
        assert!(stamp.age(&value).unwrap() < Duration::from_secs(60));
        assert_eq!(Stamp { run: 8, ..stamp }.age(&value), None);
        assert_eq!(stamp.age(&value[..15]), None);
    }
}
