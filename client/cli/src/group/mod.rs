//! `group`: where groups of consumers stand, and moving them.

mod desc;
mod lag;
mod ls;
mod rm;
mod seek;

use clap::Subcommand;
use fidelog_client::wire::GroupTopic;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Consumer groups: list, describe, lag, move, forget
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  fidelog group ls
  fidelog group lag billing
  fidelog group seek billing orders --to @-1h --dry-run"
)]
pub(crate) struct Group {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Ls),
    Desc(desc::Desc),
    Lag(lag::Lag),
    Seek(seek::Seek),
    Rm(rm::Rm),
}

pub(crate) async fn run(context: &Context, group: Group) -> Result<Exit, Failure> {
    match group.command {
        Command::Ls(command) => ls::run(context, &command).await,
        Command::Desc(command) => desc::run(context, &command).await,
        Command::Lag(command) => lag::run(context, &command).await,
        Command::Seek(command) => seek::run(context, &command).await,
        Command::Rm(command) => rm::run(context, &command).await,
    }
}

fn unknown(group: &str) -> Failure {
    Failure::new(
        Exit::NotFound,
        format!("group `{group}` has no positions; `fidelog group ls` shows those that have"),
    )
}

/// What people call a topic that a group has positions on: also one that was deleted.
fn topic_name(topic: &GroupTopic) -> String {
    match topic.topic.is_empty() {
        true => format!("(deleted topic {})", crate::topic::id_text(&topic.topic_id)),
        false => topic.topic.clone(),
    }
}
