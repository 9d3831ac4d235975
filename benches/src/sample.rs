//! What one timed repetition showed, and the median of several.
//!
//! Latencies are nanoseconds in a histogram with three significant digits; figures are what a reader compares.
//! Nothing here measures: a contender fills a [`Sample`], the runner asks for [`Figures`].

use std::time::Duration;

use fidelog_client::Stages;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::stages::{StageMeans, StageSums};

/// Longest latency told apart from longer ones.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Answers seen during one repetition.
#[derive(Clone, Debug)]
pub struct Sample {
    latency_ns: Histogram<u64>,
    records: u64,
    bytes: u64,
    elapsed: Duration,
    stages: StageSums,
}

impl Default for Sample {
    fn default() -> Self {
        let latency_ns = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
            .expect("constant bounds, 1 to 60 s, three digits");
        Self { latency_ns, records: 0, bytes: 0, elapsed: Duration::ZERO, stages: StageSums::default() }
    }
}

impl Sample {
    /// Counts one answered message of `records` records and `bytes` payload bytes.
    pub fn record(&mut self, latency: Duration, records: usize, bytes: usize) {
        self.latency_ns.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        self.records += records as u64;
        self.bytes += bytes as u64;
    }

    /// Adds where the time of one record went, as its receipt says.
    pub fn record_stages(&mut self, stages: &Stages) {
        self.stages.add(stages);
    }

    /// Sets the time over which the answers were counted.
    #[must_use]
    pub fn over(self, elapsed: Duration) -> Self {
        Self { elapsed, ..self }
    }

    /// Adds the answers of another producer that ran over the same time.
    pub fn merge(&mut self, other: &Self) {
        self.latency_ns += &other.latency_ns;
        self.records += other.records;
        self.bytes += other.bytes;
        self.stages.merge(&other.stages);
        self.elapsed = self.elapsed.max(other.elapsed);
    }

    /// The figures a reader compares. All are zero when nothing was answered.
    pub fn figures(&self) -> Figures {
        let seconds = self.elapsed.as_secs_f64();
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Figures {
            p50_us: self.latency_ns.value_at_quantile(0.50) as f64 / 1e3,
            p99_us: self.latency_ns.value_at_quantile(0.99) as f64 / 1e3,
            mb_per_s: per_second(self.bytes) / 1e6,
            records_per_s: per_second(self.records),
            stages: self.stages.means(),
        }
    }
}

/// The figures of one repetition, or the medians of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Median latency of a message, microseconds, from handing it over to its answer.
    pub p50_us: f64,
    /// The latency that one message in a hundred exceeds, microseconds.
    pub p99_us: f64,
    /// Answered payload, millions of bytes per second.
    pub mb_per_s: f64,
    /// Answered records per second.
    pub records_per_s: f64,
    /// Where the time went, when there were receipts; of several repetitions, the middle one's by median latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<StageMeans>,
}

impl Figures {
    /// The median of each figure by itself; of an even number, the mean of the middle two.
    ///
    /// `None` when there are no repetitions.
    pub fn median(repetitions: &[Self]) -> Option<Self> {
        let middle = |figure: fn(&Self) -> f64| median(repetitions.iter().map(figure).collect());
        Some(Self {
            p50_us: middle(|figures| figures.p50_us)?,
            p99_us: middle(|figures| figures.p99_us)?,
            mb_per_s: middle(|figures| figures.mb_per_s)?,
            records_per_s: middle(|figures| figures.records_per_s)?,
            stages: middle_stages(repetitions),
        })
    }

    /// Each figure divided by the same figure of `floor`: above 1 is slower for latencies and faster for rates.
    #[must_use]
    pub fn ratio_to(&self, floor: &Self) -> Self {
        Self {
            p50_us: self.p50_us / floor.p50_us,
            p99_us: self.p99_us / floor.p99_us,
            mb_per_s: self.mb_per_s / floor.mb_per_s,
            records_per_s: self.records_per_s / floor.records_per_s,
            stages: None,
        }
    }
}

/// Means that belong together: those of one repetition.
fn middle_stages(repetitions: &[Figures]) -> Option<StageMeans> {
    let mut with: Vec<_> = repetitions.iter().filter(|figures| figures.stages.is_some()).collect();
    with.sort_by(|one, other| one.p50_us.total_cmp(&other.p50_us));
    with.get(with.len() / 2)?.stages
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { (values[middle - 1] + upper) / 2.0 } else { upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_from_what_was_recorded() {
        let mut sample = Sample::default();
        for us in 1..=100 {
            sample.record(Duration::from_micros(us), 2, 2_000);
        }
        let figures = sample.over(Duration::from_millis(500)).figures();
        assert!((figures.p50_us - 50.0).abs() < 0.5, "{figures:?}");
        assert!((figures.p99_us - 99.0).abs() < 0.5, "{figures:?}");
        assert!((figures.mb_per_s - 0.4).abs() < 1e-9, "{figures:?}");
        assert!((figures.records_per_s - 400.0).abs() < 1e-9, "{figures:?}");
    }

    #[test]
    fn producers_of_one_repetition_add_up() {
        let mut one = Sample::default().over(Duration::from_secs(1));
        let mut other = Sample::default().over(Duration::from_secs(1));
        one.record(Duration::from_micros(10), 1, 100);
        other.record(Duration::from_micros(30), 1, 100);
        one.merge(&other);
        assert!((one.figures().records_per_s - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_median_ignores_one_wild_repetition() {
        let of = |mb_per_s| Figures { mb_per_s, ..Figures::default() };
        assert_eq!(Figures::median(&[of(5.0), of(900.0), of(6.0)]), Some(of(6.0)));
        assert_eq!(Figures::median(&[of(4.0), of(6.0)]), Some(of(5.0)));
        assert_eq!(Figures::median(&[]), None);
    }

    #[test]
    fn nothing_answered_is_zero_and_not_a_division_by_zero() {
        assert_eq!(Sample::default().figures(), Figures::default());
    }
}
