//! Where the time of acknowledged records went: means over a repetition of what their receipts say.

use fidelog_client::Stages;
use serde::Serialize;

/// Sums over receipts.
#[derive(Clone, Copy, Debug, Default)]
pub struct StageSums {
    count: u64,
    sums_us: [u64; 7],
}

impl StageSums {
    /// Adds one receipt.
    pub fn add(&mut self, stages: &Stages) {
        let Stages { gather_us, queue_us, append_us, sync_us, replication_us, network_us, client_us } =
            *stages;
        let parts = [gather_us, queue_us, append_us, sync_us, replication_us, network_us, client_us];
        self.count += 1;
        self.sums_us.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
    }

    /// Adds what another producer saw.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sums_us.iter_mut().zip(other.sums_us).for_each(|(sum, part)| *sum += part);
    }

    /// `None` without a receipt.
    pub fn means(&self) -> Option<StageMeans> {
        if self.count == 0 {
            return None;
        }
        let [gather_us, queue_us, append_us, sync_us, replication_us, network_us, client_us] =
            self.sums_us.map(|sum| sum as f64 / self.count as f64);
        Some(StageMeans { gather_us, queue_us, append_us, sync_us, replication_us, network_us, client_us })
    }
}

/// Mean microseconds of each stage; the first six add up to the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StageMeans {
    /// In the SDK, before its batch was sent.
    pub gather_us: f64,
    /// At the leader, before it had an offset.
    pub queue_us: f64,
    /// Until the leader had written it.
    pub append_us: f64,
    /// Until the leader had synced it.
    pub sync_us: f64,
    /// Until the other replicas had said the same.
    pub replication_us: f64,
    /// The rest of the way to the leader and back.
    pub network_us: f64,
    /// All of it.
    pub client_us: f64,
}

impl std::fmt::Display for StageMeans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { gather_us, queue_us, append_us, sync_us, replication_us, network_us, client_us } = self;
        let sum = gather_us + queue_us + append_us + sync_us + replication_us + network_us;
        write!(
            f,
            "gather {gather_us:.0} + queue {queue_us:.0} + append {append_us:.0} + sync {sync_us:.0} "
        )?;
        write!(
            f,
            "+ replication {replication_us:.0} + network {network_us:.0} = {sum:.0} of {client_us:.0} us"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_all_producers() {
        let stages = |us| Stages { sync_us: us, client_us: us, ..Stages::default() };
        let (mut one, mut other) = (StageSums::default(), StageSums::default());
        assert_eq!(one.means(), None);
        one.add(&stages(100));
        other.add(&stages(400));
        one.merge(&other);
        let means = one.means().unwrap();
        assert!((means.sync_us - 250.0).abs() < 1e-9, "{means:?}");
        assert!(means.to_string().ends_with("= 250 of 250 us"), "{means}");
    }
}
