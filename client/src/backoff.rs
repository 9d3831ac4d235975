//! How long to wait before trying again: doubling, bounded, jittered. Pure: chance comes from the caller.

use std::time::Duration;

/// The first wait, milliseconds.
const FIRST_MS: u64 = 10;
/// The longest wait, milliseconds.
const LONGEST_MS: u64 = 1_000;
/// The longest wait while a new leader is looked for, milliseconds: an election takes a second or two, and every
/// wait is added to it.
const SEARCH_MS: u64 = 100;
/// How many waits that short there are: about five seconds of them.
const SEARCHES: u32 = 64;

/// The wait before attempt number `failures` + 1: between half and all of 10 ms doubled per failure, at most 1 s.
///
/// `chance` is any number; half of the wait is fixed and half is drawn from it, so that many clients that failed
/// together do not come back together.
pub(crate) fn wait(failures: u32, chance: u64) -> Duration {
    bounded(failures, LONGEST_MS, chance)
}

/// The wait before looking again for somebody who can serve: at most 100 ms for the first seconds, then as [`wait`].
pub(crate) fn search(failures: u32, chance: u64) -> Duration {
    match failures.checked_sub(SEARCHES) {
        None | Some(0) => bounded(failures, SEARCH_MS, chance),
        // From 80 ms on.
        Some(more) => wait(more.saturating_add(3), chance),
    }
}

fn bounded(failures: u32, longest_ms: u64, chance: u64) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let full_ms = FIRST_MS.saturating_mul(1 << (failures - 1).min(20)).min(longest_ms);
    let half_ms = full_ms / 2;
    Duration::from_millis(full_ms - half_ms + chance % (half_ms + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_bound() {
        for failures in 0..40 {
            for chance in [0, 1, 499, u64::MAX] {
                let waited = wait(failures, chance);
                assert!(waited <= Duration::from_millis(LONGEST_MS), "{failures} {chance} {waited:?}");
                assert_eq!(waited.is_zero(), failures == 0);
            }
        }
        assert!(wait(7, 0) >= Duration::from_millis(320));
    }

    #[test]
    fn a_leader_is_looked_for_often_and_not_for_ever() {
        let waits = |range: std::ops::Range<u32>| range.map(|failures| search(failures, u64::MAX / 2));
        assert!(waits(0..SEARCHES).all(|wait| wait <= Duration::from_millis(SEARCH_MS)));
        let soon: Duration = waits(0..SEARCHES).sum();
        assert!(soon > Duration::from_secs(3), "{soon:?}: an election and a fencing fit in");
        assert!(search(SEARCHES + 40, 0) >= Duration::from_millis(LONGEST_MS / 2));
        assert!(search(u32::MAX, 0) >= Duration::from_millis(LONGEST_MS / 2));
    }
}
