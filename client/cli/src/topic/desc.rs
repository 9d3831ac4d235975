//! `topic desc`: leaders, in-sync sets, epochs, the four positions, and settings with their source.

use fidelog_client::wire::{
    DescribePartitionsResponse, PartitionDescription, ReplicaPositions, TopicDescription,
};
use serde::Serialize;

use super::config::ConfigRow;
use super::id_text;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Show, Table, list, or_dash};
use crate::quantity::{bytes, time_ms};

/// Describe a topic: leaders, replicas in sync, epochs, positions, settings
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "describe",
    after_help = "Examples:
  fidelog topic desc orders
  fidelog topic desc orders -o wide
  fidelog topic desc orders -o json

Positions of a partition, all ends exclusive: start <= committed_end <= durable_end <= end"
)]
pub(super) struct Desc {
    /// The topic
    topic: String,
}

/// A topic, as described by the cluster and by each of its brokers.
#[derive(Debug, Serialize)]
pub(super) struct TopicReport {
    name: String,
    topic_id: String,
    internal: bool,
    ready: bool,
    created_at_ms: u64,
    replication_factor: u32,
    partitions: Vec<PartitionReport>,
    configs: Vec<ConfigRow>,
}

#[derive(Debug, Serialize)]
struct PartitionReport {
    partition: u32,
    /// `None`: nobody leads, and `offline` says why.
    leader: Option<u32>,
    /// Whether the broker that answered cannot reach the leader; `offline` says so then.
    leader_unreachable: bool,
    leader_epoch: u32,
    partition_epoch: u64,
    replicas: Vec<u32>,
    isr: Vec<u32>,
    eligible: Vec<u32>,
    offline: String,
    /// As the leader sees its own log; `None` when it did not say.
    positions: Option<Positions>,
    /// As each broker that answered sees its own replica.
    replica_positions: Vec<ReplicaReport>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Positions {
    start_offset: u64,
    committed_end: u64,
    durable_end: u64,
    end_offset: u64,
}

#[derive(Debug, Serialize)]
struct ReplicaReport {
    broker: u32,
    role: String,
    leader_epoch: u32,
    #[serde(flatten)]
    positions: Positions,
    stored_bytes: u64,
    segments: u32,
    newest_ms: u64,
    problem: String,
}

impl ReplicaReport {
    fn new(broker: u32, replica: &ReplicaPositions) -> Self {
        Self {
            broker,
            role: replica.role.clone(),
            leader_epoch: replica.leader_epoch,
            positions: Positions {
                start_offset: replica.start_offset,
                committed_end: replica.committed_end,
                durable_end: replica.durable_end,
                end_offset: replica.end_offset,
            },
            stored_bytes: replica.stored_bytes,
            segments: replica.segments,
            newest_ms: replica.newest_ms,
            problem: replica.problem.clone(),
        }
    }
}

impl TopicReport {
    /// `answers` may lack brokers that did not answer.
    pub(super) fn new(topic: TopicDescription, answers: Vec<DescribePartitionsResponse>) -> Self {
        let partitions = topic.partitions.into_iter();
        Self {
            name: topic.name,
            topic_id: id_text(&topic.topic_id),
            internal: topic.internal,
            ready: topic.ready,
            created_at_ms: topic.created_at_ms,
            replication_factor: topic.replication_factor,
            partitions: partitions.map(|partition| PartitionReport::new(partition, &answers)).collect(),
            configs: topic.configs.into_iter().map(ConfigRow::from).collect(),
        }
    }

    fn replicas_table(&self) -> Table {
        let mut table = Table::new(&[
            "PARTITION",
            "BROKER",
            "ROLE",
            "EPOCH",
            "START",
            "COMMITTED",
            "DURABLE",
            "END",
            "STORED",
            "SEGMENTS",
            "NEWEST",
            "PROBLEM",
        ]);
        for partition in &self.partitions {
            for replica in &partition.replica_positions {
                table.push(replica.cells(partition.partition));
            }
        }
        table
    }
}

impl PartitionReport {
    fn new(partition: PartitionDescription, answers: &[DescribePartitionsResponse]) -> Self {
        let replicas = answers.iter().flat_map(|answer| {
            let own = answer.partitions.iter().filter(|replica| replica.partition == partition.partition);
            own.map(|replica| ReplicaReport::new(answer.broker_id, replica))
        });
        let mut replica_positions: Vec<_> = replicas.collect();
        replica_positions.sort_by_key(|replica| replica.broker);
        let leader = (partition.leader != 0).then_some(partition.leader);
        let leads = |replica: &&ReplicaReport| Some(replica.broker) == leader && replica.role == "leader";
        Self {
            partition: partition.partition,
            leader,
            leader_unreachable: partition.leader_unreachable,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            replicas: partition.replicas,
            isr: partition.isr,
            eligible: partition.eligible,
            offline: partition.offline,
            positions: replica_positions.iter().find(leads).map(|replica| replica.positions),
            replica_positions,
        }
    }

    fn cells(&self) -> Vec<String> {
        let position = |of: fn(&Positions) -> u64| or_dash(self.positions.as_ref().map(of));
        vec![
            self.partition.to_string(),
            or_dash(self.leader),
            self.leader_epoch.to_string(),
            list(&self.replicas),
            list(&self.isr),
            position(|at| at.start_offset),
            position(|at| at.committed_end),
            position(|at| at.durable_end),
            position(|at| at.end_offset),
            self.offline.clone(),
        ]
    }
}

impl ReplicaReport {
    fn cells(&self, partition: u32) -> Vec<String> {
        let Positions { start_offset, committed_end, durable_end, end_offset } = self.positions;
        let mut cells = vec![partition.to_string(), self.broker.to_string(), self.role.clone()];
        cells.push(self.leader_epoch.to_string());
        cells.extend([start_offset, committed_end, durable_end, end_offset].map(|offset| offset.to_string()));
        cells.extend([bytes(self.stored_bytes), self.segments.to_string(), time_ms(self.newest_ms)]);
        cells.push(self.problem.clone());
        cells
    }
}

impl Show for TopicReport {
    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn table(&self, wide: bool) -> String {
        let facts = Table::facts([
            ("topic", self.name.clone()),
            ("id", self.topic_id.clone()),
            ("replicas", self.replication_factor.to_string()),
            ("ready", self.ready.to_string()),
            ("created", time_ms(self.created_at_ms)),
        ]);
        let mut partitions = Table::new(&[
            "PARTITION",
            "LEADER",
            "EPOCH",
            "REPLICAS",
            "ISR",
            "START",
            "COMMITTED",
            "DURABLE",
            "END",
            "OFFLINE",
        ]);
        self.partitions.iter().for_each(|partition| partitions.push(partition.cells()));
        let mut sections = vec![facts.to_string(), partitions.to_string()];
        if wide {
            sections.push(self.replicas_table().to_string());
        }
        sections.push(Table::of(&self.configs, wide).to_string());
        sections.join("\n\n")
    }
}

pub(super) async fn run(context: &Context, command: &Desc) -> Result<Exit, Failure> {
    let topic = &command.topic;
    let admin = context.connect().await?.admin();
    let described = admin.describe_topic(topic).await;
    let described = described.map_err(|error| Failure::from(error).context(format!("topic `{topic}`")))?;
    let answers = match admin.describe_partitions(topic).await {
        Ok(answers) => answers,
        Err(error) => {
            context.note(&format!("positions are not known: {error}"));
            Vec::new()
        }
    };
    context.print(&TopicReport::new(described, answers))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use fidelog_client::wire::ConfigValue;

    use super::*;
    use crate::output::assert_golden;

    fn report() -> TopicReport {
        let partition = PartitionDescription {
            partition: 0,
            leader: 1,
            leader_epoch: 4,
            partition_epoch: 7,
            replicas: vec![1, 2],
            isr: vec![1],
            eligible: vec![1],
            offline: String::new(),
            ..Default::default()
        };
        let config =
            ConfigValue { key: "retention_ms".into(), value: "604800000".into(), source: "default".into() };
        let topic = TopicDescription {
            name: "orders".into(),
            topic_id: bytes::Bytes::from_static(&[1; 16]),
            replication_factor: 2,
            created_at_ms: 1_767_225_600_000,
            ready: true,
            partitions: vec![
                partition.clone(),
                PartitionDescription { partition: 1, leader: 0, offline: "no replica".into(), ..partition },
            ],
            configs: vec![config],
            ..Default::default()
        };
        let replica = |role: &str, end_offset| ReplicaPositions {
            role: role.into(),
            leader_epoch: 4,
            start_offset: 1,
            committed_end: 2,
            durable_end: 3,
            end_offset,
            stored_bytes: 4096,
            segments: 1,
            ..Default::default()
        };
        let answer = |broker_id, replica| DescribePartitionsResponse {
            broker_id,
            partitions: vec![replica],
            ..Default::default()
        };
        let answers = vec![answer(2, replica("follower", 3)), answer(1, replica("leader", 9))];
        TopicReport::new(topic, answers)
    }

    #[test]
    fn field_names_are_a_contract() {
        assert_golden(&report(), include_str!("../../golden/topic_desc.json"));
    }

    #[test]
    fn positions_are_the_leaders() {
        let report = report();
        assert_eq!(report.partitions[0].cells()[5..9], ["1", "2", "3", "9"]);
        assert_eq!(report.partitions[1].cells()[1], "-");
        assert!(report.table(false).contains("no replica"));
        assert!(report.table(true).contains("follower"));
    }
}
