//! Server processes: the benchmark's own program, started again with a role.
//!
//! A child prints its address, serves, and ends when its parent does: it is killed when dropped, and leaves by
//! itself when its standard input closes.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{catch_up, grpc, pipeline, wire};

const ROLE_FLAG: &str = "--floor-role=";

/// What a child does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Answers and stores nothing.
    Sink,
    /// Checks, appends, syncs and pushes to its followers.
    Leader {
        /// Directory for its file.
        dir: PathBuf,
        /// Where its followers listen.
        followers: Vec<SocketAddr>,
    },
    /// Checks, appends and syncs what its leader pushes.
    Follower {
        /// Directory for its file.
        dir: PathBuf,
    },
    /// Streams a file.
    Reader {
        /// Directory for its file.
        dir: PathBuf,
        /// Bytes of one message.
        message_bytes: usize,
    },
}

impl Role {
    /// The role among a process's arguments; `None` for the process a person started.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn among(mut args: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let found = args.find_map(|arg| arg.strip_prefix(ROLE_FLAG).map(str::to_owned));
        found.map(|text| serde_json::from_str(&text).with_context(|| format!("role {text:?}"))).transpose()
    }

    /// Serves until the parent is gone.
    ///
    /// # Errors
    /// When the process cannot serve: a file, a port or a follower is missing.
    pub fn serve(self) -> Result<()> {
        std::thread::spawn(leave_with_parent);
        wire::runtime()?.block_on(async {
            let (incoming, address) = wire::listen()?;
            let router = match self {
                Self::Sink => wire::server().add_service(grpc::sink()),
                Self::Leader { dir, followers } => {
                    wire::server().add_service(pipeline::leader(&dir, &followers).await?)
                }
                Self::Follower { dir } => wire::server().add_service(pipeline::follower(&dir)?),
                Self::Reader { dir, message_bytes } => {
                    wire::server().add_service(catch_up::reader(&dir, message_bytes)?)
                }
            };
            println!("{address}");
            router.serve_with_incoming(incoming).await.context("serving")
        })
    }
}

fn leave_with_parent() {
    // Nothing is ever written to it: a read returns when the parent is gone.
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(0);
}

/// A running child; dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    address: SocketAddr,
}

impl Child {
    /// Starts a child and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started, or ends before it listens; what it wrote to standard error is shown there.
    pub fn spawn(role: &Role) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find the benchmark's own program")?;
        let mut process = Command::new(program)
            .arg(format!("{ROLE_FLAG}{}", serde_json::to_string(role)?))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {role:?}"))?;
        let output = process.stdout.take().expect("stdout was asked to be a pipe");
        // From here on the process is killed when this function fails.
        let mut child = Self { process, address: SocketAddr::from(([0, 0, 0, 0], 0)) };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        child.address =
            line.trim().parse().with_context(|| format!("{role:?} did not say where it listens"))?;
        Ok(child)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already; either way there is nothing to do about an error here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_survives_the_command_line() {
        let role =
            Role::Leader { dir: "/a b".into(), followers: vec![SocketAddr::from(([127, 0, 0, 1], 9))] };
        let arg = format!("{ROLE_FLAG}{}", serde_json::to_string(&role).unwrap());
        assert_eq!(Role::among(["--bench".to_owned(), arg].into_iter()).unwrap(), Some(role));
        assert_eq!(Role::among(["--bench".to_owned()].into_iter()).unwrap(), None);
        assert!(Role::among([format!("{ROLE_FLAG}nonsense")].into_iter()).is_err());
    }
}
