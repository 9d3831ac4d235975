//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// The Fidelog broker: an acknowledgement means synced here and on a follower.
#[derive(Debug, Parser)]
#[command(
    name = "fidelogd",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  fidelogd demo                          the main job before your eyes, a broker killed on the way
  fidelogd dev                           a three-broker cluster on this machine
  fidelogd format --config broker1.toml  make a data directory, once
  fidelogd serve --config broker1.toml   run one broker"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// How the daemon logs.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct LogArgs {
    /// What to log: error, warn, info, debug, trace, also per module.
    #[arg(long, global = true, default_value = "info", env = "FIDELOGD_LOG_LEVEL", value_name = "LEVEL")]
    pub(crate) log_level: String,
    /// How to log.
    #[arg(long, global = true, default_value = "text", env = "FIDELOGD_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For eyes.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run one broker
    Serve(Serve),
    /// Make a data directory, once; `serve` never does
    #[command(after_help = "\
Examples:
  fidelogd format --config /etc/fidelog/broker1.toml")]
    Format(Target),
    /// Check or show a configuration
    #[command(
        subcommand,
        after_help = "\
Examples:
  fidelogd config check --config /etc/fidelog/broker1.toml
  fidelogd config print --config /etc/fidelog/broker1.toml"
    )]
    Config(ConfigVerb),
    /// Look at the metadata in a stopped node's directory, or rebuild a quorum that lost its majority
    #[command(
        subcommand,
        after_help = "\
Examples:
  fidelogd quorum show --config /etc/fidelog/broker1.toml
  fidelogd quorum rebuild --config /etc/fidelog/broker1.toml"
    )]
    Quorum(QuorumVerb),
    /// Run a three-broker cluster on this machine
    Dev(Dev),
    /// See the main job done, a broker killed on the way, and the result compared byte for byte
    Demo(Demo),
}

/// How to run one broker.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  fidelogd serve --config /etc/fidelog/broker1.toml
  FIDELOGD_BROKER__DATA_DIR=/mnt/disk1 fidelogd serve --config broker1.toml")]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The process that started this one and that it dies with; what `dev` and `demo` say to their brokers.
    #[arg(long, value_name = "PID", hide = true)]
    pub(crate) parent: Option<i32>,
}

/// Which configuration.
#[derive(Debug, ClapArgs)]
pub(crate) struct Target {
    /// The configuration file, TOML.
    #[arg(long, value_name = "FILE", env = "FIDELOGD_CONFIG")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Say whether a broker would start with it: exit code 0 or 2
    #[command(after_help = "\
Examples:
  fidelogd config check --config /etc/fidelog/broker1.toml")]
    Check(Target),
    /// Show every value and where it comes from
    #[command(after_help = "\
Examples:
  fidelogd config print --config /etc/fidelog/broker1.toml
  FIDELOGD_BROKER__ID=2 fidelogd config print --config broker1.toml")]
    Print(Target),
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuorumVerb {
    /// Say how far the metadata in a stopped node's directory has come
    #[command(after_help = "\
Of several controllers that are left, the one with the greatest last entry (term, then index) has seen the most. A broker
that has seen a higher metadata index than the plan of a rebuild tells has seen what would be lost.

Examples:
  fidelogd quorum show --config /etc/fidelog/broker1.toml")]
    Show(Target),
    /// Make a stopped controller the only voter of a new quorum, when the majority of the old one is lost for good
    #[command(after_help = "\
Without --agree it only shows what there is and what may be lost; with the hash it printed, it does it. The other
controllers of the old quorum must never start again on what they had: empty their directories, format them, and start
them; they learn, and vote once `fidelog cluster quorum add` says so.

Examples:
  fidelogd quorum rebuild --config /etc/fidelog/broker1.toml
  fidelogd quorum rebuild --config /etc/fidelog/broker1.toml --agree 1a2b3c4d")]
    Rebuild(Agreed),
    /// Let a stopped broker, which does not vote, follow a quorum that was rebuilt from less than it has seen
    #[command(after_help = "\
It refuses that quorum until then (METADATA_LOST). Its records stay, and it is asked where they end. Without --agree it
only shows what it has seen; with the hash it printed, it does it.

Examples:
  fidelogd quorum accept --config /etc/fidelog/broker4.toml
  fidelogd quorum accept --config /etc/fidelog/broker4.toml --agree 1a2b3c4d")]
    Accept(Agreed),
}

/// Which directory, and what was agreed to.
#[derive(Debug, ClapArgs)]
pub(crate) struct Agreed {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The hash of what was read and is agreed to
    #[arg(long, value_name = "HASH", value_parser = parse_hash)]
    pub(crate) agree: Option<u32>,
}

fn parse_hash(text: &str) -> Result<u32, String> {
    let hash = u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 8);
    hash.ok_or_else(|| format!("{text:?} is no hash of a plan; eight hexadecimal digits are expected"))
}

/// Three brokers, one process each, replication factor 3, at least 2 replicas in sync; data is kept.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Brokers listen on 127.0.0.1: for clients on N, N+100 and N+200, for each other on the port behind each. A broker that
ends is not started again; the command that does is printed. Ctrl-C ends all three, and so does the end of this process.

Examples:
  fidelogd dev
  fidelogd dev --data-dir ./cluster --port-base 19094
  fidelogd dev --log-level debug")]
pub(crate) struct Dev {
    /// Where the cluster lives. Default: fidelog/dev in the user's data directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The first port, N; 0: any that are free. Default: 9094
    #[arg(long, value_name = "N")]
    pub(crate) port_base: Option<u16>,
}

/// Every line of FILE becomes a record on three brokers; one of them is killed with -9 on the way and brought back;
/// a group reads everything, stops half-way and resumes; what came out is compared with what went in.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
A record is the bytes between two line feeds: a carriage return is kept, an empty line is an empty record, bytes need
not be UTF-8. Exit code 0: everything is there, byte for byte and in order. 8: it is not. 1: it could not be done.

Examples:
  fidelogd demo
  fidelogd demo /var/log/syslog
  fidelogd demo --show 40 --data-dir ./demo access.log")]
pub(crate) struct Demo {
    /// The text to produce. Default: a sample
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Where the cluster lives; what an earlier demo left there is replaced. Default: fidelog/demo in the user's data
    /// directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The first port, as for `dev`; 0: any that are free. Default: 9094 if those are free, else any
    #[arg(long, value_name = "N")]
    pub(crate) port_base: Option<u16>,
    /// How many records of each reader to print
    #[arg(long, value_name = "COUNT", default_value = "12")]
    pub(crate) show: u64,
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
        Args::command().debug_assert();
    }

    #[test]
    fn every_help_has_examples_and_they_parse() {
        each(&Args::command(), &mut |command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, examples) = help.split_once("Examples:").expect("every help has examples");
            for line in examples.lines().filter(|line| !line.is_empty()) {
                // What stands behind two spaces explains the line.
                let command = line.trim().split("  ").next().expect("split yields a part");
                let words = command.split_whitespace().skip_while(|word| *word != "fidelogd");
                let parsed = Args::try_parse_from(words);
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            }
        });
    }
}
