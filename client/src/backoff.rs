//! How long to wait before trying again: doubling, bounded, jittered. Pure: chance comes from the caller.

use std::time::Duration;

/// The first wait, milliseconds.
const FIRST_MS: u64 = 10;
/// The longest wait, milliseconds.
const LONGEST_MS: u64 = 1_000;

/// The wait before attempt number `failures` + 1: between half and all of 10 ms doubled per failure, at most 1 s.
///
/// `chance` is any number; half of the wait is fixed and half is drawn from it, so that many clients that failed
/// together do not come back together.
pub(crate) fn wait(failures: u32, chance: u64) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let full_ms = FIRST_MS.saturating_mul(1 << (failures - 1).min(20)).min(LONGEST_MS);
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
}
