//! Single figures of a broker that have no floor: what they may be at most is said instead.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::{failover, memory, start_up};
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

/// Every measurement, in the order they are made.
pub const MEASUREMENTS: [Measurement; 6] = [
    Measurement { section: Section::Broker, name: "idle memory", measure: memory::idle },
    Measurement { section: Section::Broker, name: "memory per connection", measure: memory::per_connection },
    Measurement { section: Section::Broker, name: "start after kill -9", measure: start_up::after_kill },
    Measurement { section: Section::Broker, name: "many partitions", measure: start_up::many_partitions },
    Measurement { section: Section::Failover, name: "failover after kill -9", measure: failover::after_kill },
    Measurement {
        section: Section::Failover,
        name: "failover after SIGSTOP",
        measure: failover::after_pause,
    },
];
