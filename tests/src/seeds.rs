//! Which seeds a suite runs, and running them on a few threads.
//!
//! A seed is all there is to a run: the same one repeats it. Half of the default seeds are always the same, so that a
//! regression shows at once; the other half begins at a fresh number that is printed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Threads that run the seeds of [`first_failure`]: as many as the smallest machine the tests are made for has processors.
const THREADS: usize = 2;

/// The seeds of one suite, from the environment: `FIDELOG_SEED` is the first of them (then there is one, unless
/// `runs_variable` says more); without it, half are fixed and half are fresh.
///
/// # Panics
/// When a variable is set to something that is no number.
#[must_use]
pub fn chosen(runs_variable: &str, runs_default: u64) -> Vec<u64> {
    let runs = number(runs_variable);
    if let Some(first) = number("FIDELOG_SEED") {
        return (0..runs.unwrap_or(1)).map(|index| first.wrapping_add(index)).collect();
    }
    let runs = runs.unwrap_or(runs_default);
    let fresh = u64::from(StdRng::from_os_rng().random::<u32>()) << 20;
    let fixed_count = runs / 2;
    println!(
        "{runs} seeds: 0..{fixed_count} and, fresh this time, {fresh}..{}",
        fresh + (runs - fixed_count)
    );
    (0..fixed_count).chain(fresh..fresh + (runs - fixed_count)).collect()
}

/// The number an environment variable is set to, if it is set.
///
/// # Panics
/// When it is set to something that is no number.
#[must_use]
pub fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{variable} is `{value}`, which is no number: {error}")))
}

/// A seed whose run panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Which of the seeds it was, from 1.
    pub run_count: usize,
    /// What the panic said.
    pub reason: String,
}

/// Runs every seed, until one fails; that one is the answer.
pub fn first_failure(seeds: &[u64], run: impl Fn(u64) + Sync) -> Option<Failure> {
    failures(seeds, THREADS, 1, run).pop()
}

/// Runs seeds on so many threads until `count_max` of them have failed; the failures, in the order of `seeds`.
///
/// Always true: how many threads there are changes neither which seeds fail nor, with a `count_max` of 1, which of
/// them is the answer: all before it were run.
pub fn failures(seeds: &[u64], threads: usize, count_max: usize, run: impl Fn(u64) + Sync) -> Vec<Failure> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&seed) = seeds.get(index) else { return };
                    if let Err(reason) = caught(|| run(seed)) {
                        let mut found = found.lock().expect("nobody panics while holding it");
                        found.push(Failure { seed, run_count: index + 1, reason });
                        if found.len() >= count_max {
                            next.fetch_max(seeds.len(), Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().expect("nobody panics while holding it");
    found.sort_by_key(|failure| failure.run_count);
    found.truncate(count_max);
    found
}

/// Runs `run`; a panic of it is an error that says what the panic said.
///
/// # Errors
/// The panic's message.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}
