//! `topic ls`.

use fidelog_client::wire::TopicSummary;
use serde::Serialize;

use super::id_text;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Rows};

/// List topics
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "list",
    after_help = "Examples:
  fidelog topic ls
  fidelog topic ls --internal -o json
  fidelog topic ls -o name"
)]
pub(super) struct Ls {
    /// Also Fidelog's own topics
    #[arg(long)]
    internal: bool,
}

#[derive(Debug, Serialize)]
struct TopicRow {
    name: String,
    topic_id: String,
    partitions: u32,
    replication_factor: u32,
    internal: bool,
    under_replicated: u32,
    leaderless: u32,
}

impl From<TopicSummary> for TopicRow {
    fn from(topic: TopicSummary) -> Self {
        Self {
            topic_id: id_text(&topic.topic_id),
            name: topic.name,
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            internal: topic.internal,
            under_replicated: topic.under_replicated,
            leaderless: topic.leaderless,
        }
    }
}

impl Row for TopicRow {
    const COLUMNS: &'static [&'static str] =
        &["NAME", "PARTITIONS", "REPLICAS", "UNDER-REPLICATED", "LEADERLESS"];
    const WIDE: &'static [&'static str] = &["ID", "INTERNAL"];

    fn name(&self) -> String {
        self.name.clone()
    }

    fn cells(&self) -> Vec<String> {
        let numbers = [self.partitions, self.replication_factor, self.under_replicated, self.leaderless];
        std::iter::once(self.name.clone()).chain(numbers.map(|number| number.to_string())).collect()
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![self.topic_id.clone(), self.internal.to_string()]
    }
}

pub(super) async fn run(context: &Context, command: &Ls) -> Result<Exit, Failure> {
    let topics = context.connect().await?.admin().list_topics(command.internal).await?;
    context.print(&Rows(topics.into_iter().map(TopicRow::from).collect()))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::assert_golden;

    #[test]
    fn field_names_are_a_contract() {
        let topic = TopicSummary {
            name: "orders".into(),
            topic_id: bytes::Bytes::from_static(&[1; 16]),
            partitions: 3,
            replication_factor: 2,
            internal: false,
            under_replicated: 1,
            leaderless: 0,
        };
        assert_golden(&Rows(vec![TopicRow::from(topic)]), include_str!("../../golden/topic_ls.json"));
    }
}
