//! What a seed draws before anything happens: sizes, times, and which troubles it will see.

use fidelog_broker::partition::MachineLimits;
use fidelog_log::{LogConfig, ProducerLimits};
use rand::Rng;
use rand::rngs::StdRng;

use crate::trouble::Kind;

/// Settings of one run. Times are microseconds unless they say otherwise.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) broker_count: usize,
    pub(crate) partition_count: u32,
    pub(crate) machine: MachineLimits,
    pub(crate) log: LogConfig,
    /// Between two ticks of a broker's partitions.
    pub(crate) tick: u64,
    /// Between two heartbeats.
    pub(crate) beat: u64,
    /// Between two batches of a producer, at most.
    pub(crate) produce: u64,
    /// How long faults last.
    pub(crate) chaos: u64,
    /// Between two troubles, at most.
    pub(crate) quiet: u64,
    /// The troubles of this run; a kind is there as often as it is likely.
    pub(crate) troubles: Vec<Kind>,
    /// Of segment files kept per partition.
    pub(crate) retention_bytes: Option<u64>,
    /// One way over the network, at most, when nothing is wrong with it.
    pub(crate) hop: u64,
    /// How long a process is down, at most.
    pub(crate) restart: u64,
    /// Percent of new leaderships that are disturbed as they begin, and half as many of replicas about to join.
    pub(crate) aftermath: u64,
    /// Whether there is a group, whose positions are stored.
    pub(crate) group: bool,
    /// Members of that group.
    pub(crate) member_count: usize,
    /// How long a producer waits after a refusal, at most.
    pub(crate) client_pause: u64,
}

impl Settings {
    pub(crate) fn draw(random: &mut StdRng) -> Self {
        let mut troubles: Vec<_> = Kind::ALL.into_iter().filter(|_| random.random_ratio(2, 5)).collect();
        if random.random_ratio(1, 2) {
            // What is lost when a process ends in the midst of its work is seen on no other occasion.
            troubles.extend([Kind::EndAmidWork; 3]);
        }
        if random.random_ratio(1, 3) {
            // A run that is mostly about one thing.
            let favourite = Kind::ALL[random.random_range(0..Kind::ALL.len())];
            troubles.extend([favourite; 6]);
        }
        if random.random_ratio(1, 5) {
            troubles.extend([Kind::FlipBit; 3]);
        }
        Self {
            broker_count: [3, 3, 3, 4, 5][random.random_range(0..5)],
            partition_count: random.random_range(1..=2),
            machine: MachineLimits {
                pending_bytes_max: 64 << 10,
                follower_credit_bytes: [600, 8 << 10][random.random_range(0..2)],
                replica_lag_ms_max: 1_200,
                replica_down_ms_max: 400,
                retry_ms: 60,
                producers: ProducerLimits { count_max: 100, idle_ms: u64::MAX },
            },
            log: LogConfig {
                segment_bytes: [4096, 8192][random.random_range(0..2)],
                index_every_bytes: [64, 256, 1024][random.random_range(0..3)],
                recovery_point_bytes: [1, 600, 2048, 1 << 30][random.random_range(0..4)],
                sealed_open_max: [1, 4][random.random_range(0..2)],
                producer_idle_ms: u64::MAX,
                ballast_bytes: 0,
                ..LogConfig::small()
            },
            tick: 100_000,
            beat: 250_000,
            produce: [30_000, 100_000][random.random_range(0..2)],
            chaos: random.random_range(2_000_000..8_000_000),
            quiet: [100_000, 400_000, 1_500_000][random.random_range(0..3)],
            troubles,
            retention_bytes: [None, None, Some(12 << 10)][random.random_range(0..3)],
            hop: [300, 2_000, 20_000][random.random_range(0..3)],
            group: random.random_ratio(1, 3),
            member_count: random.random_range(2..=4),
            restart: [600_000, 3_000_000][random.random_range(0..2)],
            aftermath: [0, 15, 50][random.random_range(0..3)],
            client_pause: [100_000, 100_000, 1_000_000][random.random_range(0..3)],
        }
    }
}
