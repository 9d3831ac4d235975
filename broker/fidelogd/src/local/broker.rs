//! One broker process of a local cluster, and the task that owns it.
//!
//! ```text
//!   Broker --- orders (terminate, kill) ---> task, owns the process --- its end ---> LocalCluster
//! ```
//!
//! A process is signalled only by the task that has not yet seen its end, so that no signal reaches a stranger who
//! got its number.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::args::LogArgs;

/// How much of a log is shown when something went wrong.
const TAIL_LINES: usize = 12;
const TAIL_BYTES: u64 = 16 << 10;

/// A broker: where it is, and its process if it has one.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) id: u16,
    pub(crate) client: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) log: PathBuf,
    pub(super) process: Option<Process>,
}

/// A process that was started and whose end was not yet heard of.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    orders: mpsc::UnboundedSender<Order>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// SIGTERM: it stops within 10 s.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// A process that ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) broker: u16,
    pub(crate) pid: u32,
    status: Option<ExitStatus>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broker {} (pid {}) ended: ", self.broker, self.pid)?;
        match self.status.map(|status| (status.code(), status.signal())) {
            Some((Some(code), _)) => write!(f, "exit code {code}"),
            Some((None, Some(signal))) => write!(f, "signal {signal}"),
            Some((None, None)) | None => f.write_str("nobody knows how"),
        }
    }
}

impl Broker {
    /// Its process, while it has one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.pid)
    }

    /// Starts `serve`, which will die with this process. To be called on the main thread: the system watches the
    /// thread, not the process. What it prints goes to the end of its log.
    pub(super) fn spawn(&mut self, log: &LogArgs, ends: mpsc::UnboundedSender<Ended>) -> io::Result<()> {
        let output = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(std::env::current_exe()?);
        // Settings meant for one broker must not reach all three.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FIDELOGD_") {
                command.env_remove(name);
            }
        }
        let format = log.log_format.to_possible_value();
        let format = format.as_ref().map_or("text", |value| value.get_name()).to_owned();
        command
            .arg("serve")
            .arg("--config")
            .arg(&self.config)
            .args(["--log-level", &log.log_level, "--log-format", &format])
            .args(["--parent", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C at the terminal is for whoever started it, which then stops it in order.
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("it ended before it had a number"))?;
        let (orders, received) = mpsc::unbounded_channel();
        tokio::spawn(own(self.id, pid, child, received, ends));
        self.process = Some(Process { pid, orders });
        Ok(())
    }

    /// Signals its process, if it has one. Its end is heard of later.
    pub(super) fn order(&self, order: Order) {
        if let Some(process) = &self.process {
            // A task that is gone has seen the end.
            let _ended = process.orders.send(order);
        }
    }

    /// The end of its log, for people.
    pub(super) fn log_tail(&self) -> String {
        tail(&self.log).unwrap_or_else(|error| format!("(cannot be read: {error})"))
    }
}

async fn own(
    broker: u16,
    pid: u32,
    mut child: Child,
    mut orders: mpsc::UnboundedReceiver<Order>,
    ends: mpsc::UnboundedSender<Ended>,
) {
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.ok(),
            Some(order) = orders.recv() => signal(&mut child, order),
        }
    };
    // Nobody waits for it when the program ends.
    let _nobody = ends.send(Ended { broker, pid, status });
}

fn signal(child: &mut Child, order: Order) {
    // `id` is there until the end was waited for: the number is still its own. A signal that is not delivered finds a
    // process that has just ended.
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let signal = match order {
        Order::Terminate => Signal::TERM,
        Order::Kill => Signal::KILL,
    };
    let _ended = pid.map(|pid| kill_process(pid, signal));
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let begin = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    Ok(match last {
        [] => "  (it is empty)".to_owned(),
        last => last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_its_last_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "").unwrap();
        assert_eq!(tail(&path).unwrap(), "  (it is empty)");
        let text: String = (0..5000).map(|line| format!("line {line}\n")).collect();
        std::fs::write(&path, text + "\u{fffd}last").unwrap();
        let shown = tail(&path).unwrap();
        assert_eq!(shown.lines().count(), TAIL_LINES);
        assert!(shown.ends_with("\u{fffd}last") && shown.contains("line 4999"), "{shown}");
    }

    #[test]
    fn an_end_tells_how() {
        let ended =
            |status| Ended { broker: 2, pid: 7, status: Some(ExitStatus::from_raw(status)) }.to_string();
        assert_eq!(ended(9), "broker 2 (pid 7) ended: signal 9");
        assert_eq!(ended(3 << 8), "broker 2 (pid 7) ended: exit code 3");
    }
}
