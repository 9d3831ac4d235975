//! A disk without a free byte: starts work, what was acknowledged is read, and small files are written.

use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::Disk;
use fidelog_log::env::sim::{SimClock, SimDisk};

use crate::harness::{Machine, bytes_of, read_all};

fn free_bytes(disk: &SimDisk) -> u64 {
    disk.free_bytes(Path::new("/")).unwrap()
}

/// Leaves no free byte.
fn fill(disk: &SimDisk) {
    disk.set_capacity_bytes(disk.total_bytes(Path::new("/")).unwrap() - free_bytes(disk));
}

fn has_ballast(machine: &Machine) -> bool {
    machine.disk.list(&machine.root).unwrap().iter().any(|entry| entry.name == "ballast")
}

#[test]
fn a_start_without_a_free_byte_serves_all_that_was_acknowledged() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let machine = Machine::on(Arc::new(disk.clone()), Arc::new(SimClock::default()));
        let mut broker = machine.create();
        assert!(has_ballast(&machine));
        let batches: Vec<_> = (0..40).map(|_| broker.append(2, 100)).collect();
        drop(broker);
        if seed % 2 == 0 {
            disk.kill()
        } else {
            disk.crash()
        }
        fill(&disk);
        let (broker, report) = machine.open();
        assert!(!has_ballast(&machine), "seed {seed}");
        assert_eq!(report.end, batches.last().unwrap().end_offset(), "seed {seed}: {report:?}");
        assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches), "seed {seed}");
        assert!(!broker.home.tend_ballast().unwrap(), "seed {seed}: there is no room");
        drop(broker);
        // What is free now is what is left of the ballast; nobody else has taken it.
        disk.crash();
        let (broker, report) = machine.open();
        assert_eq!(report.end, batches.last().unwrap().end_offset(), "seed {seed}: {report:?}");
        disk.set_capacity_bytes(1 << 30);
        assert!(broker.home.tend_ballast().unwrap() && has_ballast(&machine), "seed {seed}: there is room");
    }
}

#[test]
fn without_ballast_a_full_disk_is_said_to_be_the_reason() {
    let disk = SimDisk::new(1);
    let mut machine = Machine::on(Arc::new(disk.clone()), Arc::new(SimClock::default()));
    machine.config.ballast_bytes = 0;
    drop(machine.create());
    assert!(!has_ballast(&machine));
    fill(&disk);
    disk.crash();
    let refused = machine.try_home().map(|home| home.raise_generation().map(drop));
    let said = format!("{refused:?}");
    assert!(said.contains("StorageFull") || said.contains("No space left"), "{said}");
}

#[test]
fn a_small_file_takes_the_room_of_the_ballast_where_there_is_no_other() {
    let disk = SimDisk::new(2);
    let machine = Machine::on(Arc::new(disk.clone()), Arc::new(SimClock::default()));
    let mut broker = machine.create();
    let batches: Vec<_> = (0..5).map(|_| broker.append(2, 100)).collect();
    fill(&disk);
    broker.home.raise_generation().unwrap();
    broker.home.checkpoint().unwrap();
    assert!(!has_ballast(&machine));
    assert!(broker.flusher.shutdown().unwrap());
    drop(broker);
    let (broker, report) = machine.open();
    assert_eq!((report.end, report.scanned_bytes), (batches.last().unwrap().end_offset(), 0), "{report:?}");
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
}
