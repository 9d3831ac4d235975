//! What is done now and then: ticks for partitions, retention, the ballast.

use std::sync::Arc;
use std::time::Duration;

use fidelog_log::env::Clock;
use fidelog_log::{DataDir, OVERSIZE_SEGMENTS_MAX, Retention, new_start};
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::meta::lease::AckLease;
use crate::meta::view::MetaView;
use crate::partition::{Lease, Partition, Partitions};

/// How often partitions hear that time passes.
const TICK: Duration = Duration::from_millis(100);
/// Those at rest hear it at every tenth tick.
const RESTING_EVERY: u32 = 10;
/// How often the ballast is looked after.
const BALLAST_EVERY: Duration = Duration::from_secs(10);
/// Segments of one partition that a look may give up because they are old: bounds what a wrong clock can do (D15).
const RETENTION_SEGMENTS_MAX: usize = 4;

/// How soon retention looks again at logs of which it gave up as much as one look may.
const RETENTION_AGAIN: Duration = Duration::from_millis(100);
/// Partitions that retention looks at before others have the thread: a hand-over costs more than a look.
const RETENTION_AT_ONCE: usize = 100;

pub(super) fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Ticks every partition that wants it; those at rest seldom, and when the session with the quorum is lost or back.
pub(super) async fn tick(partitions: Arc<Partitions>, lease: AckLease, clock: Arc<dyn Clock>) {
    let mut interval = every(TICK);
    let mut was_in_touch = false;
    for number in (0..RESTING_EVERY).cycle() {
        // Stopping at any of these awaits is safe: a tick changes nothing that another would not.
        interval.tick().await;
        let in_touch = Lease::of(&lease).is_in_touch(clock.now());
        let all = std::mem::replace(&mut was_in_touch, in_touch) != in_touch || number == 0;
        for partition in if all { partitions.all() } else { partitions.restless() } {
            if partition.wants_ticks() {
                partition.tick();
            }
        }
    }
}

/// Lets leaders give up what has outlived its time (N15); soon once more where there was too much for one look.
pub(super) async fn retain(
    partitions: Arc<Partitions>,
    view: Arc<MetaView>,
    clock: Arc<dyn Clock>,
    period: Duration,
) {
    let mut interval = every(period);
    let mut oversize = Vec::new();
    loop {
        // Stopping at any of these awaits is safe: what is due is found due at the next look.
        let (old_max, looked_at) = tokio::select! {
            _ = interval.tick() => (RETENTION_SEGMENTS_MAX, partitions.all()),
            // Only for its size: what age may take at a look bounds what a wrong clock can do.
            () = tokio::time::sleep(RETENTION_AGAIN), if !oversize.is_empty() => (0, std::mem::take(&mut oversize)),
        };
        oversize.clear();
        for some in looked_at.chunks(RETENTION_AT_ONCE) {
            let (some, view, wall_ms) = (some.to_vec(), Arc::clone(&view), clock.wall_ms());
            let looked = tokio::task::spawn_blocking(move || {
                let has_more = |it: &Arc<Partition>| {
                    let looked = retain_one(it, &view, wall_ms, old_max);
                    looked.inspect_err(|why| warn!("retention: {why}")).unwrap_or(false)
                };
                some.into_iter().filter(has_more).collect::<Vec<_>>()
            });
            match looked.await {
                Ok(more) => oversize.extend(more),
                Err(why) => warn!("retention: {why}"),
            }
        }
    }
}

/// Gives up at most `old_max` segments because they are old; whether it is to be looked at again for its size.
fn retain_one(partition: &Partition, view: &MetaView, wall_ms: u64, old_max: usize) -> Result<bool, String> {
    let Some(config) = view.state().and_then(|state| state.effective_config(partition.id().topic)) else {
        return Ok(false);
    };
    partition.configure(config.segment_bytes.value, config.segment_ms.value); // the defaults may have changed
    let segments = partition.view().segments().map_err(|error| format!("{}: {error}", partition.id()))?;
    let retention = Retention {
        retention_ms: Some(config.retention_ms.value),
        retention_bytes: config.retention_bytes.value,
        segment_count_max: old_max,
    };
    // On every replica: each gives up files as its own segments allow.
    if segments.last().is_some_and(|last| retention.roll_is_due(last, config.segment_ms.value, wall_ms)) {
        partition.roll();
    }
    let published = partition.published().borrow().clone();
    if published.leading.is_none() || is_internal(view, partition) {
        return Ok(false);
    }
    let start = new_start(&segments, retention, wall_ms, published.positions.committed_end);
    let Some(start) = start else { return Ok(false) };
    info!(partition = %partition.id(), %start, "retention");
    partition.advance_start(start);
    Ok(segments.iter().filter(|segment| segment.end <= start).count() >= OVERSIZE_SEGMENTS_MAX)
}

/// Internal topics are trimmed by their owners alone.
fn is_internal(view: &MetaView, partition: &Partition) -> bool {
    view.state()
        .and_then(|state| state.topic(partition.id().topic).map(|topic| topic.internal))
        .unwrap_or(true)
}

/// Makes the data directory's ballast again once there is room for it.
pub(super) async fn tend_ballast(home: Arc<DataDir>) {
    let mut interval = every(BALLAST_EVERY);
    loop {
        interval.tick().await;
        let directory = Arc::clone(&home);
        match tokio::task::spawn_blocking(move || directory.tend_ballast()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!("the ballast is not there: {error}"),
            Err(panicked) => warn!("the ballast is not there: {panicked}"),
        }
    }
}
