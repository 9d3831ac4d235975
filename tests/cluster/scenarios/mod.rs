//! Seeded scenarios: one cluster each, under load, with one fault after another, single or together; then everything is
//! mended, and what clients saw and what lies on the disks is judged.
//!
//! | file | what it holds |
//! |---|---|
//! | `fault` | what can go wrong, how it is done and how it is mended |
//! | `run` | one scenario from its seed |
//!
//! `FIDELOG_SCENARIOS` says how many each test runs; `FIDELOG_SEED` where their seeds begin.

mod fault;
mod run;

use crate::harness::{Network, lacks, seed};

/// Scenarios of each test, unless `FIDELOG_SCENARIOS` says otherwise.
const SCENARIOS: u64 = 6;

fn seeds() -> impl Iterator<Item = u64> {
    let first = seed::of_this_run();
    (0..seed::count("FIDELOG_SCENARIOS", SCENARIOS)).map(move |number| first.wrapping_add(number))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_one_node_or_to_all_nothing_acknowledged_is_lost() {
    for seed in seeds() {
        run::run(seed, None).await;
    }
}

#[test]
fn whatever_link_is_cut_nothing_acknowledged_is_lost() {
    for seed in seeds() {
        let network = match Network::make(run::BROKERS) {
            Ok(network) => network,
            Err(why) => {
                lacks("cutting links", &format!("network namespaces: {why}"));
                return;
            }
        };
        network.run(|| run::run(seed, Some(&network)));
    }
}
