//! `group desc`.

use fidelog_client::wire::{GroupDescription, Position};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Rows, or_dash};
use crate::quantity::time_ms;

/// Show a group's positions and who holds them
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "describe",
    after_help = "Examples:
  fidelog group desc billing
  fidelog group desc billing -o json"
)]
pub(super) struct Desc {
    /// The group
    group: String,
}

#[derive(Debug, Serialize)]
pub(super) struct PositionRow {
    group: String,
    topic: String,
    partition: u32,
    /// The first offset not yet processed; `None`: none stored.
    offset: Option<u64>,
    leader_epoch: u32,
    generation: u64,
    owner: String,
    committed_at_ms: u64,
}

impl PositionRow {
    fn new(group: &str, topic: &str, position: Position) -> Self {
        Self {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partition: position.partition,
            offset: position.offset,
            leader_epoch: position.leader_epoch,
            generation: position.generation,
            owner: position.owner,
            committed_at_ms: position.committed_at_ms,
        }
    }
}

impl Row for PositionRow {
    const COLUMNS: &'static [&'static str] =
        &["TOPIC", "PARTITION", "OFFSET", "COMMITTED-AT", "OWNER", "GENERATION"];
    const WIDE: &'static [&'static str] = &["EPOCH"];

    fn name(&self) -> String {
        format!("{}/{}/{}@{}", self.group, self.topic, self.partition, or_dash(self.offset))
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            or_dash(self.offset),
            time_ms(self.committed_at_ms),
            self.owner.clone(),
            self.generation.to_string(),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![self.leader_epoch.to_string()]
    }
}

fn rows(group: GroupDescription) -> Rows<PositionRow> {
    let name = &group.group;
    let topics = group.topics.into_iter();
    let rows = topics.flat_map(|topic| {
        let topic_name = super::topic_name(&topic);
        topic.positions.into_iter().map(move |position| PositionRow::new(name, &topic_name, position))
    });
    Rows(rows.collect())
}

pub(super) async fn run(context: &Context, command: &Desc) -> Result<Exit, Failure> {
    let group = context.connect().await?.admin().describe_group(&command.group).await?;
    let group = group.ok_or_else(|| super::unknown(&command.group))?;
    context.print(&rows(group))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use fidelog_client::wire::GroupTopic;

    use super::*;
    use crate::output::assert_golden;

    #[test]
    fn field_names_are_a_contract() {
        let position = |partition, offset| Position {
            partition,
            offset,
            leader_epoch: 4,
            generation: 2,
            owner: "host/7".into(),
            committed_at_ms: 1_767_225_600_000,
        };
        let topic = GroupTopic {
            topic: "orders".into(),
            positions: vec![position(0, Some(12)), position(1, None)],
            ..Default::default()
        };
        let group = GroupDescription { group: "billing".into(), topics: vec![topic] };
        assert_golden(&rows(group), include_str!("../../golden/group_desc.json"));
    }
}
