//! One broker's process: this program, started again to be the daemon.
//!
//! It dies with the thread that started it, which is the main one. What it says goes to a file beside its data, and
//! the end of that into the error when it does not start.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

const ROLE_FLAG: &str = "--product-role=";
/// Lines of a broker's output shown in an error.
const SHOWN_LINES_MAX: usize = 12;
/// How long a planned stop may take, several times what is promised.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Runs the daemon when the arguments ask for it: what follows the role is the daemon's command line.
pub fn run_role(args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.skip_while(|arg| arg != ROLE_FLAG);
    args.next()?;
    Some(fidelogd::run(std::iter::once(OsString::from("fidelogd")).chain(args)))
}

/// A broker's files, and its process while it has one. Dropping it kills the process.
#[derive(Debug)]
pub struct Broker {
    /// What its command line begins with; nothing when it runs where this process does.
    launcher: Vec<String>,
    config: PathBuf,
    output: PathBuf,
    process: Option<Child>,
}

impl Broker {
    /// Makes the data directory that the configuration file names; every process of it is begun with `launcher`.
    ///
    /// # Errors
    /// When the daemon says no.
    pub fn format(config: &Path, launcher: Vec<String>) -> Result<Self> {
        let (config, output) = (config.to_owned(), config.with_extension("out"));
        let broker = Self { launcher, config, output, process: None };
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

    /// Sends a signal, named as `kill` names it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.pid().context("the broker does not run")?.to_string();
        let status = Command::new("kill").args([signal, &pid]).status().context("cannot run kill")?;
        ensure!(status.success(), "kill {signal} {pid} failed");
        Ok(())
    }

    /// Stops it as an operator does, and waits for its end.
    ///
    /// # Errors
    /// When it does not end well, and in time.
    pub fn stop(&mut self) -> Result<()> {
        self.signal("-TERM")?;
        let until = Instant::now() + STOP_MAX;
        let mut process = self.process.take().context("the broker does not run")?;
        loop {
            if let Some(status) = process.try_wait()? {
                ensure!(status.success(), "a broker ended with {status}: {}", self.said());
                return Ok(());
            }
            if Instant::now() >= until {
                self.process = Some(process);
                anyhow::bail!("a broker does not stop within {STOP_MAX:?}: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(1));
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
        let mut command = match self.launcher.split_first() {
            Some((first, others)) => {
                let mut command = Command::new(first);
                command.args(others).arg(program);
                command
            }
            None => Command::new(program),
        };
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
