//! The library's settings.
//!
//! A follower waits the lease, which is `ELECTION_MS_MAX`, and a random time between `ELECTION_MS_MIN` and
//! `ELECTION_MS_MAX` on top before it stands for election; the library looks every one and a half heartbeats. So
//! a leader that fell silent is replaced within 600 to 950 ms, of which it can have missed four heartbeats before
//! anybody stands.

use openraft::{Config, SnapshotPolicy};

/// From one heartbeat to the next.
pub(super) const HEARTBEAT_MS: u64 = 100;
const ELECTION_MS_MIN: u64 = 200;
pub(super) const ELECTION_MS_MAX: u64 = 400;
/// Entries of the log from one snapshot to the next: bounds what a start reads.
const SNAPSHOT_EVERY: u64 = 4_000;
/// Entries kept behind a snapshot, so that a controller that was away for a while needs no snapshot.
const LOGS_KEPT: u64 = 1_000;
/// Entries sent at once.
const PAYLOAD_ENTRIES_MAX: u64 = 64;
/// A learner no further behind than this counts as caught up.
pub(super) const LAG_MAX: u64 = 100;
/// One piece of a snapshot.
const CHUNK_BYTES: u64 = 1 << 20;
/// How long one piece may take.
const CHUNK_MS: u64 = 5_000;

const _: () = assert!(ELECTION_MS_MIN > HEARTBEAT_MS * 3 / 2, "one tick is one and a half heartbeats");

/// The settings of every controller.
pub(super) fn config() -> Config {
    let config = Config {
        cluster_name: "fidelog".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS_MIN,
        election_timeout_max: ELECTION_MS_MAX,
        install_snapshot_timeout: CHUNK_MS,
        max_payload_entries: PAYLOAD_ENTRIES_MAX,
        replication_lag_threshold: LAG_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
        snapshot_max_chunk_size: CHUNK_BYTES,
        max_in_snapshot_log_to_keep: LOGS_KEPT,
        ..Config::default()
    };
    config.validate().expect("constants that fit each other")
}
