//! `topic du`.

use std::collections::BTreeMap;

use fidelog_client::wire::DescribePartitionsResponse;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Rows};
use crate::quantity::bytes;

/// Show the disk space that topics take, broker by broker
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog topic du
  fidelog topic du orders -o json")]
pub(super) struct Du {
    /// Only this topic
    topic: Option<String>,
    /// Also Fidelog's own topics
    #[arg(long)]
    internal: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct UsageRow {
    topic: String,
    broker: u32,
    partitions: u64,
    segments: u64,
    stored_bytes: u64,
}

impl Row for UsageRow {
    const COLUMNS: &'static [&'static str] = &["TOPIC", "BROKER", "PARTITIONS", "SEGMENTS", "STORED"];
    const WIDE: &'static [&'static str] = &["BYTES"];

    fn name(&self) -> String {
        format!("{}/{}", self.topic, self.broker)
    }

    fn cells(&self) -> Vec<String> {
        let Self { topic, broker, partitions, segments, stored_bytes } = self;
        vec![
            topic.clone(),
            broker.to_string(),
            partitions.to_string(),
            segments.to_string(),
            bytes(*stored_bytes),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![self.stored_bytes.to_string()]
    }
}

/// One row a broker.
fn usage(topic: &str, answers: &[DescribePartitionsResponse]) -> Vec<UsageRow> {
    let mut rows = BTreeMap::new();
    for answer in answers.iter().filter(|answer| !answer.partitions.is_empty()) {
        let sum = |of: fn(&fidelog_client::wire::ReplicaPositions) -> u64| {
            answer.partitions.iter().map(of).fold(0, u64::saturating_add)
        };
        let row = UsageRow {
            topic: topic.to_owned(),
            broker: answer.broker_id,
            partitions: answer.partitions.len() as u64,
            segments: sum(|replica| replica.segments.into()),
            stored_bytes: sum(|replica| replica.stored_bytes),
        };
        rows.insert(answer.broker_id, row);
    }
    rows.into_values().collect()
}

pub(super) async fn run(context: &Context, command: &Du) -> Result<Exit, Failure> {
    let admin = context.connect().await?.admin();
    let topics = match &command.topic {
        Some(topic) => vec![topic.clone()],
        None => admin.list_topics(command.internal).await?.into_iter().map(|topic| topic.name).collect(),
    };
    let mut rows = Vec::new();
    for topic in &topics {
        rows.extend(usage(topic, &admin.describe_partitions(topic).await?));
    }
    context.print(&Rows(rows))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use fidelog_client::wire::ReplicaPositions;

    use super::*;

    #[test]
    fn usage_is_summed_by_broker() {
        let replica = |bytes| ReplicaPositions { stored_bytes: bytes, segments: 2, ..Default::default() };
        let answer = |broker_id, replicas: &[u64]| DescribePartitionsResponse {
            broker_id,
            partitions: replicas.iter().copied().map(replica).collect(),
            ..Default::default()
        };
        let rows = usage("t", &[answer(2, &[5]), answer(1, &[1024, 512]), answer(3, &[])]);
        let cells: Vec<_> = rows.iter().map(Row::cells).collect();
        assert_eq!(cells, [["t", "1", "2", "4", "1.5 KiB"], ["t", "2", "1", "2", "5 B"]]);
    }
}
