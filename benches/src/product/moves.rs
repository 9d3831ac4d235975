//! How long writes stand still when leaders are moved as planned: three brokers, producers at full load, no record may
//! fail.
//!
//! What is measured is the longest time without a receipt on a partition that moved. At full load receipts have pauses of
//! their own; the longest ones of times without a move are shown beside it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::figure::{Figure, count_of, quantile};
use super::load::{Load, PARTITIONS, TOPIC};

/// What comes before a move: at least as long as the pauses that may be of it.
const CALM: Duration = Duration::from_millis(500);
/// The promise.
const PAUSE_MS_MAX: f64 = 300.0;
const BROKERS: u32 = 3;

/// Orders that let another replica lead: as many as `FIDELOG_BENCH_MOVES` says, else 60.
pub(super) fn elections(dir: &Path) -> Result<Vec<Figure>> {
    let count = count_of("FIDELOG_BENCH_MOVES", 60)?;
    let mut load = Load::start(dir)?;
    let (mut calm, mut moved) = (Vec::new(), Vec::new());
    for round in 0..count {
        let partition = u32::try_from(round)? % PARTITIONS;
        load.flow()?;
        let from = Instant::now();
        std::thread::sleep(CALM);
        load.flow()?;
        calm.push(load.longest_pause_ms(partition, from));
        let from = Instant::now();
        let (runtime, admin) = (&load.cluster.runtime, load.client.admin());
        let leads = runtime.block_on(admin.describe_topic(TOPIC))?.partitions[partition as usize].leader;
        let to = leads % BROKERS + 1;
        let answer = runtime.block_on(admin.elect_leaders(&[(TOPIC.to_owned(), partition)], Some(to)))?;
        let refused = answer.iter().find_map(|it| it.error.as_ref()).map(|it| it.message.as_str());
        ensure!(refused.is_none(), "partition {partition}, to broker {to}: {}", refused.unwrap_or_default());
        load.until("the move", |it| it.partition != partition || it.leader == to)?;
        std::thread::sleep(CALM);
        load.flow()?;
        moved.push(load.longest_pause_ms(partition, from));
    }
    load.end()?;
    Ok(figures("partition elect", &calm, &moved))
}

/// Planned stops of brokers, which lead two partitions each: as many as `FIDELOG_BENCH_STOPS` says, else 12.
pub(super) fn stops(dir: &Path) -> Result<Vec<Figure>> {
    let count = count_of("FIDELOG_BENCH_STOPS", 12)?;
    let mut load = Load::start(dir)?;
    let (mut calm, mut moved) = (Vec::new(), Vec::new());
    for round in 0..count {
        load.in_sync()?;
        load.balance()?;
        load.flow()?;
        let from = Instant::now();
        std::thread::sleep(CALM);
        load.flow()?;
        calm.extend((0..PARTITIONS).map(|partition| load.longest_pause_ms(partition, from)));
        let from = Instant::now();
        let index = round % BROKERS as usize;
        load.cluster.broker(index).stop()?;
        load.flow()?;
        // All of them: the others lose a follower.
        moved.extend((0..PARTITIONS).map(|partition| load.longest_pause_ms(partition, from)));
        load.cluster.restart(index)?;
    }
    load.end()?;
    Ok(figures("SIGTERM", &calm, &moved))
}

fn figures(name: &str, calm: &[f64], moved: &[f64]) -> Vec<Figure> {
    let figure = |what: String, values: &[f64], per_cent, below| Figure {
        name: format!("{name}: {what}"),
        value: quantile(values, per_cent),
        unit: "ms",
        below,
    };
    let count = moved.len();
    vec![
        figure(format!("pause of receipts without a move, p50 of {}", calm.len()), calm, 50, None),
        figure("pause of receipts without a move, the longest".to_owned(), calm, 100, None),
        figure(format!("pause of receipts, p50 of {count}, no record failed"), moved, 50, None),
        figure("pause of receipts, p90".to_owned(), moved, 90, None),
        figure("pause of receipts, p99".to_owned(), moved, 99, None),
        figure("pause of receipts, the longest".to_owned(), moved, 100, Some(PAUSE_MS_MAX)),
    ]
}
