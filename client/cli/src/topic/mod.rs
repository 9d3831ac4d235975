//! `topic`: create, list, describe, alter, look up offsets, delete, measure.

mod alter;
mod config;
mod create;
mod desc;
mod du;
mod ls;
mod offsets;
mod rm;

pub(crate) use create::Create;

use clap::Subcommand;
use fidelog_client::types::TopicId;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::or_interrupted;

/// Topics: create, list, describe, change, delete
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  fidelog topic create orders -p 6
  fidelog topic ls
  fidelog topic desc orders"
)]
pub(crate) struct Topic {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Ls),
    Create(Create),
    Desc(desc::Desc),
    Alter(alter::Alter),
    Offsets(offsets::Offsets),
    Rm(rm::Rm),
    Du(du::Du),
}

pub(crate) async fn run(context: &Context, topic: Topic) -> Result<Exit, Failure> {
    match topic.command {
        Command::Ls(command) => or_interrupted(ls::run(context, &command)).await,
        Command::Create(command) => or_interrupted(create::run(context, command)).await,
        Command::Desc(command) => or_interrupted(desc::run(context, &command)).await,
        Command::Alter(command) => alter::run(context, command).await,
        Command::Offsets(command) => or_interrupted(offsets::run(context, &command)).await,
        Command::Rm(command) => or_interrupted(rm::run(context, &command)).await,
        Command::Du(command) => or_interrupted(du::run(context, &command)).await,
    }
}

/// A topic's id as text; what is no id is shown as `-`.
pub(crate) fn id_text(bytes: &[u8]) -> String {
    TopicId::try_from(bytes).map_or_else(|_| "-".to_owned(), |id| id.to_string())
}
