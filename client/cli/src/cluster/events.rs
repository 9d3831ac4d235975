//! `cluster events`: what happens, as it happens.

use std::io::Write;

use fidelog_client::ClusterEvents;
use fidelog_client::wire::ClusterEvent;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::output::{Format, Row, Stream};
use crate::quantity::time_ms;

/// Show what happens to brokers, topics and partitions, as it happens
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog cluster events --follow
  fidelog cluster events --follow -o jsonl
  fidelog cluster events --after 1041 -n 10

It goes on through lost connections. Every event carries a metadata index: --after it goes on there later. Brokers keep
the last 10,000 events since they started.")]
pub(super) struct Events {
    /// Until interrupted; the default
    #[arg(short = 'f', long, conflicts_with = "count")]
    follow: bool,
    /// Only so many events
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
    /// Also what happened after this metadata index
    #[arg(long, value_name = "INDEX", value_parser = clap::value_parser!(u64).range(1..))]
    after: Option<u64>,
}

#[derive(Debug, Serialize)]
struct EventRow {
    /// 0: not known.
    at_ms: u64,
    metadata_index: u64,
    kind: String,
    message: String,
    topic: Option<String>,
    partition: Option<u32>,
    broker: Option<u32>,
    before: String,
    after: String,
    leader_epoch: u32,
}

impl From<ClusterEvent> for EventRow {
    fn from(event: ClusterEvent) -> Self {
        Self {
            at_ms: event.at_ms,
            metadata_index: event.metadata_index,
            kind: event.kind,
            message: event.message,
            topic: Some(event.topic).filter(|topic| !topic.is_empty()),
            partition: event.partition,
            broker: (event.broker_id != 0).then_some(event.broker_id),
            before: event.before,
            after: event.after,
            leader_epoch: event.leader_epoch,
        }
    }
}

impl Row for EventRow {
    const COLUMNS: &'static [&'static str] = &["TIME", "EVENT", "WHAT"];
    const WIDE: &'static [&'static str] = &["INDEX", "BEFORE", "AFTER"];

    fn name(&self) -> String {
        self.kind.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![time_ms(self.at_ms), format!("{:<18}", self.kind), self.message.clone()]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![self.metadata_index.to_string(), self.before.clone(), self.after.clone()]
    }
}

pub(super) async fn run(context: &Context, command: &Events) -> Result<Exit, Failure> {
    debug_assert!(!command.follow || command.count.is_none(), "held by the arguments");
    let mut interrupts = Interrupts::listen();
    let mut events = tokio::select! {
        events = watch(context, command.after) => events?,
        () = interrupts.reached(1) => return Err(Failure::new(Exit::Interrupted, "interrupted")),
    };
    let format = context.format().unwrap_or(Format::Table);
    let mut out = Stream::new(std::io::stdout().lock(), format);
    let mut missed = 0;
    let mut left = command.count.unwrap_or(u64::MAX);
    while left > 0 {
        let event = tokio::select! {
            event = events.next() => event?,
            () = interrupts.reached(1) => break,
        };
        if events.missed() > missed {
            missed = events.missed();
            context.note("events before these are not kept any more");
        }
        print(&mut out, event).map_err(|error| Failure::stdout(&error))?;
        left -= 1;
    }
    out.end().map_err(|error| Failure::stdout(&error))?;
    Ok(Exit::Success)
}

async fn watch(context: &Context, after: Option<u64>) -> Result<ClusterEvents, Failure> {
    Ok(context.connect().await?.admin().watch_events(after).await?)
}

fn print<W: Write>(out: &mut Stream<W>, event: ClusterEvent) -> std::io::Result<()> {
    out.push(&EventRow::from(event))?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_names_are_a_contract() {
        let event = ClusterEvent {
            metadata_index: 8,
            at_ms: 1_767_225_600_000,
            kind: "leader_changed".into(),
            message: "partition orders/0: broker 2 leads it in epoch 5, before it broker 1".into(),
            topic: "orders".into(),
            partition: Some(0),
            broker_id: 2,
            before: "1".into(),
            after: "2".into(),
            leader_epoch: 5,
        };
        let printed = |format| {
            let mut bytes = Vec::new();
            let mut out = Stream::new(&mut bytes, format);
            print(&mut out, event.clone()).unwrap();
            drop(out);
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(printed(Format::Jsonl), include_str!("../../golden/cluster_event.jsonl"));
        assert!(printed(Format::Table).contains("2026-01-01"), "{}", printed(Format::Table));
    }
}
