//! From the consumer to stdout, and from there to the group's positions: never the other way round.

use std::collections::BTreeMap;
use std::io::Stdout;
use std::time::Duration;

use fidelog_client::{ConsumedBatch, Consumer, ConsumerPosition};

use super::printer::Printer;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::partial::Missing;

/// How far behind stdout a group's position may be.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    AtEnd,
    Interrupted,
}

pub(super) struct Pump {
    consumer: Consumer,
    printer: Printer<Stdout>,
    interrupts: Interrupts,
    /// Records still to be printed; `None`: all.
    left: Option<u64>,
    printed: u64,
    commits: bool,
    /// What stdout took and the group does not know yet.
    taken: BTreeMap<u32, ConsumerPosition>,
    /// Partitions whose reading ended with an error.
    missing: Missing,
    /// How many of them were told.
    told: usize,
}

impl Pump {
    pub(super) fn new(
        consumer: Consumer,
        printer: Printer<Stdout>,
        interrupts: Interrupts,
        count: Option<u64>,
        commits: bool,
        missing: Missing,
    ) -> Self {
        Self {
            consumer,
            printer,
            interrupts,
            left: count,
            printed: 0,
            commits,
            taken: BTreeMap::new(),
            missing,
            told: 0,
        }
    }

    pub(super) fn printed(&self) -> u64 {
        self.printed
    }

    /// Reads until the end, an interrupt, or until nothing can be read any more.
    pub(super) async fn run(&mut self, context: &Context) -> Result<Ended, Failure> {
        let pumped = self.pump(context).await;
        let closed = match &pumped {
            Ok(_) => self.printer.end().map_err(|error| Failure::stdout(&error)),
            Err(_) => Ok(()),
        };
        // Whatever ended it: what stdout took is not to come again.
        let committed = self.commit().await;
        let ended = pumped?;
        closed?;
        committed?;
        let missing = std::mem::replace(&mut self.missing, Missing::new("", 0));
        missing.judge()?;
        Ok(ended)
    }

    async fn pump(&mut self, context: &Context) -> Result<Ended, Failure> {
        let mut interrupts = self.interrupts.clone();
        let mut tick = tokio::time::interval(COMMIT_INTERVAL);
        while self.left != Some(0) {
            // The consumer's future may be dropped: nothing is lost.
            let next = tokio::select! {
                biased;
                () = interrupts.reached(1) => return Ok(Ended::Interrupted),
                _ = tick.tick() => {
                    self.tell_missing(context);
                    self.commit().await?;
                    continue;
                }
                next = self.consumer.next_batch() => next,
            };
            match next {
                None => break,
                Some(Ok(batch)) => self.print(&batch)?,
                Some(Err(error)) => {
                    let partition =
                        error.partition().map_or("?".to_owned(), |partition| partition.to_string());
                    self.missing.note(partition, Failure::from(error));
                }
            }
        }
        Ok(Ended::AtEnd)
    }

    fn print(&mut self, batch: &ConsumedBatch) -> Result<(), Failure> {
        let mut reached = None;
        for record in batch.records() {
            if self.left == Some(0) {
                break;
            }
            let record = record.map_err(|error| {
                let said = format!("partition {}: {error}", batch.partition());
                Failure::new(Exit::Failure, said)
            });
            let record = match record {
                Ok(record) => record,
                Err(failure) => {
                    self.flush(reached)?;
                    return Err(failure);
                }
            };
            self.printer.print(&record).map_err(|error| Failure::stdout(&error))?;
            self.left = self.left.map(|left| left - 1);
            self.printed += 1;
            reached = Some(record.end_position());
        }
        let whole = reached.is_none_or(|reached| reached.offset >= batch.end());
        self.flush(if self.left != Some(0) || whole { Some(batch.end_position()) } else { reached })
    }

    /// Only what stdout took counts.
    fn flush(&mut self, reached: Option<ConsumerPosition>) -> Result<(), Failure> {
        self.printer.flush().map_err(|error| Failure::stdout(&error))?;
        if self.commits {
            self.taken.extend(reached.map(|reached| (reached.partition, reached)));
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        if self.taken.is_empty() {
            return Ok(());
        }
        let taken: Vec<_> = std::mem::take(&mut self.taken).into_values().collect();
        Ok(self.consumer.commit(&taken).await?)
    }

    /// Those that came together are told together, while the others are read on; all of them at the end.
    fn tell_missing(&mut self, context: &Context) {
        if self.missing.count() > self.told {
            context.note(&self.missing.told_from(self.told));
            self.told = self.missing.count();
        }
    }
}
