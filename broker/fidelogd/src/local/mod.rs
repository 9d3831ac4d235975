//! Three brokers on this machine, one process each: what `dev` and `demo` share.
//!
//! | file | what it holds |
//! |---|---|
//! | `home` | the directory, and the marker that says it is ours |
//! | `ports` | which ports the brokers listen on |
//! | `broker_config` | the configuration file of one broker |
//! | `broker` | one broker process, and the task that owns it |
//! | `cluster` | the three together: start, wait until ready, kill, stop |
//! | `parent` | the other end: a broker that dies with whoever started it |
//! | `terminal` | what people see |
//!
//! What is always true: a process is started by the thread that lives as long as the program, so that it dies with it;
//! nothing is started again by itself; a directory that has no marker is never written to.

mod broker;
mod broker_config;
mod cluster;
mod home;
pub(crate) mod parent;
mod ports;
pub(crate) mod terminal;

use std::io;
use std::path::PathBuf;

pub(crate) use broker::{Broker, Ended};
pub(crate) use cluster::LocalCluster;
pub(crate) use home::{Home, Kind, default_dir};
pub(crate) use ports::Ports;

/// How many brokers a local cluster has.
pub(crate) const BROKER_COUNT: u16 = 3;

/// Why there is no local cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// Nobody knows where this user keeps data.
    #[error("the user's data directory is not known ({0}); name a directory with --data-dir")]
    NoDataDir(String),
    /// It belongs to somebody else.
    #[error("{} is not empty, and not a directory made by `fidelogd dev` or `demo`: it is left alone; name another one with --data-dir", .0.display())]
    NotOurs(PathBuf),
    /// `demo` was pointed at the directory of a `dev`.
    #[error("{} holds a cluster of `fidelogd dev`, which `demo` does not replace; name another one with --data-dir", .0.display())]
    OfDev(PathBuf),
    /// The marker is there and says nothing that can be understood.
    #[error("{}: {cause}; if nothing below its directory is needed, remove that directory", path.display())]
    Marker {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// Another `dev` or `demo` runs there.
    #[error("another `fidelogd dev` or `demo` works in {}; end it, or name another one with --data-dir", .0.display())]
    InUse(PathBuf),
    /// A path that cannot be written into a configuration file.
    #[error("{} is not UTF-8, so that no configuration file can name it; name another one with --data-dir", .0.display())]
    NotText(PathBuf),
    /// Ports.
    #[error(
        "--port-base {base}: the six ports are {base} to {base} + 201; at most 65334 is possible, at least 1024, or 0 for any that are free"
    )]
    PortBase {
        /// As given.
        base: u16,
    },
    /// None is free.
    #[error("the system gives no free ports: {0}")]
    NoPorts(io::Error),
    /// Somebody listens there.
    #[error(
        "port {port} is taken (broker {broker} needs it for {whom}): {source}; end what uses it, or choose other ports with --port-base, such as --port-base 19094"
    )]
    PortTaken {
        /// Which.
        port: u16,
        /// Who needs it.
        broker: u16,
        /// `clients` or `brokers`.
        whom: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A file or a directory.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration that was written is refused: the environment or this program is wrong.
    #[error("{0}")]
    Config(#[from] crate::config::ConfigErrors),
    /// A data directory was not made.
    #[error("broker {broker} has no data directory: {cause}")]
    Format {
        /// Whose.
        broker: u16,
        /// Why.
        cause: String,
    },
    /// A process was not started.
    #[error("broker {broker} was not started: {source}")]
    Spawn {
        /// Which.
        broker: u16,
        /// What the system said.
        source: io::Error,
    },
    /// A process ended that should not have.
    #[error("{ended}; the end of {}:\n{tail}", log.display())]
    Ended {
        /// Who, and how.
        ended: Ended,
        /// Where its log is.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// They run, and do not work together.
    #[error("the brokers were not ready within {seconds} s: {missing}{tails}")]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// What was missing.
        missing: String,
        /// The last lines of the logs of those that are not ready.
        tails: String,
    },
}

/// Names the file in an error of the system.
fn at(path: &std::path::Path) -> impl FnOnce(io::Error) -> LocalError {
    let path = path.to_owned();
    move |source| LocalError::File { path, source }
}
