//! What a broker keeps in memory of its own: resident pages that belong to no file.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::cluster::Cluster;
use super::figure::Figure;

const MIB: f64 = (1 << 20) as f64;
const KIB: f64 = 1024.0;
/// Idle connections to be held at once, two for each client.
const CLIENTS: usize = 250;
const CONNECTIONS: usize = 500;
/// What a broker may do of its own accord after the last request is done by then.
const SETTLE: Duration = Duration::from_secs(1);

/// Pages of the process that belong to no file, bytes.
///
/// # Errors
/// When there is no such process, or the system does not tell.
pub fn anonymous_bytes(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: f64 = line.and_then(|text| text.split_whitespace().next()).context("no RssAnon")?.parse()?;
    Ok(kib * KIB)
}

/// A broker with one topic that nobody uses.
pub(super) fn idle(dir: &Path) -> Result<Vec<Figure>> {
    let mut cluster = Cluster::start(dir, 1)?;
    cluster.runtime.block_on(cluster.create_topic("bench", 3, 1))?;
    std::thread::sleep(SETTLE);
    let bytes = anonymous_bytes(cluster.broker(0).pid().context("the broker runs")?)?;
    let name = "idle broker, anonymous memory".to_owned();
    Ok(vec![Figure { name, value: bytes / MIB, unit: "MiB", below: Some(50.0) }])
}

/// Connections that were used once and are kept.
pub(super) fn per_connection(dir: &Path) -> Result<Vec<Figure>> {
    let mut cluster = Cluster::start(dir, 1)?;
    cluster.runtime.block_on(cluster.create_topic("bench", 1, 1))?;
    let pid = cluster.broker(0).pid().context("the broker runs")?;
    let before = anonymous_bytes(pid)?;
    let clients = cluster.runtime.block_on(async {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let client = cluster.client().await?;
            // Requests take the connections in turn: both are made.
            for _ in 0..CONNECTIONS / CLIENTS {
                client.admin().describe_topic("bench").await?;
            }
            clients.push(client);
        }
        anyhow::Ok(clients)
    })?;
    std::thread::sleep(SETTLE);
    let after = anonymous_bytes(pid)?;
    let made = sockets(pid)?;
    drop(clients);
    let name = format!("each idle connection of {made}, anonymous memory");
    Ok(vec![Figure { name, value: (after - before) / made as f64 / KIB, unit: "KiB", below: None }])
}

fn sockets(pid: u32) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let target = std::fs::read_link(entry?.path()).unwrap_or_default();
        count += usize::from(target.to_string_lossy().starts_with("socket:"));
    }
    Ok(count.max(1))
}
