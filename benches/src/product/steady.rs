//! Whether anything happens under load when nothing should: nobody is fenced, no leader changes, the quorum keeps its
//! term, every replica stays in sync. Brokers, producers and all share the machine's cores.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::figure::{Figure, count_of};
use super::load::{Load, TOPIC};

/// Between two looks whether everybody still works.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where everything stands that may change only when something was lost or moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Epochs {
    term: u64,
    brokers: u64,
    leaders: u64,
    partitions: u64,
}

/// Full load for as many seconds as `FIDELOG_BENCH_STEADY_SECONDS` says, else 60.
pub(super) fn under_load(dir: &Path) -> Result<Vec<Figure>> {
    let time = Duration::from_secs(count_of("FIDELOG_BENCH_STEADY_SECONDS", 60)? as u64);
    let mut load = Load::start(dir)?;
    load.flow()?;
    let before = epochs(&load)?;
    let since_ms = newest_fence_ms(&load)?;
    let began = Instant::now();
    while began.elapsed() < time {
        std::thread::sleep(LOOK_EVERY.min(time));
        load.check()?;
    }
    let after = epochs(&load)?;
    let fenced = newest_fence_ms(&load)? != since_ms;
    let (records, took) = (load.records() as f64, load.time().as_secs_f64());
    load.end()?;
    let changed = |what: &str, before: u64, after: u64| Figure {
        name: format!("{what} in {} s of full load", time.as_secs()),
        value: after.abs_diff(before) as f64,
        unit: "",
        below: Some(1.0),
    };
    Ok(vec![
        Figure { name: "records acknowledged".into(), value: records / took, unit: "/s", below: None },
        changed("elections of the quorum", before.term, after.term),
        changed("brokers fenced", 0, u64::from(fenced)),
        changed("registrations", before.brokers, after.brokers),
        changed("elections of leaders", before.leaders, after.leaders),
        changed("changes of in-sync sets and leaders", before.partitions, after.partitions),
    ])
}

fn epochs(load: &Load) -> Result<Epochs> {
    load.cluster.runtime.block_on(async {
        let admin = load.client.admin();
        let topic = admin.describe_topic(TOPIC).await.context("describing the topic")?;
        Ok(Epochs {
            term: admin.describe_quorum().await?.term,
            brokers: admin.list_brokers().await?.iter().map(|it| it.broker_epoch).sum(),
            leaders: topic.partitions.iter().map(|it| u64::from(it.leader_epoch)).sum(),
            partitions: topic.partitions.iter().map(|it| it.partition_epoch).sum(),
        })
    })
}

fn newest_fence_ms(load: &Load) -> Result<u64> {
    let brokers = load.cluster.runtime.block_on(load.client.admin().list_brokers())?;
    Ok(brokers.iter().map(|it| it.fenced_at_ms).max().unwrap_or(0))
}
