//! The command line, and what it said.

use std::process::Command;

use serde_json::Value;

/// How one command ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) notes: String,
}

impl Said {
    /// What it printed.
    ///
    /// # Panics
    /// When that is no JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The command line of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Fidelog {
    addresses: String,
}

impl Fidelog {
    pub(super) fn of(addresses: &[String]) -> Self {
        Self { addresses: addresses.join(",") }
    }

    /// Runs a command, however it ends.
    pub(super) async fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fidelog-under-test"));
        command.env("FIDELOG_BROKERS", &self.addresses).args(arguments);
        let ended =
            tokio::task::spawn_blocking(move || command.output()).await.expect("nothing panics there");
        let output = ended.expect("the command line can be run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said =
            Said { code: output.status.code(), out: text(&output.stdout), notes: text(&output.stderr) };
        println!("$ fidelog {}\n{}", arguments.join(" "), said.notes.trim_end());
        said
    }

    /// Runs a command that must succeed, and yields the JSON it prints.
    pub(super) async fn json(&self, arguments: &[&str]) -> Value {
        let said = self.run(&[arguments, &["-o", "json"]].concat()).await;
        assert_eq!(said.code, Some(0), "fidelog {}: {said:?}", arguments.join(" "));
        said.json()
    }

    /// Runs a command that must succeed.
    pub(super) async fn done(&self, arguments: &[&str]) {
        let said = self.run(arguments).await;
        assert_eq!(said.code, Some(0), "fidelog {}: {said:?}", arguments.join(" "));
    }
}
