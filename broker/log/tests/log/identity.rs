//! The file `identity`: whole after every power cut, never behind what was answered, and without need of a free byte.

use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::Disk;
use fidelog_log::env::sim::{SimClock, SimDisk};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::harness::Machine;

const SEEDS: u64 = 500;

fn machine(seed: u64) -> (SimDisk, Machine) {
    let disk = SimDisk::new(seed);
    let machine = Machine::on(Arc::new(disk.clone()), Arc::new(SimClock::default()));
    (disk, machine)
}

/// Lives that end by a power cut in the middle of anything, or by a kill, on a disk with room and without.
#[test]
fn a_generation_that_was_answered_is_found_after_any_power_cut() {
    for seed in 0..SEEDS {
        let mut random = StdRng::seed_from_u64(seed);
        let (disk, mut machine) = machine(seed);
        machine.config.ballast_bytes = 0;
        let mut answered = machine.home().identity().generation;
        for life in 0..6 {
            if random.random_bool(0.5) {
                disk.crash_after(random.random_range(0..30));
            }
            let Ok(home) = machine.try_home() else {
                assert!(disk.is_crashed(), "seed {seed}, life {life}: the directory does not open");
                disk.restart();
                continue;
            };
            let found = home.found().generation;
            assert!(found >= answered, "seed {seed}, life {life}: {answered} was answered, {found} is found");
            for _ in 0..random.random_range(0..5) {
                let Ok(generation) = home.raise_generation() else { break };
                answered = generation;
            }
            drop(home);
            match disk.is_crashed() {
                true => disk.restart(),
                false => disk.kill(),
            }
        }
        disk.crash();
        let found = machine.try_home().unwrap().found().generation;
        assert!(found >= answered, "seed {seed}: {answered} was answered, {found} is found");
    }
}

#[test]
fn what_rises_takes_no_room() {
    let (disk, mut machine) = machine(1);
    machine.config.ballast_bytes = 0;
    let home = machine.home();
    let used = || disk.total_bytes(Path::new("/")).unwrap() - disk.free_bytes(Path::new("/")).unwrap();
    disk.set_capacity_bytes(used());
    let before = home.identity().generation;
    for _ in 0..20 {
        home.raise_generation().unwrap();
    }
    drop(home);
    disk.crash();
    disk.set_capacity_bytes(1 << 30); // a start takes some, which is what ballast is for
    assert_eq!(machine.try_home().unwrap().found().generation.0, before.0 + 20);
}
