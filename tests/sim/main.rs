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
//! | `network`, `streams`, `links`, `reading`, `refill` | links and streams, what partitions say on them, and what is read for others |
//! | `quorum`, `control` | who decides on metadata, and who lives |
//! | `clients`, `readers`, `groups` | producers, readers, and the members of a group |
//! | `surroundings` | what the owners of a group's positions want of the world |
//! | `trouble`, `slowness`, `destruction`, `aftermath`, `operator`, `healing` | what goes wrong, what people do, and the end, when nothing does any more |
//! | `stuck` | what is not well in the end, and what it is about |
//! | `judge`, `properties/` | what was seen, and what must hold |
//! | `planted` | bugs planted on purpose, and how many seeds each needs |
//!
//! `FIDELOG_SIM_SEEDS` is the number of seeds, `FIDELOG_SEED` the first; `FIDELOG_THREADS` the number of threads (1). A failure
//! prints the end of its story, and the line that repeats it; `FIDELOG_SIM_FAILURES` is how many end the run (1). Long runs:
//! `FIDELOG_SIM_SEEDS=100000 FIDELOG_THREADS=2 cargo test -p fidelog-tests --profile sim --test sim seeds_keep -- --nocapture`.

mod aftermath;
mod agenda;
mod broker;
mod clients;
mod cluster;
mod control;
mod destruction;
mod event;
mod groups;
mod healing;
mod hosting;
mod judge;
mod links;
mod mending;
mod network;
mod operator;
mod planted;
mod processes;
mod properties;
mod quorum;
mod readers;
mod reading;
mod refill;
mod settings;
mod slowness;
mod streams;
mod stuck;
mod surroundings;
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

/// Threads that run seeds, each its own.
fn threads() -> usize {
    seeds::number("FIDELOG_THREADS").map_or(1, |it| usize::try_from(it).expect("few threads"))
}

/// Runs them, and retells those that failed: the first one, or as many as `FIDELOG_SIM_FAILURES` says.
fn keep(seeds: &[u64]) {
    let count_max = seeds::number("FIDELOG_SIM_FAILURES").map_or(1, |it| usize::try_from(it).expect("few"));
    let failures = seeds::failures(seeds, threads(), count_max, |seed| run(seed, &Story::untold()));
    failures.iter().for_each(|failure| println!("{}", retell(failure)));
    let told: Vec<_> = failures.iter().map(|it| format!("seed {}: {}", it.seed, it.reason)).collect();
    assert!(failures.is_empty(), "{} of {} seeds failed:\n{}", told.len(), seeds.len(), told.join("\n"));
}

#[test]
fn seeds_keep_every_promise() {
    let seeds = seeds::chosen(SEEDS_VARIABLE, SEEDS);
    keep(&seeds);
    println!("{} seeds kept every promise", seeds.len());
}

#[test]
fn seeds_that_failed_once_keep_every_promise() {
    keep(&failed_before());
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
