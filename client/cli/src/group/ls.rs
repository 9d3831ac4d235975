//! `group ls`.

use fidelog_client::wire::GroupDescription;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Rows};
use crate::quantity::time_ms;

/// List groups
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "list",
    after_help = "Examples:
  fidelog group ls
  fidelog group ls -o name"
)]
pub(super) struct Ls {}

#[derive(Debug, Serialize)]
struct GroupRow {
    group: String,
    topics: Vec<String>,
    positions: usize,
    committed_at_ms: u64,
}

impl From<GroupDescription> for GroupRow {
    fn from(group: GroupDescription) -> Self {
        let positions = || group.topics.iter().flat_map(|topic| &topic.positions);
        Self {
            positions: positions().count(),
            committed_at_ms: positions().map(|position| position.committed_at_ms).max().unwrap_or(0),
            topics: group.topics.iter().map(|topic| topic.topic.clone()).collect(),
            group: group.group,
        }
    }
}

impl Row for GroupRow {
    const COLUMNS: &'static [&'static str] = &["GROUP", "TOPICS", "POSITIONS", "LAST-COMMIT"];

    fn name(&self) -> String {
        self.group.clone()
    }

    fn cells(&self) -> Vec<String> {
        let Self { group, topics, positions, committed_at_ms } = self;
        vec![group.clone(), topics.join(","), positions.to_string(), time_ms(*committed_at_ms)]
    }
}

pub(super) async fn run(context: &Context, _: &Ls) -> Result<Exit, Failure> {
    let groups = context.connect().await?.admin().list_groups().await?;
    context.print(&Rows(groups.into_iter().map(GroupRow::from).collect()))?;
    Ok(Exit::Success)
}
