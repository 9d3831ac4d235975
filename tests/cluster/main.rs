//! Tests with real processes: clusters of daemons on loopback, killed, paused, filled up and lied to, while clients note
//! what they see and a checker judges it. One file is one story.
//!
//! `FIDELOG_SEED` fixes the seed of everything random; each test prints the one it uses. `FIDELOG_CLUSTER_ROUNDS` sizes
//! the rounds of kills, `FIDELOG_POWER_CUTS` those of power cuts, `FIDELOG_SCENARIOS` the scenarios. A test that lacks what it needs skips with one line; `FIDELOG_TESTS_REQUIRED=1` forbids that.

mod harness;
mod history;
mod workload;

mod catch_up;
mod cli;
mod clones;
mod corruption;
mod deployments;
mod directories;
mod disk_full;
mod doors;
mod failing_sync;
mod floods;
mod follower_down;
mod frames;
mod idempotence;
mod kill_rounds;
mod message_sizes;
mod operations;
mod outage;
mod panic_aborts;
mod positions;
mod positions_bounds;
mod power_cut;
mod python;
mod quorum_away;
mod raw;
mod rebuild;
mod restart_clean;
mod roundtrip;
mod scenarios;
mod slow_consumer;
mod small_disk;
mod voters;
mod wire;
