//! `partition move`, `partition cancel-move` and `partition elect`.

use fidelog_client::ListPartitions;
use fidelog_client::wire::{ElectedLeader, PartitionFilter};
use serde::Serialize;

use super::{PartitionName, PartitionRow};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::moves::{Wait, moving};
use crate::output::{Row, Rows, or_dash};

/// Partitions of one request.
const ELECTIONS_AT_ONCE: usize = 1_000;

/// Move a partition to other brokers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog partition move orders/0 --to 4,2,3 --wait

New replicas are added and filled first; the old ones go in one step once all are in sync.")]
pub(super) struct Move {
    /// The partition
    #[arg(value_name = "TOPIC/PARTITION")]
    partition: PartitionName,
    /// The brokers it is to be on, the preferred leader first
    #[arg(long, value_name = "BROKER,..", value_delimiter = ',', required = true)]
    to: Vec<u32>,
    #[command(flatten)]
    wait: Wait,
}

/// End a move where it began
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog partition cancel-move orders/0")]
pub(super) struct CancelMove {
    /// The partition
    #[arg(value_name = "TOPIC/PARTITION")]
    partition: PartitionName,
}

/// Let another in-sync replica lead
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fidelog partition elect orders/0
  fidelog partition elect orders/0 orders/1 --broker 2
  fidelog partition elect --preferred")]
pub(super) struct Elect {
    /// The partitions
    #[arg(value_name = "TOPIC/PARTITION", required_unless_present = "preferred")]
    partitions: Vec<PartitionName>,
    /// All that are led by another than their preferred leader
    #[arg(long, conflicts_with_all = ["partitions", "broker"])]
    preferred: bool,
    /// Who is to lead; the preferred leader of each otherwise
    #[arg(long, value_name = "BROKER", value_parser = clap::value_parser!(u32).range(1..))]
    broker: Option<u32>,
}

#[derive(Debug, Serialize)]
struct ElectedRow {
    topic: String,
    partition: u32,
    leader: Option<u32>,
    leader_epoch: u32,
    problem: String,
}

impl From<ElectedLeader> for ElectedRow {
    fn from(elected: ElectedLeader) -> Self {
        Self {
            topic: elected.topic,
            partition: elected.partition,
            leader: (elected.leader != 0).then_some(elected.leader),
            leader_epoch: elected.leader_epoch,
            problem: elected.error.map(|error| error.message).unwrap_or_default(),
        }
    }
}

impl Row for ElectedRow {
    const COLUMNS: &'static [&'static str] = &["PARTITION", "LEADER", "EPOCH", "PROBLEM"];

    fn name(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }

    fn cells(&self) -> Vec<String> {
        vec![self.name(), or_dash(self.leader), self.leader_epoch.to_string(), self.problem.clone()]
    }
}

pub(super) async fn begin(context: &Context, command: &Move) -> Result<Exit, Failure> {
    let admin = context.connect().await?.admin();
    let name = &command.partition;
    let begun = admin.move_replicas(&name.topic, name.partition, &command.to).await;
    let begun = begun.map_err(|error| Failure::from(error).context(name))?;
    context.print(&Rows(vec![PartitionRow::from(begun)]))?;
    let ours =
        |it: &fidelog_client::wire::PartitionState| it.topic == name.topic && it.partition == name.partition;
    let what = format!("the move of {name}");
    command.wait.until_done(context, &what, || moving(&admin, ours)).await
}

pub(super) async fn cancel(context: &Context, command: &CancelMove) -> Result<Exit, Failure> {
    let name = &command.partition;
    let cancelled = context.connect().await?.admin().cancel_move(&name.topic, name.partition).await;
    let cancelled = cancelled.map_err(|error| Failure::from(error).context(name))?;
    context.print(&Rows(vec![PartitionRow::from(cancelled)]))?;
    Ok(Exit::Success)
}

pub(super) async fn elect(context: &Context, command: Elect) -> Result<Exit, Failure> {
    let admin = context.connect().await?.admin();
    let mut names: Vec<(String, u32)> =
        command.partitions.into_iter().map(|name| (name.topic, name.partition)).collect();
    if command.preferred {
        let filter = PartitionFilter::NotPreferred;
        let wish = ListPartitions { filter, include_internal: true, ..Default::default() };
        let listed = admin.list_partitions(wish).await?.into_iter();
        names = listed.map(|partition| (partition.topic, partition.partition)).collect();
    }
    let mut rows = Vec::new();
    for some in names.chunks(ELECTIONS_AT_ONCE) {
        rows.extend(admin.elect_leaders(some, command.broker).await?.into_iter().map(ElectedRow::from));
    }
    let failed = rows.iter().filter(|row| !row.problem.is_empty()).count();
    let all = rows.len();
    context.print(&Rows(rows))?;
    context.note(&format!("{} of {all} partitions are led as wished", all - failed));
    Ok(if failed == 0 { Exit::Success } else { Exit::SomeFailed })
}
