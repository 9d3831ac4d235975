//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// The Fidelog broker: an acknowledgement means synced here and on a follower.
#[derive(Debug, Parser)]
#[command(name = "fidelogd", version, arg_required_else_help = true, after_help = "\
Examples:
  fidelogd demo                          the main job before your eyes, a broker killed on the way
  fidelogd dev                           a three-broker cluster on this machine
  fidelogd format --config broker1.toml  make a data directory, once
  fidelogd serve --config broker1.toml   run one broker")]
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
    Serve(Target),
    /// Make a data directory, once; `serve` never does
    Format(Target),
    /// Check or show a configuration
    #[command(subcommand)]
    Config(ConfigVerb),
}

/// Which configuration.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  fidelogd serve --config /etc/fidelog/broker1.toml
  FIDELOGD_BROKER__DATA_DIR=/mnt/disk1 fidelogd serve --config broker1.toml")]
pub(crate) struct Target {
    /// The configuration file, TOML.
    #[arg(long, value_name = "FILE", env = "FIDELOGD_CONFIG")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Say whether a broker would start with it: exit code 0 or 2
    Check(Target),
    /// Show every value and where it comes from
    Print(Target),
}
