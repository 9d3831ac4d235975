//! The seam between the runner and whatever can do a workload: a floor, or the product.
//!
//! A contender is told the shape when it starts and the time when it is driven; it may not change either.
//! Between two drives it is idle, so that floor and product can take turns on one machine.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::sample::Sample;
use crate::shape::Shape;

/// Something that can be started for a shape.
pub trait Contender {
    /// Starts whatever serves `shape`, with its data below `dir` (an empty directory on a real disk).
    ///
    /// # Errors
    /// When a process, a file or a connection could not be made.
    fn start(&self, shape: &Shape, dir: &Path) -> Result<Box<dyn Running>>;
}

/// A contender that was started; dropping it ends its processes.
pub trait Running {
    /// Does the work for `time` after a warm-up of [`warm_up`], and returns with nothing left in flight.
    ///
    /// # Errors
    /// When an answer was an error or did not come: such a repetition has no figures.
    fn drive(&mut self, time: Duration) -> Result<Sample>;
}

/// How long a repetition of `time` is driven before answers count.
pub fn warm_up(time: Duration) -> Duration {
    (time / 5).min(Duration::from_millis(500))
}
