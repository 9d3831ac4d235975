//! A thousand topics at once, as a program makes them through the SDK: default partitions, replication factor 3, several
//! requests at a time.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use fidelog_client::NewTopic;
use futures::{StreamExt, TryStreamExt, stream};

use super::cluster::Cluster;
use super::figure::{Figure, count_of};

const BROKERS: usize = 3;
/// Requests under way at once.
const AT_ONCE: usize = 128;

/// As many as `FIDELOG_BENCH_TOPICS` says, else 1,000.
pub(super) fn topics_at_once(dir: &Path) -> Result<Vec<Figure>> {
    let count = count_of("FIDELOG_BENCH_TOPICS", 1_000)?;
    let cluster = Cluster::start(dir, BROKERS)?;
    let took = cluster.runtime.block_on(make(&cluster, "bulk", count, 0))?;
    let name = format!("{count} topics of 3 partitions, replication factor 3, made");
    Ok(vec![Figure { name, value: took, unit: "s", below: Some(5.0) }])
}

/// Makes `count` topics with `partitions` each, 0 for the default; how long that took, s.
pub(super) async fn make(cluster: &Cluster, prefix: &str, count: usize, partitions: usize) -> Result<f64> {
    let admin = cluster.client().await?.admin();
    let partitions = u32::try_from(partitions)?;
    let began = Instant::now();
    stream::iter(0..count)
        .map(|number| {
            let admin = admin.clone();
            let topic = NewTopic { partitions, ..NewTopic::new(format!("{prefix}{number:05}")) };
            async move { admin.create_topic(topic).await.map(drop) }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(began.elapsed().as_secs_f64())
}
