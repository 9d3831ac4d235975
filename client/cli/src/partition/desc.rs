//! `partition desc`: one partition, and each replica as its broker sees it.

use fidelog_client::ListPartitions;
use fidelog_client::wire::{DescribePartitionsResponse, FollowerPositions, ReplicaPositions};
use serde::Serialize;

use super::PartitionName;
use super::report::PartitionRow;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Row, Show, Table, or_dash};

/// Show one partition and each of its replicas
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "describe",
    after_help = "Examples:
  fidelog partition desc orders/0
  fidelog partition desc orders/0 -o json

Positions, all ends exclusive: start <= committed_end <= durable_end <= end"
)]
pub(super) struct Desc {
    /// The partition
    #[arg(value_name = "TOPIC/PARTITION")]
    partition: PartitionName,
}

#[derive(Debug, Serialize)]
struct PartitionReport {
    #[serde(flatten)]
    partition: PartitionRow,
    replica_positions: Vec<ReplicaRow>,
}

/// A replica as its own broker sees it, and as its leader does.
#[derive(Debug, Serialize)]
struct ReplicaRow {
    broker: u32,
    role: String,
    leader_epoch: u32,
    start_offset: u64,
    committed_end: u64,
    durable_end: u64,
    end_offset: u64,
    stored_bytes: u64,
    /// How far it is behind the leader, in offsets, as the leader knows; `None`: it does not, or leads itself.
    behind: Option<u64>,
    problem: String,
}

impl ReplicaRow {
    fn new(broker: u32, replica: &ReplicaPositions, leader: Option<&ReplicaPositions>) -> Self {
        let known = |follower: &&FollowerPositions| follower.broker_id == broker;
        let durable = leader.and_then(|leader| leader.followers.iter().find(known)?.durable_end);
        let behind = leader.zip(durable).map(|(leader, durable)| leader.durable_end.saturating_sub(durable));
        Self {
            broker,
            role: replica.role.clone(),
            leader_epoch: replica.leader_epoch,
            start_offset: replica.start_offset,
            committed_end: replica.committed_end,
            durable_end: replica.durable_end,
            end_offset: replica.end_offset,
            stored_bytes: replica.stored_bytes,
            behind,
            problem: replica.problem.clone(),
        }
    }
}

impl Row for ReplicaRow {
    const COLUMNS: &'static [&'static str] =
        &["BROKER", "ROLE", "EPOCH", "START", "COMMITTED", "DURABLE", "END", "BEHIND", "STORED", "PROBLEM"];

    fn name(&self) -> String {
        self.broker.to_string()
    }

    fn cells(&self) -> Vec<String> {
        let numbers = [self.start_offset, self.committed_end, self.durable_end, self.end_offset]
            .map(|at| at.to_string());
        let mut cells = vec![self.broker.to_string(), self.role.clone(), self.leader_epoch.to_string()];
        cells.extend(numbers);
        cells.extend([or_dash(self.behind), crate::quantity::bytes(self.stored_bytes), self.problem.clone()]);
        cells
    }
}

impl PartitionReport {
    fn new(partition: PartitionRow, answers: &[DescribePartitionsResponse]) -> Self {
        let number = partition.partition;
        let own = |answer: &DescribePartitionsResponse| {
            let found = answer.partitions.iter().find(|replica| replica.partition == number)?;
            Some((answer.broker_id, found.clone()))
        };
        let mut replicas: Vec<(u32, ReplicaPositions)> = answers.iter().filter_map(own).collect();
        replicas.sort_by_key(|(broker, _)| *broker);
        let leader =
            replicas.iter().find(|(broker, it)| Some(*broker) == partition.leader && it.role == "leader");
        let leader = leader.map(|(_, replica)| replica);
        let rows =
            replicas.iter().map(|(broker, replica)| ReplicaRow::new(*broker, replica, leader)).collect();
        Self { partition, replica_positions: rows }
    }
}

impl Show for PartitionReport {
    fn names(&self) -> Vec<String> {
        vec![self.partition.name()]
    }

    fn table(&self, _: bool) -> String {
        let partition = Table::of(std::slice::from_ref(&self.partition), true);
        format!("{partition}\n\n{}", Table::of(&self.replica_positions, false))
    }
}

pub(super) async fn run(context: &Context, command: &Desc) -> Result<Exit, Failure> {
    let name = &command.partition;
    let admin = context.connect().await?.admin();
    let wish = ListPartitions { topic: Some(name.topic.clone()), ..ListPartitions::default() };
    let partitions = admin.list_partitions(wish).await.map_err(|error| Failure::from(error).context(name))?;
    let partition = partitions.into_iter().find(|it| it.partition == name.partition).ok_or_else(|| {
        let message = format!("topic `{}` has no partition {}", name.topic, name.partition);
        Failure::new(Exit::NotFound, message)
    })?;
    let answers = match admin.describe_partitions(&name.topic).await {
        Ok(answers) => answers,
        Err(error) => {
            context.note(&format!("positions are not known: {error}"));
            Vec::new()
        }
    };
    context.print(&PartitionReport::new(partition.into(), &answers))?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use fidelog_client::wire::PartitionState;

    use super::*;

    #[test]
    fn how_far_a_replica_is_behind_is_the_leaders_word() {
        let state =
            PartitionState { topic: "orders".into(), leader: 1, replicas: vec![1, 2], ..Default::default() };
        let follower = FollowerPositions { broker_id: 2, durable_end: Some(30), ..Default::default() };
        let leader = ReplicaPositions {
            role: "leader".into(),
            durable_end: 100,
            followers: vec![follower],
            ..Default::default()
        };
        let behind = ReplicaPositions { role: "follower".into(), durable_end: 31, ..Default::default() };
        let answer = |broker_id, replica| DescribePartitionsResponse {
            broker_id,
            partitions: vec![replica],
            ..Default::default()
        };
        let report = PartitionReport::new(state.into(), &[answer(2, behind), answer(1, leader)]);
        let seen: Vec<_> = report.replica_positions.iter().map(|row| (row.broker, row.behind)).collect();
        assert_eq!(seen, [(1, None), (2, Some(70))]);
        assert!(report.table(false).contains("follower"));
    }
}
