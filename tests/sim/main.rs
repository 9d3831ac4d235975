//! The simulator: whole clusters in one thread, one seed a run.
//!
//! Real are the log on every simulated disk, the partitions with their machines and shells, replication, recovery, and the
//! decisions on metadata. Simulated are disks, clocks, the network, the quorum's agreement, the clients, and all that goes
//! wrong.
//!
//! | file | what it holds |
//! |---|---|
//! | `cluster` | a run, and what a step is |
//! | `agenda`, `event` | what happens next, and what can |
//! | `settings` | what a seed draws at first |
//! | `broker`, `processes`, `hosting`, `tending`, `mending` | machines, their processes, and what these do |
//! | `network`, `streams`, `links` | links and streams, and what partitions say on them |
//! | `quorum`, `control` | who decides on metadata, and who lives |
//! | `clients` | producers and readers |
//! | `trouble`, `destruction`, `healing` | what goes wrong, and the end, when nothing does any more |
//! | `judge`, `properties/` | what was seen, and what must hold |
//! | `planted` | bugs planted on purpose, and how many seeds each needs |
//!
//! `FIDELOG_SIM_SEEDS` is the number of seeds, `FIDELOG_SEED` the first. A failure prints the line that repeats it, and the
//! end of its story. Long runs: `FIDELOG_SIM_SEEDS=100000 cargo test -p fidelog-tests --profile sim --test sim seeds_keep`.

mod agenda;
mod broker;
mod clients;
mod cluster;
mod control;
mod destruction;
mod event;
mod healing;
mod hosting;
mod judge;
mod links;
mod mending;
mod network;
mod planted;
mod processes;
mod properties;
mod quorum;
mod refill;
mod settings;
mod streams;
mod tending;
mod trouble;

use fidelog_tests::seeds::{self, Failure};
use fidelog_tests::story::Story;

use cluster::run;

const SEEDS_VARIABLE: &str = "FIDELOG_SIM_SEEDS";
/// Seeds when nobody asks for more: half fixed, half fresh.
const SEEDS: u64 = 200;
/// Lines of a story that a failure prints, unless `FIDELOG_LINES` says otherwise; what disks were asked for is left out
/// unless `FIDELOG_DISKS` is set.
const LINES_MAX: u64 = 150;

/// All seeds that ever failed, and why.
const FAILED: &str = include_str!("seeds.txt");

/// The end of a failed seed's story, and the line that repeats it.
fn retell(failure: &Failure) -> String {
    let story = Story::told();
    let again = seeds::caught(|| run(failure.seed, &story));
    let lines_max = seeds::number("FIDELOG_LINES").unwrap_or(LINES_MAX);
    let told = story.last_lines(usize::MAX);
    let with_disks = seeds::number("FIDELOG_DISKS").is_some();
    let told: Vec<_> = told.lines().filter(|line| with_disks || !line.starts_with("    disk:")).collect();
    let first = told.len().saturating_sub(usize::try_from(lines_max).unwrap_or(usize::MAX));
    let lines = told[first..].join("\n");
    let Failure { seed, reason, .. } = failure;
    let same = if again.as_ref().err() == Some(reason) { "" } else { "\nIT DID NOT REPEAT ITSELF" };
    format!(
        "{lines}\n\nseed {seed}: {reason}{same}\nrepeat it: FIDELOG_SEED={seed} cargo test -p fidelog-tests --test sim seeds_keep\n"
    )
}

fn failed_before() -> Vec<u64> {
    let seeds = FAILED.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    seeds.map(|line| line.split_whitespace().next().and_then(|it| it.parse().ok()).expect("a seed")).collect()
}

#[test]
fn seeds_keep_every_promise() {
    let seeds = seeds::chosen(SEEDS_VARIABLE, SEEDS);
    if let Some(failure) = seeds::first_failure(&seeds, |seed| run(seed, &Story::untold())) {
        panic!("{}", retell(&failure));
    }
    println!("{} seeds kept every promise", seeds.len());
}

#[test]
fn seeds_that_failed_once_keep_every_promise() {
    if let Some(failure) = seeds::first_failure(&failed_before(), |seed| run(seed, &Story::untold())) {
        panic!("{}", retell(&failure));
    }
}

#[test]
fn a_seed_repeats_itself_to_the_letter() {
    for seed in 0..6 {
        let tell = || {
            let story = Story::told();
            run(seed, &story);
            (story.hash(), story.last_lines(usize::MAX))
        };
        assert!(tell() == tell(), "seed {seed} did not repeat itself");
    }
}
