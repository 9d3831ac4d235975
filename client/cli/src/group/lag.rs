//! `group lag`: how far a group is behind, in records and in time.

use fidelog_client::PartitionLag;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Rows, or_dash};
use crate::quantity::duration_ms;

/// Show how far a group is behind, in records and in time
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog group lag billing
  fidelog group lag billing orders -o jsonl

Time is the age of the oldest record not yet processed, by its own timestamp.")]
pub(super) struct Lag {
    /// The group
    group: String,
    /// Only this topic
    topic: Option<String>,
}

#[derive(Debug, Serialize)]
struct LagRow {
    group: String,
    topic: String,
    partition: u32,
    position: Option<u64>,
    committed_end: u64,
    lag_records: u64,
    lag_ms: u64,
}

impl LagRow {
    fn new(group: &str, topic: &str, lag: PartitionLag) -> Self {
        Self {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partition: lag.partition,
            position: lag.position,
            committed_end: lag.committed_end,
            lag_records: lag.records,
            lag_ms: lag.behind_ms,
        }
    }
}

impl Row for LagRow {
    const COLUMNS: &'static [&'static str] =
        &["TOPIC", "PARTITION", "POSITION", "COMMITTED-END", "LAG", "BEHIND"];

    fn name(&self) -> String {
        format!("{}/{}/{}", self.group, self.topic, self.partition)
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            or_dash(self.position),
            self.committed_end.to_string(),
            self.lag_records.to_string(),
            duration_ms(self.lag_ms),
        ]
    }
}

pub(super) async fn run(context: &Context, command: &Lag) -> Result<Exit, Failure> {
    let group = &command.group;
    let admin = context.connect().await?.admin();
    let topics = match &command.topic {
        Some(topic) => vec![topic.clone()],
        None => {
            let known = admin.describe_group(group).await?.ok_or_else(|| super::unknown(group))?;
            known.topics.into_iter().map(|topic| topic.topic).collect()
        }
    };
    let mut rows = Vec::new();
    for topic in &topics {
        let lags = admin.lag(group, topic).await?;
        rows.extend(lags.into_iter().map(|lag| LagRow::new(group, topic, lag)));
    }
    context.print(&Rows(rows))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::assert_golden;

    #[test]
    fn field_names_are_a_contract() {
        let lag =
            PartitionLag { partition: 1, position: Some(5), committed_end: 9, records: 4, behind_ms: 61_000 };
        let row = LagRow::new("billing", "orders", lag);
        assert_eq!(row.cells()[5], "1m 1s");
        assert_golden(&Rows(vec![row]), include_str!("../../golden/group_lag.json"));
    }
}
