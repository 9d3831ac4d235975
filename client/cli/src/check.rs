//! `check`: probes for scripts, containers and monitoring. Exit code 0 when all is well, 8 when not.

use std::time::Instant;

use clap::Subcommand;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure, one_line};
use crate::output::{Row, Rows, or_dash};

/// Probes for scripts and monitoring: exit code 0 or 8
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  fidelog check connection
  fidelog check connection --all --timeout 2s"
)]
pub(crate) struct Check {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask each broker named by -b whether it answers and is in touch with the quorum
    #[command(after_help = "Examples:
  fidelog check connection
  fidelog -b broker-1:9094,broker-2:9094 check connection -o json
  fidelog check connection --all --timeout 2s")]
    Connection {
        /// Ask every broker of the cluster
        #[arg(long)]
        all: bool,
    },
}

/// What one broker answered.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct ConnectionRow {
    address: String,
    ok: bool,
    broker: Option<u32>,
    quorum_reachable: Option<bool>,
    took_us: u64,
    problem: Option<String>,
}

impl Row for ConnectionRow {
    const COLUMNS: &'static [&'static str] = &["ADDRESS", "OK", "BROKER", "QUORUM", "TOOK-MS", "PROBLEM"];

    fn name(&self) -> String {
        self.address.clone()
    }

    fn cells(&self) -> Vec<String> {
        let took = self.took_us / 100;
        vec![
            self.address.clone(),
            self.ok.to_string(),
            or_dash(self.broker),
            or_dash(self.quorum_reachable),
            format!("{}.{}", took / 10, took % 10),
            self.problem.clone().unwrap_or_default(),
        ]
    }
}

pub(crate) async fn run(context: &Context, check: Check) -> Result<Exit, Failure> {
    let Command::Connection { all } = check.command;
    let mut addresses = context.brokers().to_vec();
    if all {
        match context.connect().await {
            Ok(client) => {
                let brokers = client.admin().describe_cluster().await?.brokers;
                addresses = brokers.into_iter().map(|broker| broker.address).collect();
            }
            // Nobody answers: the rows below say so, address by address.
            Err(failure) if failure.exit == Exit::Unreachable => {}
            Err(failure) => return Err(failure),
        }
    }
    let rows = futures::future::join_all(addresses.iter().map(|address| ask(context, address))).await;
    let failed = rows.iter().filter(|row| !row.ok).count();
    let total = rows.len();
    context.print(&Rows(rows))?;
    match failed {
        0 => Ok(Exit::Success),
        _ => Err(Failure::new(Exit::Problem, format!("{failed} of {total} brokers have a problem"))),
    }
}

async fn ask(context: &Context, address: &str) -> ConnectionRow {
    let began = Instant::now();
    let answer = async {
        let client = context.connect_to(&[address.to_owned()]).await?;
        Ok::<_, Failure>(client.admin().describe_cluster_at(address).await?)
    };
    let answer = answer.await;
    let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    match answer {
        Ok(answer) => judge(address, answer.answered_by, answer.quorum_reachable, took_us),
        Err(failure) => ConnectionRow {
            address: address.to_owned(),
            ok: false,
            broker: None,
            quorum_reachable: None,
            took_us,
            problem: Some(one_line(&failure.message)),
        },
    }
}

fn judge(address: &str, broker: u32, quorum_reachable: bool, took_us: u64) -> ConnectionRow {
    let problem = (!quorum_reachable).then(|| "it is out of touch with the metadata quorum".to_owned());
    ConnectionRow {
        address: address.to_owned(),
        ok: problem.is_none(),
        broker: Some(broker),
        quorum_reachable: Some(quorum_reachable),
        took_us,
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::assert_golden;

    #[test]
    fn a_broker_without_its_quorum_is_a_problem() {
        assert!(judge("a:1", 1, true, 0).ok);
        let lonely = judge("a:1", 1, false, 12_345);
        assert!(!lonely.ok);
        assert_eq!(lonely.cells()[4], "12.3");
        assert_golden(&Rows(vec![lonely]), include_str!("../golden/check_connection.json"));
    }
}
