//! The command line: what stands before, between and behind the verbs.
//!
//! Each noun keeps its own arguments in its own file; here are the tree and what is common to all of it. Every
//! `--help` ends with examples, which a test checks.

use std::ffi::OsString;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand};

use crate::output::Format;
use crate::quantity::parse_timeout;
use crate::{bench, broker, check, cluster, completion, consume, group, partition, produce, segment, topic};

/// Fidelog from a terminal: produce, consume, inspect, measure.
#[derive(Debug, Parser)]
#[command(
    name = "fidelog",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "Examples:
  fidelog topic create orders
  echo hello | fidelog produce orders
  fidelog consume orders -e
  fidelog -b broker-1:9094,broker-2:9094 cluster info -o json

Exit codes: 0 success, 1 failure, 2 usage, 3 not found, 4 unreachable or timed out, 5 not allowed,
6 conflict, 7 some targets failed, 8 a check found a problem, 130 interrupted"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Some of the cluster's brokers; the others are found through them. The default is those of `fidelogd dev`
    #[arg(
        short = 'b',
        long,
        value_name = "HOST:PORT,..",
        env = "FIDELOG_BROKERS",
        default_value = "localhost:9094,localhost:9194,localhost:9294",
        value_delimiter = ',',
        global = true
    )]
    pub(crate) brokers: Vec<String>,
    /// How answers are printed
    #[arg(short = 'o', long, value_enum, value_name = "FORMAT", env = "FIDELOG_OUTPUT", global = true)]
    pub(crate) output: Option<Format>,
    /// How long one request, or the delivery of a record, may take, retries included [default: 10s, delivery 120s]
    #[arg(
        long,
        value_name = "DURATION",
        env = "FIDELOG_TIMEOUT",
        value_parser = parse_timeout,
        global = true
    )]
    pub(crate) timeout: Option<Duration>,
    /// Say nothing on stderr but errors
    #[arg(short = 'q', long, env = "FIDELOG_QUIET", global = true)]
    pub(crate) quiet: bool,
    /// Tell of reconnects, new leaders and retries on stderr
    #[arg(short = 'v', long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
}

impl Globals {
    /// Whether errors are objects too.
    pub(crate) fn json(&self) -> bool {
        matches!(self.output, Some(Format::Json | Format::Jsonl))
    }
}

/// The tree below `fidelog`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Produce(produce::Produce),
    Consume(consume::Consume),
    Topic(topic::Topic),
    Partition(partition::Partition),
    Segment(segment::Segment),
    Group(group::Group),
    Cluster(cluster::Cluster),
    Broker(broker::Broker),
    Bench(bench::Bench),
    Check(check::Check),
    Completion(completion::Completion),
}

/// Whether a line that cannot be parsed asks for errors as objects.
pub(crate) fn wants_json(args: &[OsString]) -> bool {
    let args: Vec<_> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let json = |value: &str| matches!(value, "json" | "jsonl");
    let joined = |arg: &&str| {
        let value = arg.strip_prefix("--output=").or(arg.strip_prefix("-o"));
        value.is_some_and(|value| json(value.trim_start_matches('=')))
    };
    let apart = args.windows(2).any(|pair| matches!(pair[0], "-o" | "--output") && json(pair[1]));
    apart || args.iter().any(joined)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn each(command: &clap::Command, visit: &mut impl FnMut(&clap::Command)) {
        visit(command);
        command.get_subcommands().for_each(|below| each(below, visit));
    }

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_has_examples_and_a_sentence() {
        let mut seen = 0;
        each(&Cli::command(), &mut |command| {
            seen += 1;
            let help = command.clone().render_help().to_string();
            assert!(help.contains("Examples:"), "`{}` has no examples", command.get_name());
            assert!(command.get_about().is_some(), "`{}` does not say what it does", command.get_name());
        });
        assert_eq!(seen, 51, "commands were added or removed");
    }

    #[test]
    fn every_example_parses() {
        each(&Cli::command(), &mut |command| {
            let help = command.get_after_help().expect("tested above").to_string();
            for line in help.lines().filter(|line| line.starts_with("  ")) {
                let shell = line.split(" | ").find_map(|part| part.trim().strip_prefix("fidelog "));
                let Some(shell) = shell else { continue };
                let plain = shell.split(['<', '>']).next().expect("split yields a part").replace('\'', "");
                let args = std::iter::once("fidelog").chain(plain.split_whitespace());
                let result = Cli::try_parse_from(args);
                assert!(result.is_ok(), "{line}: {}", result.unwrap_err());
            }
        });
    }

    #[test]
    fn json_is_recognised_in_a_line_that_does_not_parse() {
        let wants = |line: &str| wants_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in
            ["fidelog x -o json", "fidelog -ojsonl x", "fidelog --output=json", "fidelog --output jsonl"]
        {
            assert!(wants(line), "{line}");
        }
        for line in ["fidelog x -o table", "fidelog json", "fidelog -o"] {
            assert!(!wants(line), "{line}");
        }
    }
}
