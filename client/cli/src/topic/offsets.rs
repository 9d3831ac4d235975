//! `topic offsets`.

use fidelog_client::{ListedOffset, OffsetAt, RequestError};
use serde::Serialize;

use crate::context::{Context, unix_ms};
use crate::exit::{Exit, Failure};
use crate::offsets::OffsetSpec;
use crate::output::{Row, Rows, or_dash};
use crate::partial::Missing;
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
    /// `None`, as everything below: its leader did not answer, and `problem` says why.
    start_offset: Option<u64>,
    committed_end: Option<u64>,
    records: Option<u64>,
    at: Option<u64>,
    /// Of the record found by time.
    at_ms: Option<u64>,
    problem: Option<String>,
}

impl OffsetRow {
    fn new(topic: &str, partition: u32, at: OffsetSpec, answer: &Result<ListedOffset, RequestError>) -> Self {
        let listed = answer.as_ref().ok();
        let bounds = listed.map(|it| Bounds { start: it.start_offset, committed_end: it.committed_end });
        Self {
            topic: topic.to_owned(),
            partition,
            start_offset: bounds.map(|bounds| bounds.start),
            committed_end: bounds.map(|bounds| bounds.committed_end),
            records: bounds.map(|bounds| bounds.committed_end.saturating_sub(bounds.start)),
            at: bounds.and_then(|bounds| resolve::within(bounds, at)).or(listed.map(|it| it.offset)),
            at_ms: listed.map(|it| it.timestamp_ms).filter(|ms| *ms > 0),
            problem: answer.as_ref().err().map(ToString::to_string),
        }
    }
}

impl Row for OffsetRow {
    const COLUMNS: &'static [&'static str] =
        &["PARTITION", "START", "COMMITTED-END", "RECORDS", "AT", "AT-TIME", "PROBLEM"];

    fn name(&self) -> String {
        format!("{}/{}@{}", self.topic, self.partition, or_dash(self.at))
    }

    fn cells(&self) -> Vec<String> {
        let numbers = [self.start_offset, self.committed_end, self.records, self.at].map(or_dash);
        let mut cells = vec![self.partition.to_string()];
        cells.extend(numbers);
        cells.extend([time_ms(self.at_ms.unwrap_or_default()), self.problem.clone().unwrap_or_default()]);
        cells
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
    let mut missing = Missing::new("did not answer", partitions.len());
    let mut rows = Vec::new();
    for (partition, answer) in client.list_offsets_each(topic, &partitions, asked_at).await {
        rows.push(OffsetRow::new(topic, partition, command.at, &answer));
        if let Err(error) = answer {
            missing.note(partition, error.into());
        }
    }
    context.print(&Rows(rows))?;
    missing.judge()
}
