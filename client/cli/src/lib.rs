//! The ops command line of Fidelog: produce, consume, inspect and measure, from a terminal or a script.
//!
//! What is always true: data goes to stdout and everything else to stderr; every failure is one line (an object with
//! `-o json` or `-o jsonl`) and one exit code; JSON field names and exit codes are a contract. It uses the SDK as any
//! program would; only `segment` and `bench disk` touch files.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | success; also Ctrl-C or a closed pipe while following |
//! | 1 | any other failure |
//! | 2 | usage |
//! | 3 | not found |
//! | 4 | unreachable, or timed out |
//! | 5 | not allowed |
//! | 6 | conflict: exists, fenced, not enough replicas in sync |
//! | 7 | some targets failed |
//! | 8 | a check or a verification found a problem |
//! | 130 | interrupted |

mod args;
mod base64;
mod bench;
mod broker;
mod check;
mod cluster;
mod completion;
mod confirm;
mod consume;
mod context;
mod escape;
mod exit;
mod group;
mod interrupt;
mod line_reader;
mod moves;
mod offsets;
mod output;
mod partial;
mod partition;
mod produce;
mod progress;
mod quantity;
mod record_json;
mod resolve;
mod segment;
mod tidings;
mod topic;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use context::Context;
use exit::{Exit, Failure};

/// Runs one command line, its first argument being the program's own name, and tells how it ended.
///
/// Reads stdin where the command does, writes to stdout and stderr. It starts a Tokio runtime of its own: call it
/// outside any runtime. A third Ctrl-C ends the whole process.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let (json, result) = match Cli::try_parse_from(&args) {
        Ok(cli) => (cli.globals.json(), dispatch(cli)),
        Err(error) if !error.use_stderr() => {
            // Help and version; nobody is left to tell when stdout is closed.
            let _closed = error.print();
            return Exit::Success.into();
        }
        Err(error) => (args::wants_json(&args), Err(exit::usage(&error))),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.tell(json);
            failure.exit.into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let Cli { globals, command } = cli;
    let context = Context::new(globals);
    match command {
        Command::Segment(command) => segment::run(&context, command),
        Command::Completion(shell) => completion::run(&shell),
        command => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let runtime =
                runtime.map_err(|error| Failure::new(Exit::Failure, format!("no threads: {error}")))?;
            let result = runtime.block_on(online(&context, command));
            // A thread that reads stdin may be waiting for a line that never comes.
            runtime.shutdown_background();
            result
        }
    }
}

/// Commands that talk to brokers. Those that stream end by themselves when interrupted; the others are dropped.
async fn online(context: &Context, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Produce(command) => produce::run(context, command).await,
        Command::Consume(command) => consume::run(context, command).await,
        Command::Topic(command) => topic::run(context, command).await,
        Command::Group(command) => interrupt::or_interrupted(group::run(context, command)).await,
        Command::Cluster(command) => cluster::run(context, command).await,
        Command::Broker(command) => broker::run(context, command).await,
        Command::Partition(command) => partition::run(context, command).await,
        Command::Check(command) => interrupt::or_interrupted(check::run(context, command)).await,
        Command::Bench(command) => bench::run(context, command).await,
        Command::Segment(command) => segment::run(context, command),
        Command::Completion(shell) => completion::run(&shell),
    }
}
