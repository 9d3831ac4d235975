//! How long a broker takes from its start until it serves, after it was killed.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::catch_up::write;
use super::cluster::Cluster;
use super::figure::Figure;

const GIB: f64 = (1_u64 << 30) as f64;
const RECORD_BYTES: usize = 16 << 10;
const PARTITIONS: usize = 10_000;

/// As many GiB as `FIDELOG_BENCH_RECOVERY_GIB` says, else one.
pub(super) fn after_kill(dir: &Path) -> Result<Vec<Figure>> {
    let gib: usize = match std::env::var("FIDELOG_BENCH_RECOVERY_GIB") {
        Ok(text) => {
            text.parse().with_context(|| format!("FIDELOG_BENCH_RECOVERY_GIB={text:?} is not a count"))?
        }
        Err(_) => 1,
    };
    let mut cluster = Cluster::start(dir, 1)?;
    let began = Instant::now();
    let client = cluster.runtime.block_on(write(&cluster, "bench", RECORD_BYTES, gib << 30))?;
    let wrote_s = began.elapsed().as_secs_f64();
    drop(client);
    cluster.broker(0).kill();
    let took = cluster.restart(0)?;
    let name = format!("serves {gib} GiB (written in {wrote_s:.1} s) after kill -9");
    Ok(vec![Figure { name, value: took.as_secs_f64(), unit: "s", below: Some(1.0) }])
}

/// Empty partitions of one topic.
pub(super) fn many_partitions(dir: &Path) -> Result<Vec<Figure>> {
    let mut cluster = Cluster::start(dir, 1)?;
    let before = used_bytes(dir)?;
    let began = Instant::now();
    cluster.runtime.block_on(cluster.create_topic("bench", PARTITIONS, 1))?;
    let created_s = began.elapsed().as_secs_f64();
    let disk = (used_bytes(dir)? - before) / GIB;
    let took = cluster.restart(0)?;
    let pid = cluster.broker(0).pid().context("the broker runs")?;
    let memory = super::memory::anonymous_bytes(pid)? / (1 << 20) as f64;
    let of = |what: &str, value, unit, below| {
        let name = format!("{PARTITIONS} partitions: {what}");
        Figure { name, value, unit, below }
    };
    Ok(vec![
        of("made", created_s, "s", None),
        of("disk", disk, "GiB", Some(2.0)),
        of("serves after kill -9", took.as_secs_f64(), "s", Some(10.0)),
        of("anonymous memory", memory, "MiB", None),
    ])
}

/// Blocks that files below `dir` occupy, bytes.
fn used_bytes(dir: &Path) -> Result<f64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += metadata.blocks() as f64 * 512.0;
        if metadata.is_dir() {
            bytes += used_bytes(&entry.path())?;
        }
    }
    Ok(bytes)
}
