//! Bugs planted on purpose are found: a check that cannot fail is not a check.
//!
//! A test finds those that take few seeds. `FIDELOG_SIM_PLANTED` is the most seeds spent on each of all of them, and prints
//! how many each needed. Of the first 2,000 from 2^40 on it found:
//!
//! | bug | seeds | bug | seeds |
//! |---|---|---|---|
//! | `AckBeforeFollowersSync` | 1 | `CutNotDurable` | 407 |
//! | `SameEpochAfterRestart` | 1 | `GrowthNeverWithdrawn` | 72 |
//! | `GrowthOnCommittedEndAlone` | 22 | `CutBelowCommitted` | 1 |
//! | `ReplyBelieved` | 13 | `DamageTakenForTornTail` | 1 |
//! | `UnionNotWaitedFor` | 5 | `TornTailTakenForDamage` | 1,509 |
//! | `ResendAnsweredBeforeCommit` | 1 | `SecondSyncBelieved` | 130 |
//! | `UncleanBelieved` | 349 | `ProducersNotRewound` | 130 |
//! | `OffsetGivenTwice` | 321 | `ShrunkWithoutQuorum` | 7 |
//! | `ReportEpochIgnored` | not | `StaleIncarnationAdded` | not |
//! | `PositionUnconfirmed` | not | | |
//!
//! Bits flip only where `DamageTakenForTornTail` is planted, so that its 1 says less than the others: without the bug that
//! seed has no damage at all.

use fidelog_log::env::planted::{self, Planted};
use fidelog_tests::seeds::{self, Failure};
use fidelog_tests::story::Story;

use crate::cluster::run;

/// Seeds begin here: others than those that are run without a bug.
const FIRST_SEED: u64 = 1 << 40;

/// What the first seed says that fails with the bug, if one of so many does. One that fails without it found something
/// else.
fn first_found(bug: Planted, seeds_max: u64) -> Option<Failure> {
    let seeds: Vec<u64> = (FIRST_SEED..FIRST_SEED + seeds_max).collect();
    let found = seeds::failures(&seeds, crate::threads(), 1, |seed| {
        let outcome = outcome_with(Some(bug), seed);
        if let Err(reason) = outcome
            && outcome_with(None, seed).is_ok()
        {
            panic!("{reason}");
        }
    });
    found.into_iter().next()
}

fn outcome_with(bug: Option<Planted>, seed: u64) -> Result<(), String> {
    planted::choose(bug);
    let outcome = seeds::caught(|| run(seed, &Story::untold()));
    planted::choose(None);
    outcome
}

fn report(bug: Planted, found: Option<&Failure>) {
    match found {
        Some(found) => {
            let reason = found.reason.lines().next().unwrap_or_default();
            println!("{bug:?}: {} seeds: seed {}: {reason}", found.run_count, found.seed);
        }
        None => println!("{bug:?}: not found"),
    }
}

/// With how many seeds each of these is found on every run of the tests.
const CHEAP: [(Planted, u64); 6] = [
    (Planted::AckBeforeFollowersSync, 40),
    (Planted::SameEpochAfterRestart, 60),
    (Planted::ResendAnsweredBeforeCommit, 40),
    (Planted::CutBelowCommitted, 40),
    (Planted::DamageTakenForTornTail, 60),
    (Planted::ShrunkWithoutQuorum, 40),
];

#[test]
fn planted_bugs_are_found() {
    for (bug, seeds_max) in CHEAP {
        let found = first_found(bug, seeds_max);
        report(bug, found.as_ref());
        assert!(found.is_some(), "{bug:?} was planted, and {seeds_max} seeds kept every promise");
    }
}

#[test]
fn every_planted_bug_is_found_by_command() {
    let Some(seeds_max) = seeds::number("FIDELOG_SIM_PLANTED") else { return };
    let missed: Vec<_> = Planted::ALL
        .into_iter()
        .filter(|&bug| {
            let found = first_found(bug, seeds_max);
            report(bug, found.as_ref());
            found.is_none()
        })
        .collect();
    assert!(missed.is_empty(), "not found with {seeds_max} seeds each: {missed:?}");
}
