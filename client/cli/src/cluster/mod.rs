//! `cluster`: who is there, who decides, what is wrong, what happens.

mod events;
mod feature;
mod health;
mod info;
mod quorum;
mod rebalance;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::or_interrupted;

/// The cluster as a whole
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  fidelog cluster info
  fidelog cluster health
  fidelog cluster events --follow"
)]
pub(crate) struct Cluster {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Info(info::Info),
    Health(health::Health),
    Quorum(quorum::Quorum),
    Events(events::Events),
    Rebalance(rebalance::Rebalance),
    Feature(feature::Feature),
}

pub(crate) async fn run(context: &Context, cluster: Cluster) -> Result<Exit, Failure> {
    match cluster.command {
        Command::Info(_) => or_interrupted(info::run(context)).await,
        Command::Health(command) => or_interrupted(health::run(context, &command)).await,
        Command::Quorum(command) => or_interrupted(quorum::run(context, command)).await,
        Command::Events(command) => events::run(context, &command).await,
        Command::Rebalance(command) => rebalance::run(context, &command).await,
        Command::Feature(command) => or_interrupted(feature::run(context, command)).await,
    }
}
