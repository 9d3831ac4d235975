//! What `dev` says: commands that can be pasted, for the way this program was started.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::local::terminal::quoted;
use crate::local::{Broker, LocalCluster, Ports};

/// How this program, and the command line beside it, are called.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    daemon: String,
    client: String,
}

impl Program {
    /// As this process was started.
    pub(crate) fn this() -> Self {
        let executable = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("fidelogd"));
        // Cargo says so to what it runs.
        let by_cargo = std::env::var_os("CARGO_MANIFEST_DIR").is_some();
        let beside = executable.with_file_name("fidelog").is_file();
        Self::new(&executable, by_cargo, beside)
    }

    fn new(executable: &Path, by_cargo: bool, beside: bool) -> Self {
        let client = match (by_cargo, beside) {
            (true, _) if executable.components().any(|part| part.as_os_str() == "release") => {
                "cargo run -q --release -p fidelog-cli --".to_owned()
            }
            (true, _) => "cargo run -q -p fidelog-cli --".to_owned(),
            (false, true) => quoted(&executable.with_file_name("fidelog").to_string_lossy()),
            (false, false) => "fidelog".to_owned(),
        };
        Self { daemon: quoted(&executable.to_string_lossy()), client }
    }

    /// The command that starts a broker again.
    pub(crate) fn serve(&self, broker: &Broker) -> String {
        format!("{} serve --config {}", self.daemon, quoted(&broker.config.to_string_lossy()))
    }

    /// The command that opens a directory on these ports.
    pub(crate) fn dev_at(&self, directory: &Path, ports: &Ports) -> String {
        let base = if ports.are_standard() { None } else { ports.base() };
        let base = base.map_or_else(String::new, |base| format!(" --port-base {base}"));
        format!("{} dev --data-dir {}{base}", self.daemon, quoted(&directory.to_string_lossy()))
    }

    /// A command for a cluster on the usual ports.
    fn client(&self, verb: &str) -> String {
        format!("{} {verb}", self.client)
    }

    /// A command for a cluster on these ports.
    pub(crate) fn client_at(&self, ports: &Ports, verb: &str) -> String {
        if ports.are_standard() {
            return self.client(verb);
        }
        // All of them: any one may be the one that was killed.
        let all: Vec<_> = ports.pairs().iter().map(|pair| format!("localhost:{}", pair.client)).collect();
        self.client(&format!("-b {} {verb}", all.join(",")))
    }
}

/// Everything there is to know once the cluster is ready.
pub(super) fn welcome(cluster: &LocalCluster, program: &Program) -> String {
    let mut text = String::from(
        "Ready: replication factor 3, and an acknowledgement means synced on every replica in sync, at least 2.\n\n",
    );
    text.push_str(&table(cluster.brokers()));
    text.push_str("\nNothing starts a broker again but you:\n");
    for broker in cluster.brokers() {
        let _infallible = writeln!(text, "  {}", program.serve(broker));
    }
    let second = cluster.brokers().get(1).and_then(Broker::pid).unwrap_or_default();
    let _infallible = write!(
        text,
        "
What to type next, in another terminal:
  {create}
  echo 'hello, log' | {produce}
  {consume}
  kill -9 {second}   # broker 2; then produce and consume again: what it led has moved, nothing is lost

Ctrl-C ends all three. The data stays; `dev` goes on with it.",
        create = program.client_at(cluster.ports(), "topic create hello"),
        produce = program.client_at(cluster.ports(), "produce hello"),
        consume = program.client_at(cluster.ports(), "consume hello -e"),
    );
    text
}

fn table(brokers: &[Broker]) -> String {
    let mut text =
        format!("  {:<7} {:<8} {:<16} {:<16} data and log\n", "broker", "pid", "for clients", "for brokers");
    for broker in brokers {
        let pid = broker.pid().map_or("-".to_owned(), |pid| pid.to_string());
        let (client, peer) = (broker.client.to_string(), broker.peer.to_string());
        let (data, log) = (broker.data_dir.display(), broker.log.display());
        let _infallible = writeln!(text, "  {:<7} {pid:<8} {client:<16} {peer:<16} {data}  {log}", broker.id);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_the_way_it_was_started() {
        let release = Path::new("/src/fidelog/target/release/fidelogd");
        let debug = Path::new("/src/fidelog/target/debug/fidelogd");
        let client = |path, by_cargo, beside| Program::new(path, by_cargo, beside).client;
        assert_eq!(client(release, true, false), "cargo run -q --release -p fidelog-cli --");
        assert_eq!(client(debug, true, true), "cargo run -q -p fidelog-cli --");
        assert_eq!(client(Path::new("/opt/my tools/fidelogd"), false, true), "'/opt/my tools/fidelog'");
        assert_eq!(client(Path::new("/usr/bin/fidelogd"), false, false), "fidelog");
    }

    #[test]
    fn the_cluster_is_named_only_where_it_would_not_be_found() {
        let program = Program::new(Path::new("/usr/bin/fidelogd"), false, false);
        let verb = |base| program.client_at(&Ports::from_base(base).unwrap(), "cluster info");
        assert_eq!(verb(None), "fidelog cluster info");
        assert_eq!(
            verb(Some(19094)),
            "fidelog -b localhost:19094,localhost:19194,localhost:19294 cluster info"
        );
        let open = |base| program.dev_at(Path::new("/d"), &Ports::from_base(base).unwrap());
        assert_eq!(open(None), "/usr/bin/fidelogd dev --data-dir /d");
        assert_eq!(open(Some(19094)), "/usr/bin/fidelogd dev --data-dir /d --port-base 19094");
    }
}
