//! `cluster feature`: the level of features, and raising it.

use clap::Subcommand;
use fidelog_client::wire::DescribeFeaturesResponse;
use serde::Serialize;

use crate::confirm::Consent;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Show, Table};

/// Show the level of features the cluster is at, and what its nodes know
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  fidelog cluster feature
  fidelog cluster feature raise"
)]
pub(super) struct Feature {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Raise the level by one, once every node runs a version that knows it
    #[command(after_help = "Examples:
  fidelog cluster feature raise
  fidelog cluster feature raise --yes

It is never lowered again: nodes of older versions cannot take part from then on. Refused while a node does not know it.")]
    Raise {
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Debug, Serialize)]
struct FeatureReport {
    level: u32,
    /// The highest level that every node knows.
    level_max: u32,
    nodes: Vec<NodeRow>,
}

#[derive(Debug, Serialize)]
struct NodeRow {
    broker: u32,
    level_max: u32,
}

impl Row for NodeRow {
    const COLUMNS: &'static [&'static str] = &["BROKER", "KNOWS UP TO"];
    const WIDE: &'static [&'static str] = &[];

    fn name(&self) -> String {
        self.broker.to_string()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.broker.to_string(), self.level_max.to_string()]
    }

    fn wide_cells(&self) -> Vec<String> {
        Vec::new()
    }
}

impl From<DescribeFeaturesResponse> for FeatureReport {
    fn from(answer: DescribeFeaturesResponse) -> Self {
        let node = |it: fidelog_client::wire::NodeFeatures| NodeRow {
            broker: it.broker_id,
            level_max: it.level_max,
        };
        Self {
            level: answer.level,
            level_max: answer.level_max,
            nodes: answer.nodes.into_iter().map(node).collect(),
        }
    }
}

impl Show for FeatureReport {
    fn names(&self) -> Vec<String> {
        self.nodes.iter().map(Row::name).collect()
    }

    fn table(&self, wide: bool) -> String {
        let facts = Table::facts([
            ("level", self.level.to_string()),
            ("all nodes know", format!("up to {}", self.level_max)),
        ]);
        format!("{facts}\n\n{}", Table::of(&self.nodes, wide))
    }
}

pub(super) async fn run(context: &Context, feature: Feature) -> Result<Exit, Failure> {
    let admin = context.connect().await?.admin();
    if let Some(Command::Raise { consent }) = feature.command {
        let next = admin.describe_features().await?.level + 1;
        consent.ask(&format!("Raise the level of features to {next}, for good"))?;
        admin.raise_feature_level(next).await?;
        context.note(&format!("the cluster is at feature level {next}"));
    }
    let answer = admin.describe_features().await?;
    context.print(&FeatureReport::from(answer))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use fidelog_client::wire::NodeFeatures;

    use super::*;
    use crate::output::assert_golden;

    #[test]
    fn field_names_are_a_contract() {
        let node = |broker_id| NodeFeatures { broker_id, level_max: broker_id };
        let answer = DescribeFeaturesResponse { level: 1, level_max: 1, nodes: vec![node(1), node(2)] };
        let report = FeatureReport::from(answer);
        assert_golden(&report, include_str!("../../golden/cluster_feature.json"));
        assert!(report.table(false).contains("KNOWS UP TO"));
    }
}
