//! `group lag`: how far a group is behind, in records and in time.

use fidelog_client::wire::GroupTopic;
use fidelog_client::{Admin, PartitionLag};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Rows, or_dash};
use crate::partial::Missing;
use crate::quantity::duration_ms;

/// Show how far a group is behind, in records and in time
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog group lag billing
  fidelog group lag billing orders -o jsonl

Time is the age of the oldest record not yet processed, by its own timestamp. Partitions whose leader does not answer
are named, and the exit code is 7. Positions of a topic that was deleted are shown as such; `group rm` forgets them.")]
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
    /// `None`, as everything below: it is not known, and `problem` says why.
    committed_end: Option<u64>,
    lag_records: Option<u64>,
    lag_ms: Option<u64>,
    problem: Option<String>,
}

impl LagRow {
    fn new(group: &str, topic: &str, lag: PartitionLag) -> Self {
        let beyond = lag.position.is_some_and(|position| position > lag.committed_end);
        Self {
            committed_end: Some(lag.committed_end),
            lag_records: Some(lag.records),
            lag_ms: Some(lag.behind_ms),
            problem: beyond.then(|| "the position lies beyond the end: move it with `group seek`".to_owned()),
            ..Self::unknown(group, topic, lag.partition, lag.position, String::new())
        }
    }

    fn unknown(group: &str, topic: &str, partition: u32, position: Option<u64>, problem: String) -> Self {
        Self {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partition,
            position,
            committed_end: None,
            lag_records: None,
            lag_ms: None,
            problem: Some(problem),
        }
    }
}

impl Row for LagRow {
    const COLUMNS: &'static [&'static str] =
        &["TOPIC", "PARTITION", "POSITION", "COMMITTED-END", "LAG", "BEHIND", "PROBLEM"];

    fn name(&self) -> String {
        format!("{}/{}/{}", self.group, self.topic, self.partition)
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            or_dash(self.position),
            or_dash(self.committed_end),
            or_dash(self.lag_records),
            self.lag_ms.map_or_else(|| "-".to_owned(), duration_ms),
            self.problem.clone().unwrap_or_default(),
        ]
    }
}

/// The rows that can be told, and the partitions that cannot.
#[derive(Debug)]
struct Survey {
    rows: Vec<LagRow>,
    failures: Vec<(String, Failure)>,
}

impl Survey {
    async fn topic(&mut self, admin: &Admin, group: &str, topic: &str) -> Result<(), Failure> {
        let positions = admin.fetch_positions(group, topic).await?;
        let stored = |partition| positions.iter().find(|it| it.partition == partition)?.offset;
        for (partition, answer) in admin.lag(group, topic).await? {
            match answer {
                Ok(lag) => self.rows.push(LagRow::new(group, topic, lag)),
                Err(error) => {
                    let said = error.to_string();
                    self.rows.push(LagRow::unknown(group, topic, partition, stored(partition), said));
                    self.failures.push((format!("{topic}/{partition}"), error.into()));
                }
            }
        }
        Ok(())
    }

    fn deleted(&mut self, group: &str, topic: &GroupTopic) {
        let name = super::topic_name(topic);
        self.rows.extend(topic.positions.iter().map(|position| {
            let said = "its topic was deleted; `group rm --topic ID` forgets it".to_owned();
            LagRow::unknown(group, &name, position.partition, position.offset, said)
        }));
    }
}

pub(super) async fn run(context: &Context, command: &Lag) -> Result<Exit, Failure> {
    let group = &command.group;
    let admin = context.connect().await?.admin();
    let mut survey = Survey { rows: Vec::new(), failures: Vec::new() };
    match &command.topic {
        Some(topic) => survey.topic(&admin, group, topic).await?,
        None => {
            let known = admin.describe_group(group).await?.ok_or_else(|| super::unknown(group))?;
            for topic in &known.topics {
                match topic.topic.is_empty() {
                    true => survey.deleted(group, topic),
                    false => survey.topic(&admin, group, &topic.topic).await?,
                }
            }
        }
    }
    let mut missing = Missing::new("did not answer", survey.rows.len());
    survey.failures.into_iter().for_each(|(partition, failure)| missing.note(partition, failure));
    context.print(&Rows(survey.rows))?;
    missing.judge()
}

#[cfg(test)]
mod tests {
    use fidelog_client::wire::Position;

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

    /// A lag of 0 was told of a group whose position no record will ever reach again.
    #[test]
    fn a_position_beyond_the_end_is_told() {
        let lag =
            PartitionLag { partition: 0, position: Some(9), committed_end: 5, records: 0, behind_ms: 0 };
        assert!(LagRow::new("billing", "orders", lag).problem.is_some());
    }

    #[test]
    fn a_deleted_topic_is_marked_and_no_failure() {
        let positions = vec![Position { partition: 3, offset: Some(8), ..Default::default() }];
        let topic =
            GroupTopic { topic_id: bytes::Bytes::from_static(&[1; 16]), positions, ..Default::default() };
        let mut survey = Survey { rows: Vec::new(), failures: Vec::new() };
        survey.deleted("billing", &topic);
        let cells = survey.rows[0].cells();
        let expected = ["(deleted topic 01010101-0101-0101-0101-010101010101)", "3", "8", "-", "-", "-"];
        assert_eq!(cells[..6], expected);
        assert!(survey.failures.is_empty());
    }
}
