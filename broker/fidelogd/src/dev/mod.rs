//! `dev`: a three-broker cluster on this machine, to be used, broken and used again.
//!
//! What is always true: a broker that ends is told of and not started again; the brokers this started end with it,
//! however it ends; the data stays, and the next `dev` goes on with it.

mod words;

use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use tracing::debug;

use crate::args::{Dev, LogArgs};
use crate::local::terminal::{interruption, say};
use crate::local::{Home, Kind, LocalCluster, LocalError, Ports, default_dir};
use crate::{exit, logging};

pub(crate) use words::Program;

/// Runs until Ctrl-C. To be called on the main thread, with which the brokers die.
pub(crate) fn run(args: &Dev, log: &LogArgs) -> ExitCode {
    if let Err(error) = logging::start(log) {
        eprintln!("fidelogd: {error}");
        return ExitCode::from(exit::USAGE);
    }
    match serve(args, log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fidelogd: {error}");
            ExitCode::from(exit::FAILED)
        }
    }
}

fn serve(args: &Dev, log: &LogArgs) -> anyhow::Result<()> {
    let ports = Ports::from_base(args.port_base)?;
    let directory = match &args.data_dir {
        Some(directory) => directory.clone(),
        None => default_dir(Kind::Dev)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    // `block_on` runs it on this very thread.
    runtime.block_on(async {
        let interruption = interruption()?;
        let mut cluster = LocalCluster::start(Home::open(&directory)?, ports, log)?;
        let outcome = tokio::select! {
            outcome = watch(&mut cluster) => outcome,
            () = interruption => Ok(()),
        };
        say(format_args!("\nStopping; the data stays in {}.", cluster.home().directory().display()));
        let strangers = by_hand(&cluster);
        cluster.stop().await;
        strangers.into_iter().for_each(say);
        Ok(outcome?)
    })
}

/// Says what there is, then what ends.
async fn watch(cluster: &mut LocalCluster) -> Result<(), LocalError> {
    say(format_args!("Starting three brokers in {} …", cluster.home().directory().display()));
    let client = cluster.ready().await?;
    debug!(cluster = %client.cluster_id(), "ready");
    let program = Program::this();
    say(words::welcome(cluster, &program));
    loop {
        let ended = cluster.next_end().await;
        let broker = &cluster.brokers()[usize::from(ended.broker - 1)];
        say(format_args!("{ended}; to start it again: {}", program.serve(broker)));
        if cluster.brokers().iter().all(|broker| broker.pid().is_none()) {
            say(
                "None of the brokers started here is left. Ctrl-C, then `fidelogd dev` again, starts all three.",
            );
        }
    }
}

/// What is to be said about brokers that somebody started by hand: they are not ours to stop.
fn by_hand(cluster: &LocalCluster) -> Vec<String> {
    let ended = cluster.brokers().iter().filter(|broker| broker.pid().is_none());
    let runs = ended.filter(|it| TcpStream::connect_timeout(&it.client, Duration::from_millis(200)).is_ok());
    runs.map(|it| {
        format!("Broker {} was started by hand and still runs: stop it where it was started.", it.id)
    })
    .collect()
}
