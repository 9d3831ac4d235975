//! Seeds and sizes of runs, from the environment. A seed is printed, so that any run can be repeated.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// `FIDELOG_SEED`, or one of this run.
pub(crate) fn of_this_run() -> u64 {
    let seed = std::env::var("FIDELOG_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(StdRng::from_os_rng().random::<u32>()));
    println!("seed {seed}: repeat with FIDELOG_SEED={seed}");
    seed
}

/// How often something is done: the variable `name`, or `default`.
///
/// # Panics
/// When it is no number.
pub(crate) fn count(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|error| panic!("{name} is `{text}`, which is no number: {error}"))
    })
}
