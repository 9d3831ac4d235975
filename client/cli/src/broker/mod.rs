//! `broker`: list, describe, drain, resume.

mod desc;
mod drain;
mod ls;
mod report;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::or_interrupted;

/// Brokers: list, describe, drain, resume
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  fidelog broker ls
  fidelog broker desc 2
  fidelog broker drain 3 --wait"
)]
pub(crate) struct Broker {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Ls),
    Desc(desc::Desc),
    Drain(drain::Drain),
    Resume(drain::Resume),
}

pub(crate) async fn run(context: &Context, broker: Broker) -> Result<Exit, Failure> {
    match broker.command {
        Command::Ls(_) => or_interrupted(ls::run(context)).await,
        Command::Desc(command) => or_interrupted(desc::run(context, &command)).await,
        Command::Drain(command) => drain::drain(context, &command).await,
        Command::Resume(command) => or_interrupted(drain::resume(context, &command)).await,
    }
}
