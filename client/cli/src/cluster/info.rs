//! `cluster info`: who is there, who decides, and what is in trouble.

use fidelog_client::types::ClusterId;
use fidelog_client::wire::{Broker, DescribeClusterResponse};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Show, Table};
use crate::quantity::duration_ms;

/// Show brokers, the controller, and partitions in trouble
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog cluster info
  fidelog -b broker-2:9094 cluster info -o wide
  fidelog cluster info -o name")]
pub(super) struct Info {}

/// As one broker sees it.
#[derive(Debug, Serialize)]
struct ClusterReport {
    cluster_id: String,
    answered_by: u32,
    version: String,
    /// `None`: none is known.
    controller: Option<u32>,
    quorum_reachable: bool,
    quorum_silent_ms: u64,
    metadata_index: u64,
    topics: u32,
    partitions: u32,
    under_replicated: u32,
    leaderless: u32,
    /// Brokers that the answering one is not in touch with: what they lead can neither be read nor written.
    unreachable: Vec<u32>,
    brokers: Vec<BrokerRow>,
}

#[derive(Debug, Serialize)]
struct BrokerRow {
    id: u32,
    address: String,
    rack: String,
    reachable: bool,
    broker_epoch: u64,
    directory_id: String,
}

impl From<Broker> for BrokerRow {
    fn from(broker: Broker) -> Self {
        Self {
            id: broker.id,
            address: broker.address,
            rack: broker.rack,
            reachable: broker.reachable,
            broker_epoch: broker.broker_epoch,
            directory_id: crate::topic::id_text(&broker.directory_id),
        }
    }
}

impl Row for BrokerRow {
    const COLUMNS: &'static [&'static str] = &["BROKER", "ADDRESS", "REACHABLE", "RACK"];
    const WIDE: &'static [&'static str] = &["EPOCH", "DIRECTORY"];

    fn name(&self) -> String {
        self.address.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.id.to_string(), self.address.clone(), self.reachable.to_string(), self.rack.clone()]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![self.broker_epoch.to_string(), self.directory_id.clone()]
    }
}

impl From<DescribeClusterResponse> for ClusterReport {
    fn from(answer: DescribeClusterResponse) -> Self {
        let id = ClusterId::try_from(&answer.cluster_id[..]);
        Self {
            cluster_id: id.map_or_else(|_| "-".to_owned(), |id| id.to_string()),
            answered_by: answer.answered_by,
            version: answer.version,
            controller: (answer.controller != 0).then_some(answer.controller),
            quorum_reachable: answer.quorum_reachable,
            quorum_silent_ms: answer.quorum_silent_ms,
            metadata_index: answer.metadata_index,
            topics: answer.topics,
            partitions: answer.partitions,
            under_replicated: answer.under_replicated,
            leaderless: answer.leaderless,
            unreachable: answer.brokers.iter().filter(|it| !it.reachable).map(|it| it.id).collect(),
            brokers: answer.brokers.into_iter().map(BrokerRow::from).collect(),
        }
    }
}

impl Show for ClusterReport {
    fn names(&self) -> Vec<String> {
        self.brokers.iter().map(Row::name).collect()
    }

    fn table(&self, wide: bool) -> String {
        let quorum = match self.quorum_reachable {
            true => "in touch".to_owned(),
            false => format!("out of touch for {}", duration_ms(self.quorum_silent_ms)),
        };
        let facts = Table::facts([
            ("cluster", self.cluster_id.clone()),
            ("answered by", format!("broker {}, version {}", self.answered_by, self.version)),
            ("controller", crate::output::or_dash(self.controller)),
            ("quorum", format!("{quorum}, metadata index {}", self.metadata_index)),
            ("topics", self.topics.to_string()),
            ("partitions", self.partitions.to_string()),
            ("under-replicated", self.under_replicated.to_string()),
            ("leaderless", self.leaderless.to_string()),
            ("unreachable brokers", crate::output::list(&self.unreachable)),
        ]);
        format!("{facts}\n\n{}", Table::of(&self.brokers, wide))
    }
}

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let answer = context.connect().await?.admin().describe_cluster().await?;
    context.print(&ClusterReport::from(answer))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::assert_golden;

    #[test]
    fn field_names_are_a_contract() {
        let broker = Broker {
            id: 1,
            address: "localhost:9094".into(),
            broker_epoch: 3,
            reachable: true,
            directory_id: bytes::Bytes::from_static(&[2; 16]),
            ..Default::default()
        };
        let answer = DescribeClusterResponse {
            cluster_id: bytes::Bytes::from_static(&[1; 16]),
            brokers: vec![broker],
            controller: 1,
            quorum_silent_ms: 1500,
            metadata_index: 9,
            answered_by: 1,
            version: "0.1.0".into(),
            topics: 2,
            partitions: 6,
            ..Default::default()
        };
        let report = ClusterReport::from(answer);
        assert!(report.table(false).contains("out of touch for 1s 500ms"));
        assert_golden(&report, include_str!("../../golden/cluster_info.json"));
    }
}
