//! `segment`: the files of a log, without a broker.
//!
//! Files are opened to read only and copied, never mapped: a broker that still runs may write to them. Nothing is
//! changed. What does not fit is judged by `fidelog_log::OfflineDir`, as a start would judge it.

mod dump;
mod ls;
mod open;
#[cfg(test)]
mod stored;
mod verify;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Segment files, offline: list, dump, verify
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  fidelog segment ls /var/lib/fidelog
  fidelog segment verify /var/lib/fidelog
  fidelog segment dump 00000000000000000000.log --records -o jsonl"
)]
pub(crate) struct Segment {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Ls),
    Dump(dump::Dump),
    Verify(verify::Verify),
}

pub(crate) fn run(context: &Context, segment: Segment) -> Result<Exit, Failure> {
    match segment.command {
        Command::Ls(command) => ls::run(context, &command),
        Command::Dump(command) => dump::run(context, &command),
        Command::Verify(command) => verify::run(context, &command),
    }
}
