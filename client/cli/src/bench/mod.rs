//! `bench`: what this cluster, or this disk, does. It uses the SDK as any program would.
//!
//! Ctrl-C ends a run early; what was measured is still told, and the exit code is 130.

mod consume;
mod disk;
mod e2e;
mod latency;
mod load;
mod produce;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupts;

/// Measure producing, consuming, the whole way, or a disk
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  fidelog bench produce --size 1k --duration 10s
  fidelog bench e2e --rate 1000
  fidelog bench disk /var/lib/fidelog"
)]
pub(crate) struct Bench {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Produce(produce::Produce),
    Consume(consume::Consume),
    E2e(e2e::EndToEnd),
    Disk(disk::Disk),
}

pub(crate) async fn run(context: &Context, bench: Bench) -> Result<Exit, Failure> {
    let interrupts = Interrupts::listen();
    match bench.command {
        Command::Produce(command) => produce::run(context, command, &interrupts).await,
        Command::Consume(command) => consume::run(context, command, &interrupts).await,
        Command::E2e(command) => e2e::run(context, command, &interrupts).await,
        Command::Disk(command) => disk::run(context, command, &interrupts).await,
    }
}

/// How a run ended that was told of already.
fn ended(interrupts: &Interrupts) -> Result<Exit, Failure> {
    match interrupts.any() {
        true => Err(Failure::new(Exit::Interrupted, "interrupted: the numbers are of a shorter run")),
        false => Ok(Exit::Success),
    }
}

/// So many in a second.
#[expect(clippy::cast_precision_loss, reason = "a rate for people: 53 bits of it are plenty")]
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { (count as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 }
}
