//! Many seeds; a failing one tells its story.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::cluster::Cluster;

const SEEDS: u64 = 8_000;
const STORY_LINES: usize = 120;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a seed, telling everything; the story, and whether it ended well.
fn story(seed: u64) -> (Vec<String>, bool) {
    let mut cluster = Cluster::new(seed, true);
    let well = catch_unwind(AssertUnwindSafe(|| cluster.run())).is_ok();
    (cluster.story.unwrap_or_default(), well)
}

fn run(seed: u64) -> (usize, usize) {
    let outcome = catch_unwind(|| {
        let mut cluster = Cluster::new(seed, false);
        cluster.run();
        (cluster.judge.committed.len(), cluster.judge.refused_count)
    });
    outcome.unwrap_or_else(|_| {
        let (story, _) = story(seed);
        let first = story.len().saturating_sub(STORY_LINES);
        for line in &story[first..] {
            println!("{line}");
        }
        panic!("seed {seed} failed; FIDELOG_MACHINE_SEED={seed} tells its whole story");
    })
}

/// Two halves, so that two processors share the work.
fn run_half(half: u64) {
    let seeds = number("FIDELOG_MACHINE_SEEDS").unwrap_or(SEEDS);
    let (mut committed, mut refused) = (0, 0);
    for seed in (half..seeds).step_by(2) {
        let counts = run(seed);
        committed += counts.0;
        refused += counts.1;
    }
    assert!(
        seeds < 100 || committed > 0 && refused > 0,
        "{committed} committed, {refused} refused: nothing happened"
    );
}

#[test]
fn even_seeds_keep_every_promise() {
    run_half(0);
}

#[test]
fn odd_seeds_keep_every_promise() {
    run_half(1);
}

#[test]
fn a_seed_repeats_itself_to_the_letter() {
    for seed in 0..20 {
        assert_eq!(story(seed), story(seed));
    }
}

#[test]
fn one_seed_tells_its_story() {
    let Some(seed) = number("FIDELOG_MACHINE_SEED") else { return };
    let (story, well) = story(seed);
    println!("{}", story.join("\n"));
    assert!(well, "seed {seed} failed");
}
