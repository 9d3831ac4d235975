//! `serve` and `format`: one broker.

use std::path::Path;
use std::process::ExitCode;

use fidelog_broker::node::{self, Node, NodeConfig, StopReason};
use tracing::{error, info};

use crate::args::LogArgs;
use crate::local::parent::die_with;
use crate::{config, descriptors, exit, logging};

/// Runs one broker until a signal, a failure, or the end of `parent`.
pub(crate) fn serve(path: &Path, parent: Option<i32>, log: &LogArgs) -> ExitCode {
    if let Err(error) = parent.map_or(Ok(()), die_with) {
        eprintln!("fidelogd: {error}");
        return ExitCode::from(exit::FAILED);
    }
    let Some(config) = configured(path, log) else { return ExitCode::from(exit::USAGE) };
    descriptors::raise_limit();
    let node = match Node::start(config) {
        Ok(node) => node,
        Err(error) => {
            eprintln!("fidelogd: the broker does not start: {error}");
            return ExitCode::from(exit::FAILED);
        }
    };
    let reason = match wait(&node) {
        Ok(reason) => reason,
        Err(error) => Some(StopReason::Listener(format!("signals cannot be heard: {error}"))),
    };
    let clean = node.stop();
    match reason {
        None if clean => ExitCode::SUCCESS,
        None => ExitCode::from(exit::FAILED),
        Some(reason) => {
            error!("stopped: {reason}");
            eprintln!("fidelogd: stopped: {reason}");
            ExitCode::from(if matches!(reason, StopReason::DiskFailed(_)) {
                exit::DISK
            } else {
                exit::FAILED
            })
        }
    }
}

/// Starts logging and reads the configuration; says what is wrong with either.
pub(crate) fn configured(path: &Path, log: &LogArgs) -> Option<NodeConfig> {
    if let Err(error) = logging::start(log) {
        eprintln!("fidelogd: {error}");
        return None;
    }
    config::load(path).map_err(|errors| config::complain(&errors)).ok().map(|loaded| loaded.node)
}

/// Waits for SIGTERM, SIGINT or the node's own failure.
fn wait(node: &Node) -> std::io::Result<Option<StopReason>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        Ok(tokio::select! {
            _ = terminate.recv() => { info!("SIGTERM"); None }
            _ = interrupt.recv() => { info!("SIGINT"); None }
            reason = node.failed() => Some(reason),
        })
    })
}

/// Makes the data directory.
pub(crate) fn format(path: &Path, log: &LogArgs) -> ExitCode {
    let Some(config) = configured(path, log) else { return ExitCode::from(exit::USAGE) };
    match node::format(&config) {
        Ok(identity) => {
            println!(
                "formatted {}: broker {} of cluster {}, directory {}",
                config.data_dir.display(),
                identity.broker_id,
                identity.cluster_id,
                identity.directory_id
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("fidelogd: nothing was formatted: {error}");
            ExitCode::from(exit::FAILED)
        }
    }
}
