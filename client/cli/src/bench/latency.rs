//! Times, counted: percentiles of microseconds.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer times count as this one.
const US_MAX: u64 = 3_600_000_000;

/// A count of times.
#[derive(Clone, Debug)]
pub(super) struct Latency {
    histogram: Histogram<u64>,
}

/// What is told of it, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct LatencyReport {
    count: u64,
    mean: f64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl Default for Latency {
    fn default() -> Self {
        let histogram =
            Histogram::new_with_bounds(1, US_MAX, 3).expect("constant bounds, of which 1 < an hour");
        Self { histogram }
    }
}

impl Latency {
    pub(super) fn note_us(&mut self, us: u64) {
        self.histogram.saturating_record(us);
    }

    pub(super) fn note(&mut self, time: Duration) {
        self.note_us(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("every histogram here has the same bounds");
    }

    pub(super) fn report(&self) -> LatencyReport {
        let at = |quantile| self.histogram.value_at_quantile(quantile);
        LatencyReport {
            count: self.histogram.len(),
            mean: (self.histogram.mean() * 10.0).round() / 10.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.histogram.max(),
        }
    }
}

impl LatencyReport {
    pub(super) const COLUMNS: [&'static str; 7] = ["TIME-US", "MEAN", "P50", "P90", "P99", "P99.9", "MAX"];

    pub(super) fn cells(&self, name: &str) -> Vec<String> {
        let Self { mean, p50, p90, p99, p999, max, .. } = self;
        let mut cells = vec![name.to_owned(), format!("{mean:.1}")];
        cells.extend([p50, p90, p99, p999, max].map(ToString::to_string));
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_thousand_times() {
        let mut latency = Latency::default();
        (1..=1000).for_each(|us| latency.note_us(us));
        let report = latency.report();
        assert_eq!((report.count, report.p50, report.p90, report.max), (1000, 500, 900, 1000));
        assert!((report.mean - 500.5).abs() < 1.0, "{report:?}");
    }

    #[test]
    fn no_time_is_too_short_or_too_long() {
        let mut latency = Latency::default();
        latency.note_us(0);
        latency.note(Duration::from_secs(1_000_000));
        let mut sum = Latency::default();
        sum.add(&latency);
        assert_eq!(sum.report().count, 2);
        assert_eq!(Latency::default().report().max, 0);
    }
}
