//! Logs, to stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::args::{LogArgs, LogFormat};

/// Starts logging as the command line says.
///
/// # Errors
/// A sentence, when the level cannot be read.
pub(crate) fn start(args: &LogArgs) -> Result<(), String> {
    // The Raft library tells every step, and every heartbeat a dead peer misses; ours tell what matters of it.
    let level = format!("openraft=off,{}", args.log_level);
    let filter = EnvFilter::builder().parse(level).map_err(|error| {
        format!("--log-level {:?}: {error}; try `info` or `info,fidelog_broker=debug`", args.log_level)
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match args.log_format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
    // A second start within one process (a test's) keeps the first.
    drop(started);
    Ok(())
}
