//! Crash tests of the durable log: seeded runs of random operations over a simulated disk, cut at random instants.
//!
//! | file | what it holds |
//! |---|---|
//! | `run` | one seed's run: starts, and what they must find |
//! | `operations` | what it does, one operation at a time |
//! | `trouble` | what goes wrong meanwhile |
//! | `partition`, `recorder` | a partition of it, and the judgement of every event and every start |
//! | `model` | what must be true of one log |
//! | `batches` | batches to append |
//! | `damage` | bits flipped and zeroed on the medium, below S and above it |
//!
//! `FIDELOG_CRASH_RUNS` is the number of runs (default 10,000), `FIDELOG_SEED` the first seed. A failure prints the
//! line that repeats it, and the end of its story.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

mod batches;
mod damage;
mod model;
mod operations;
mod partition;
mod recorder;
mod run;
mod trouble;

use fidelog_tests::seeds::{self, Failure};
use fidelog_tests::story::Story;

use run::{Honesty, run};

const RUNS_VARIABLE: &str = "FIDELOG_CRASH_RUNS";
/// Lines of a story that a failure prints, unless `FIDELOG_LINES` says otherwise.
const LINES_MAX: u64 = 120;

/// The end of a failed seed's story, and the line that repeats it.
fn retell(failure: &Failure, honesty: Honesty) -> String {
    let story = Story::told();
    let again = seeds::caught(|| run(failure.seed, honesty, &story));
    let lines_max = seeds::number("FIDELOG_LINES").unwrap_or(LINES_MAX);
    let lines = story.last_lines(usize::try_from(lines_max).unwrap_or(usize::MAX));
    let Failure { seed, reason, .. } = failure;
    let same = if again.as_ref().err() == Some(reason) { "" } else { "\nIT DID NOT REPEAT ITSELF" };
    format!(
        "{lines}\n\nseed {seed}: {reason}{same}\nrepeat it: FIDELOG_SEED={seed} cargo test -p fidelog-tests --test crash what_was_acknowledged\n"
    )
}

#[test]
fn what_was_acknowledged_survives_every_crash() {
    let seeds = seeds::chosen(RUNS_VARIABLE, 10_000);
    let failure = seeds::first_failure(&seeds, |seed| run(seed, Honesty::Honest, &Story::untold()));
    if let Some(failure) = failure {
        panic!("{}", retell(&failure, Honesty::Honest));
    }
}

#[test]
fn a_seed_repeats_its_run() {
    for seed in 0..20 {
        let (first, second) = (Story::untold(), Story::told());
        run(seed, Honesty::Honest, &first);
        run(seed, Honesty::Honest, &second);
        assert_eq!(first.hash(), second.hash(), "seed {seed}");
        let other = Story::untold();
        run(seed + 1, Honesty::Honest, &other);
        assert_ne!(first.hash(), other.hash(), "seeds {seed} and {}", seed + 1);
    }
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let seeds: Vec<u64> = (0..200).collect();
    let lost = |seed| {
        let outcome = seeds::caught(|| run(seed, Honesty::Lying, &Story::untold()));
        if let Err(reason) = outcome
            && reason.contains("acknowledged batches are lost")
        {
            panic!("{reason}");
        }
    };
    let failure =
        seeds::first_failure(&seeds, lost).expect("200 runs on a lying disk lost no acknowledged batch");
    println!("found out in run {}: seed {}: {}", failure.run_count, failure.seed, failure.reason);
}
