//! `partition`: list, describe, move, elect, recover.

mod desc;
mod ls;
mod moving;
mod recover;
mod report;

pub(crate) use report::PartitionRow;

use std::str::FromStr;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::or_interrupted;

/// Partitions: list, describe, move, elect leaders, recover
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  fidelog partition ls --under-replicated
  fidelog partition desc orders/0"
)]
pub(crate) struct Partition {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Ls),
    Desc(desc::Desc),
    Move(moving::Move),
    CancelMove(moving::CancelMove),
    Elect(moving::Elect),
    Recover(recover::Recover),
}

pub(crate) async fn run(context: &Context, partition: Partition) -> Result<Exit, Failure> {
    match partition.command {
        Command::Ls(command) => or_interrupted(ls::run(context, command)).await,
        Command::Desc(command) => or_interrupted(desc::run(context, &command)).await,
        Command::Move(command) => moving::begin(context, &command).await,
        Command::CancelMove(command) => or_interrupted(moving::cancel(context, &command)).await,
        Command::Elect(command) => or_interrupted(moving::elect(context, command)).await,
        Command::Recover(command) => or_interrupted(recover::run(context, &command)).await,
    }
}

/// A partition as people write it: `topic/number`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionName {
    pub(crate) topic: String,
    pub(crate) partition: u32,
}

impl FromStr for PartitionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` names no partition; write topic/number, such as orders/0");
        let (topic, partition) = text.rsplit_once('/').ok_or_else(wrong)?;
        let partition = partition.parse().map_err(|_| wrong())?;
        match topic.is_empty() {
            true => Err(wrong()),
            false => Ok(Self { topic: topic.to_owned(), partition }),
        }
    }
}

impl std::fmt::Display for PartitionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_a_topic_and_a_number() {
        let name: PartitionName = "or.ders/12".parse().unwrap();
        assert_eq!(
            (name.topic.as_str(), name.partition, name.to_string().as_str()),
            ("or.ders", 12, "or.ders/12")
        );
        for wrong in ["orders", "orders/", "/3", "orders/x", "orders/-1", ""] {
            assert!(wrong.parse::<PartitionName>().unwrap_err().contains("topic/number"), "{wrong}");
        }
    }
}
