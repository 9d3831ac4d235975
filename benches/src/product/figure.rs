//! Single figures of a broker that have no floor: what they may be at most is said instead.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{creation, failover, memory, moves, scale, start_up, steady};
use crate::settings::Section;

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much it was.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// What it should stay below; `None`: it is only shown.
    pub below: Option<f64>,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<72} {:>10.3} {}", self.name, self.value, self.unit)?;
        match self.below {
            Some(below) if self.value < below => write!(f, " (below {below}: yes)"),
            Some(below) => write!(f, " (below {below}: NO)"),
            None => Ok(()),
        }
    }
}

/// What measures some figures that belong together.
pub struct Measurement {
    /// Where it belongs.
    pub section: Section,
    /// What it is called; unique.
    pub name: &'static str,
    /// Measures with data below an empty directory.
    pub measure: fn(&Path) -> Result<Vec<Figure>>,
}

/// The most of a count when it is only tried whether all works.
const TRIED_MAX: usize = 3;

/// The count that the variable `name` gives, else `default`; with `--test` at most three.
///
/// # Errors
/// When it is no count.
pub(super) fn count_of(name: &str, default: usize) -> Result<usize> {
    let count = match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text:?} is not a count"))?,
        Err(_) => default,
    };
    Ok(if std::env::args().any(|arg| arg == "--test") { count.min(TRIED_MAX) } else { count })
}

/// The nearest rank of so many per cent; 0 of nothing.
pub(super) fn quantile(values: &[f64], per_cent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (sorted.len() * per_cent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

const fn of(section: Section, name: &'static str, measure: fn(&Path) -> Result<Vec<Figure>>) -> Measurement {
    Measurement { section, name, measure }
}

/// Every measurement, in the order they are made.
pub const MEASUREMENTS: [Measurement; 14] = [
    of(Section::Broker, "idle memory", memory::idle),
    of(Section::Broker, "memory per connection", memory::per_connection),
    of(Section::Broker, "start after kill -9", start_up::after_kill),
    of(Section::Broker, "many partitions", start_up::many_partitions),
    of(Section::Failover, "failover after kill -9", failover::after_kill),
    of(Section::Failover, "failover after SIGSTOP", failover::after_pause),
    of(Section::Failover, "failover after a cut link", failover::after_cut),
    of(Section::Moves, "partition elect, one in flight", failover::after_move),
    of(Section::Moves, "SIGTERM, one in flight", failover::after_stop),
    of(Section::Moves, "partition elect", moves::elections),
    of(Section::Moves, "SIGTERM", moves::stops),
    of(Section::Scale, "many topics at once", creation::topics_at_once),
    of(Section::Scale, "many partitions of a cluster", scale::many_partitions),
    of(Section::Steady, "nothing happens under load", steady::under_load),
];
