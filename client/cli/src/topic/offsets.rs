//! `topic offsets`.

use fidelog_client::OffsetAt;
use serde::Serialize;

use crate::context::{Context, unix_ms};
use crate::exit::{Exit, Failure};
use crate::offsets::OffsetSpec;
use crate::output::{Row, Rows};
use crate::quantity::time_ms;
use crate::resolve::{self, Bounds};

/// Show the offsets of a topic's partitions, or look one up
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog topic offsets orders
  fidelog topic offsets orders --at @-1h
  fidelog topic offsets orders --at @2026-01-31T10:00:00Z -o json")]
pub(super) struct Offsets {
    /// The topic
    topic: String,
    /// Only these partitions
    #[arg(short = 'p', long, value_name = "N,..", value_delimiter = ',')]
    partitions: Vec<u32>,
    /// What to look up; times find the first record at or after them
    #[arg(long, value_name = "OFFSET", default_value = "end", allow_hyphen_values = true)]
    at: OffsetSpec,
}

#[derive(Debug, Serialize)]
struct OffsetRow {
    topic: String,
    partition: u32,
    start_offset: u64,
    committed_end: u64,
    records: u64,
    at: u64,
    /// Of the record found by time.
    at_ms: Option<u64>,
}

impl Row for OffsetRow {
    const COLUMNS: &'static [&'static str] =
        &["PARTITION", "START", "COMMITTED-END", "RECORDS", "AT", "AT-TIME"];

    fn name(&self) -> String {
        format!("{}/{}@{}", self.topic, self.partition, self.at)
    }

    fn cells(&self) -> Vec<String> {
        let numbers =
            [u64::from(self.partition), self.start_offset, self.committed_end, self.records, self.at];
        let numbers = numbers.iter().map(ToString::to_string);
        numbers.chain([time_ms(self.at_ms.unwrap_or_default())]).collect()
    }
}

pub(super) async fn run(context: &Context, command: &Offsets) -> Result<Exit, Failure> {
    let topic = &command.topic;
    let client = context.connect().await?;
    let partitions = resolve::partitions(&client, topic, &command.partitions).await?;
    let asked_at = match command.at {
        OffsetSpec::Group => {
            return Err(Failure::usage(
                "a group's offsets are shown by `fidelog group desc` and `group lag`",
            ));
        }
        OffsetSpec::Time(ms) => OffsetAt::Timestamp(ms),
        OffsetSpec::Ago(ms) => OffsetAt::Timestamp(unix_ms().saturating_sub(ms)),
        _ => OffsetAt::End,
    };
    let asked = partitions.iter().map(|&partition| client.list_offsets(topic, partition, asked_at));
    let listed = futures::future::try_join_all(asked).await?;
    let rows = listed.into_iter().map(|listed| {
        let bounds = Bounds { start: listed.start_offset, committed_end: listed.committed_end };
        OffsetRow {
            topic: topic.clone(),
            partition: listed.partition,
            start_offset: listed.start_offset,
            committed_end: listed.committed_end,
            records: listed.committed_end.saturating_sub(listed.start_offset),
            at: resolve::within(bounds, command.at).unwrap_or(listed.offset),
            at_ms: (listed.timestamp_ms > 0).then_some(listed.timestamp_ms),
        }
    });
    context.print(&Rows(rows.collect()))?;
    Ok(Exit::Success)
}
