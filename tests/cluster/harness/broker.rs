//! One daemon of a test's cluster: its configuration, its data directory, its process and its log.
//!
//! Always true: the process is a child of this test, signalled by its own id only, and killed when this is dropped; the
//! log of all its starts is one file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::address::{self, CLIENT_PORT, PEER_PORT};

/// A stop that takes longer hangs. The daemon itself promises 10 s.
const STOP_MAX: Duration = Duration::from_secs(60);

/// A daemon that may run or not.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) id: u32,
    address: IpAddr,
    /// What its commands begin with, if not with the daemon.
    launcher: Vec<String>,
    /// Names its files below `home`.
    name: String,
    home: PathBuf,
    data_dir: PathBuf,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Broker {
    /// Broker `id` at `address`, with its files below `home`. Nothing is made yet.
    pub(crate) fn new(id: u32, address: IpAddr, launcher: Vec<String>, home: &Path) -> Self {
        let (name, home) = (format!("broker-{id}"), home.to_owned());
        let data_dir = home.join(&name);
        Self { id, address, launcher, name, home, data_dir, environment: Vec::new(), child: None }
    }

    /// A second process that takes itself for this broker, with another data directory or the same, and with addresses
    /// of its own, so that only what it says of itself is the same; not started. A cluster has one at a time, and no
    /// broker 4.
    pub(crate) fn double(&self, data_dir: &Path) -> Self {
        let name = format!("{}-double", self.name);
        let told = |path: &Path| format!("data_dir = \"{}\"", path.display());
        let text = std::fs::read_to_string(self.config_path()).expect("the configuration is read");
        let double = Self {
            id: self.id,
            address: address::of_double(self.address),
            launcher: self.launcher.clone(),
            name,
            home: self.home.clone(),
            data_dir: data_dir.to_owned(),
            environment: self.environment.clone(),
            child: None,
        };
        let text = text.replace(&told(&self.data_dir), &told(data_dir));
        let listens = |address: IpAddr| format!("\"{address}:");
        let text = text.replace(&listens(self.address), &listens(double.address));
        std::fs::write(double.config_path(), text).expect("the configuration is written");
        double
    }

    /// Its data is kept there and not below the cluster's home. To be said before [`Self::configure`].
    pub(crate) fn keep_in(&mut self, data_dir: &Path) {
        data_dir.clone_into(&mut self.data_dir);
    }

    /// Where it listens for clients.
    pub(crate) fn client_address(&self) -> SocketAddr {
        (self.address, CLIENT_PORT).into()
    }

    /// Where it listens for brokers.
    pub(crate) fn peer_address(&self) -> SocketAddr {
        (self.address, PEER_PORT).into()
    }

    /// Its data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone()
    }

    fn config_path(&self) -> PathBuf {
        self.home.join(format!("{}.toml", self.name))
    }

    fn log_path(&self) -> PathBuf {
        self.home.join(format!("{}.log", self.name))
    }

    /// Writes its configuration.
    pub(crate) fn configure(&self, cluster_id: &str, brokers: &str) {
        let text = format!(
            "[broker]\nid = {}\ndata_dir = \"{}\"\nlisten = \"{}\"\npeer_listen = \"{}\"\n\n[cluster]\nid = \
             \"{cluster_id}\"\nbrokers = [\n{brokers}]\n",
            self.id,
            self.data_dir().display(),
            self.client_address(),
            self.peer_address(),
        );
        std::fs::write(self.config_path(), text).expect("the configuration is written");
    }

    /// From the next start on, setting `key` (`log.segment_bytes`) is `value`.
    pub(crate) fn set(&mut self, key: &str, value: impl ToString) {
        let (section, name) = key.split_once('.').expect("a key is section.name");
        self.environment(&format!("FIDELOGD_{}__{}", section.to_uppercase(), name.to_uppercase()), value);
    }

    /// From the next start on, its environment has this variable.
    pub(crate) fn environment(&mut self, name: &str, value: impl ToString) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_string()));
    }

    /// `verb`: one word, or a few.
    fn command(&self, verb: &str) -> Command {
        let daemon = env!("CARGO_BIN_EXE_fidelogd-under-test");
        let mut command = match self.launcher.split_first() {
            None => Command::new(daemon),
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(daemon);
                command
            }
        };
        command.args(verb.split(' ')).arg("--config").arg(self.config_path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `fidelogd format`; yields what it said and whether it succeeded.
    pub(crate) fn format(&self) -> Result<String, String> {
        self.offline("format", &[])
    }

    /// Runs a verb that ends by itself; yields what it said and whether it succeeded.
    pub(crate) fn offline(&self, verb: &str, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(verb).args(arguments).output().expect("the daemon can be run");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(said(&output.stdout)),
            false => Err(said(&output.stderr)),
        }
    }

    /// Starts the process; it need not be ready when this returns.
    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "broker {} runs already", self.id);
        let log = self.open_log();
        let mut command = self.command("serve");
        command.env("FIDELOG_TESTS_TETHER", "1").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("the daemon can be started"));
    }

    fn open_log(&self) -> File {
        OpenOptions::new().create(true).append(true).open(self.log_path()).expect("the log can be opened")
    }

    /// Whether its process was started and has not been seen to end.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().expect("a child can be waited for").is_none())
    }

    /// Memory its process has resident now, bytes; pages of mapped files count.
    ///
    /// # Panics
    /// When it does not run.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let child = self.child.as_ref().unwrap_or_else(|| panic!("broker {} does not run", self.id));
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it has a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("its memory is told");
        kib.trim().parse::<u64>().expect("a number") << 10
    }

    /// Kills it with SIGKILL, and waits until it is gone. Nothing happens when it does not run.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child can be killed");
            child.wait().expect("a child can be waited for");
        }
    }

    /// Asks it to stop with SIGTERM, and waits until it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait_for_exit()
    }

    /// Stops its process in its tracks.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a paused process go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap_or_else(|| panic!("broker {} does not run", self.id));
        let id = i32::try_from(child.id()).expect("process ids fit");
        kill(Pid::from_raw(id), signal).expect("a child can be signalled");
    }

    /// Tells the process something on its stdin; see `fidelogd_under_test`.
    pub(crate) fn tell(&mut self, line: &str) {
        let child = self.child.as_mut().unwrap_or_else(|| panic!("broker {} does not run", self.id));
        let stdin = child.stdin.as_mut().expect("stdin is a pipe");
        writeln!(stdin, "{line}").expect("the daemon listens to its stdin");
    }

    /// Waits until the process ends by itself.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap_or_else(|| panic!("broker {} does not run", self.id));
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                return status;
            }
            if begun.elapsed() > STOP_MAX {
                self.child = Some(child);
                panic!("broker {} did not end within {STOP_MAX:?}", self.id);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until its log, behind the first `from` bytes, tells `what`.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub(crate) fn wait_for_log(&self, from: usize, what: &str) {
        let begun = Instant::now();
        while !self.log()[from..].contains(what) {
            assert!(
                begun.elapsed() < STOP_MAX,
                "broker {} does not log `{what}`:\n{}",
                self.id,
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Everything it has logged, over all starts.
    pub(crate) fn log(&self) -> String {
        std::fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The end of its log, for people.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// How a start that must fail ends: its exit code, and what it logged since.
    pub(crate) fn start_in_vain(&mut self) -> (Option<i32>, String) {
        let before = self.log().len();
        self.start();
        let status = self.wait_for_exit();
        assert!(status.signal().is_none(), "broker {} was ended by a signal: {status}", self.id);
        (status.code(), self.log().split_off(before))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
