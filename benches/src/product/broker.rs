//! One broker's process: this program, started again to be the daemon.
//!
//! It dies with the thread that started it, which is the main one. What it says goes to a file beside its data, and
//! the end of that into the error when it does not start.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};

const ROLE_FLAG: &str = "--product-role=";
/// Lines of a broker's output shown in an error.
const SHOWN_LINES_MAX: usize = 12;

/// Runs the daemon when the arguments ask for it: what follows the role is the daemon's command line.
pub fn run_role(args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.skip_while(|arg| arg != ROLE_FLAG);
    args.next()?;
    Some(fidelogd::run(std::iter::once(OsString::from("fidelogd")).chain(args)))
}

/// A broker's files, and its process while it has one. Dropping it kills the process.
#[derive(Debug)]
pub struct Broker {
    config: PathBuf,
    output: PathBuf,
    process: Option<Child>,
}

impl Broker {
    /// Makes the data directory that the configuration file names.
    ///
    /// # Errors
    /// When the daemon says no.
    pub fn format(config: &Path) -> Result<Self> {
        let broker = Self { config: config.to_owned(), output: config.with_extension("out"), process: None };
        let status = broker.daemon("format")?.status().context("cannot start a daemon to format")?;
        ensure!(status.success(), "formatting failed: {}", broker.said());
        Ok(broker)
    }

    /// Starts serving; returns at once. To be called on the main thread.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn start(&mut self) -> Result<()> {
        let mut daemon = self.daemon("serve")?;
        daemon.args(["--parent", &std::process::id().to_string()]);
        self.process = Some(daemon.spawn().context("cannot start a broker")?);
        Ok(())
    }

    /// Kills it as `kill -9` does and waits for its end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended already; either way there is nothing to do about an error here.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Its process, while it has one.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// That it runs.
    ///
    /// # Errors
    /// When it has ended: what it said last.
    pub fn check(&mut self) -> Result<()> {
        let ended = self.process.as_mut().map(Child::try_wait).transpose()?.flatten();
        ensure!(ended.is_none(), "a broker has ended: {}", self.said());
        Ok(())
    }

    /// The end of what it has written to its output.
    pub fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.output).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES_MAX)..].join("\n")
    }

    fn daemon(&self, verb: &str) -> Result<Command> {
        let output = File::options().create(true).append(true).open(&self.output)?;
        let program = std::env::current_exe().context("cannot find the benchmark's own program")?;
        let mut command = Command::new(program);
        command
            .args([ROLE_FLAG, verb, "--config"])
            .arg(&self.config)
            .args(["--log-level", "warn"])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        Ok(command)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
