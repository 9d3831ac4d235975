//! `partition ls`.

use fidelog_client::ListPartitions;
use fidelog_client::wire::PartitionFilter;

use super::report::PartitionRow;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::Rows;

/// List partitions, all or those in trouble
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "list",
    after_help = "Examples:
  fidelog partition ls
  fidelog partition ls orders
  fidelog partition ls --leaderless -o name
  fidelog partition ls --moving
  fidelog partition ls --broker 2 --under-replicated"
)]
pub(super) struct Ls {
    /// Only those of this topic
    topic: Option<String>,
    /// Only those with a replica on this broker
    #[arg(long, value_name = "BROKER", value_parser = clap::value_parser!(u32).range(1..))]
    broker: Option<u32>,
    #[command(flatten)]
    trouble: Trouble,
    /// Also Fidelog's own, whose topics begin with __
    #[arg(short = 'a', long)]
    all: bool,
}

/// Which.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Trouble {
    /// Only those with fewer replicas in sync than there are
    #[arg(long)]
    under_replicated: bool,
    /// Only those with fewer replicas in sync than min_insync_replicas
    #[arg(long)]
    below_minimum: bool,
    /// Only those nobody leads
    #[arg(long)]
    leaderless: bool,
    /// Only those on their way to other brokers
    #[arg(long)]
    moving: bool,
    /// Only those led by another than their preferred leader
    #[arg(long)]
    not_preferred: bool,
}

impl Trouble {
    fn filter(&self) -> PartitionFilter {
        let asked = [
            (self.under_replicated, PartitionFilter::UnderReplicated),
            (self.below_minimum, PartitionFilter::BelowMinimum),
            (self.leaderless, PartitionFilter::Leaderless),
            (self.moving, PartitionFilter::Moving),
            (self.not_preferred, PartitionFilter::NotPreferred),
        ];
        asked.into_iter().find(|(asked, _)| *asked).map_or(PartitionFilter::Unspecified, |(_, filter)| filter)
    }
}

pub(super) async fn run(context: &Context, command: Ls) -> Result<Exit, Failure> {
    let filter = command.trouble.filter();
    let wish = ListPartitions {
        topic: command.topic,
        filter,
        broker: command.broker,
        include_internal: command.all,
    };
    let partitions = context.connect().await?.admin().list_partitions(wish).await?;
    context.print(&Rows(partitions.into_iter().map(PartitionRow::from).collect()))?;
    Ok(Exit::Success)
}
