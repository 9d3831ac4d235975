//! Disks that refuse, and disks that fail.

use std::sync::Arc;

use fidelog_log::env::Operation;
use fidelog_log::env::sim::{Fault, FaultError, SimClock, SimDisk};
use fidelog_log::{FlushOutcome, Log, LogWork, OpenError, ReadError, SecureError};
use fidelog_record::types::{Generation, Offset};

use crate::harness::{Broker, Heard, Machine, bytes_of, partition, read_all};

fn machine(seed: u64) -> (SimDisk, Machine) {
    let disk = SimDisk::new(seed);
    let machine = Machine::on(Arc::new(disk.clone()), Arc::new(SimClock::default()));
    (disk, machine)
}

#[test]
fn a_full_disk_refuses_before_an_offset_is_assigned_and_recovers() {
    let (disk, machine) = machine(1);
    let mut broker = machine.create();
    let mut batches: Vec<_> = (0..10).map(|_| broker.append(2, 100)).collect();
    disk.set_capacity_bytes(0);
    let refused = loop {
        match broker.place(2, 100) {
            Ok(batch) => batches.push(batch),
            Err(refused) => break refused,
        }
        broker.flush();
    };
    assert!(matches!(refused, SecureError::DiskFull { .. }), "{refused}");
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
    disk.set_capacity_bytes(1 << 30);
    batches.push(broker.append(2, 100));
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
}

#[test]
fn the_low_water_mark_is_named() {
    let (disk, mut machine) = machine(2);
    machine.config.free_bytes_min = Some(1 << 20);
    disk.set_capacity_bytes(1 << 19);
    let mut broker = machine.create();
    let refused = broker.secure(100).unwrap_err();
    assert!(matches!(refused, SecureError::DiskFull { limit_bytes: 1_048_576, .. }), "{refused}");
}

#[test]
fn a_failed_sync_publishes_nothing_and_stops_everything() {
    for (operation, error) in [(Operation::Sync, FaultError::Io), (Operation::Write, FaultError::Io)] {
        let (disk, machine) = machine(3);
        let mut broker = machine.create();
        let batches: Vec<_> = (0..10).map(|_| broker.append(2, 100)).collect();
        let durable_end = broker.view().durable_end();
        broker.secure(600).unwrap();
        broker.events.take();
        disk.inject(Fault::once(operation, 1, error));
        broker.place(2, 100).unwrap();
        assert!(matches!(broker.flush(), FlushOutcome::Latched(_)));
        let heard = broker.events.take();
        assert!(matches!(heard.as_slice(), [Heard::Failed(_)]), "{heard:?}");
        assert_eq!(broker.view().durable_end(), durable_end);
        broker.submit(LogWork::Secure { bytes: 1 });
        assert!(matches!(broker.flush(), FlushOutcome::Latched(_)));
        assert!(broker.flusher.shutdown().is_err());
        drop(broker);
        disk.crash();
        let (broker, report) = machine.open();
        assert!(report.end >= durable_end && report.damage.is_empty(), "{report:?}");
        assert!(read_all(&broker.view(), 999).starts_with(&bytes_of(&batches)));
    }
}

/// The kernel tells of a failed sync once; the bytes then look fine until the next power cut. What a process that
/// starts in between counts must survive that cut.
#[test]
fn a_restart_after_a_failed_sync_writes_the_tail_again() {
    for seed in 0..40 {
        let (disk, machine) = machine(seed);
        let mut broker = machine.create();
        for _ in 0..3 {
            broker.append(2, 100);
        }
        broker.secure(600).unwrap();
        disk.inject(Fault::once(Operation::Sync, 1, FaultError::Io));
        broker.place(2, 100).unwrap();
        broker.flush();
        drop(broker);
        disk.clear_faults();
        disk.kill();
        let (broker, report) = machine.open();
        assert_eq!(broker.view().durable_end(), report.end);
        drop(broker);
        disk.crash();
        let (_, after) = machine.open();
        assert!(after.end >= report.end && after.damage.is_empty(), "seed {seed}: {report:?} then {after:?}");
    }
}

#[test]
fn every_single_fault_leaves_a_log_that_opens_with_all_that_was_durable() {
    use Operation::{Allocate, Create, Remove, Rename, Sync, SyncDir, Write};
    for operation in [Allocate, Create, Remove, Rename, Sync, SyncDir, Write] {
        for error in [FaultError::Io, FaultError::StorageFull] {
            for nth in 1..60 {
                one_fault(operation, error, nth);
            }
        }
    }
}

fn one_fault(operation: Operation, error: FaultError, nth: u64) {
    let context = format!("{operation} {nth}: {error:?}");
    let (disk, machine) = machine(nth);
    let mut broker = machine.create();
    disk.inject(Fault::once(operation, nth, error));
    let mut durable_end = Offset(0);
    for round in 0..40 {
        if broker.place(2, 100).is_err() {
            break;
        }
        broker.flush();
        if !hear(&mut broker, &mut durable_end) {
            break;
        }
        if round == 25 {
            durable_end = durable_end.min(Offset(40));
            broker.submit(LogWork::Cut { to: Offset(40), committed_end: Offset(0), permitted: None });
            broker.flush();
            if !hear(&mut broker, &mut durable_end) {
                break;
            }
        }
    }
    drop(broker);
    disk.clear_faults();
    disk.crash();
    let (broker, report) = machine.open();
    assert!(report.end >= durable_end, "{context}: {report:?}, durable {durable_end}");
    assert!(report.damage.is_empty(), "{context}: {report:?}");
    read_all(&broker.view(), 999);
}

/// Tells whether the log goes on.
fn hear(broker: &mut Broker, durable_end: &mut Offset) -> bool {
    for heard in broker.events.take() {
        match heard {
            Heard::Durable(end) => *durable_end = end,
            Heard::Cut(done) => {
                (broker.next, broker.room, *durable_end) = (done.end, done.room_bytes, done.end)
            }
            Heard::Failed(_) => return false,
            _ => {}
        }
    }
    true
}

/// It used to say only that a read had failed.
#[test]
fn a_log_that_cannot_be_read_is_not_opened_and_says_where_and_what_to_do() {
    let (disk, machine) = machine(9);
    let mut broker = machine.create();
    (0..3).for_each(|_| drop(broker.append(2, 100)));
    drop(broker);
    let file = machine.log_file(0);
    disk.make_unreadable(&file, 0..512).unwrap();
    let home = machine.home();
    let refused = fidelog_log::Log::open(&home, partition()).unwrap_err();
    assert!(matches!(refused, OpenError::Unreadable { .. }), "{refused:?}");
    let said = refused.to_string();
    for expected in [file.to_str().unwrap(), "bytes 0..", "nothing of it was cut", "move /data/topics/"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

/// One that had been copied a month ago used to be raised step by step, with a synced write for each of them.
#[test]
fn a_generation_far_behind_is_raised_with_one_write() {
    let (disk, machine) = machine(21);
    let home = machine.home();
    let before = disk.changes();
    home.raise_generation().unwrap();
    let one_write = disk.changes() - before;
    home.raise_generation_to(Generation(500_000)).unwrap();
    let two_writes = disk.changes() - before;
    assert!(
        two_writes <= 2 * one_write + 1,
        "the file may grow: {two_writes} changes, one write has {one_write}"
    );
    home.raise_generation_to(Generation(7)).unwrap();
    assert_eq!(disk.changes() - before, two_writes, "it never falls");
    drop(home);
    assert_eq!(machine.try_home().unwrap().found().generation, Generation(500_000));
}

/// A write that failed stops one log, not the directory. Opened again in the same process it holds all that was synced,
/// and bytes that flipped there meanwhile are damage, not a torn tail, whatever the last recovery point says.
#[test]
fn a_log_that_stopped_is_opened_again_and_loses_nothing_that_was_synced() {
    for flips in [false, true] {
        let (disk, mut machine) = machine(5);
        machine.config.recovery_point_bytes = 1 << 30;
        let mut broker = machine.create();
        let mut batches: Vec<_> = (0..6).map(|_| broker.append(2, 100)).collect();
        broker.secure(600).unwrap();
        let view = broker.view();
        broker.events.take();
        disk.inject(Fault::once(Operation::Write, 1, FaultError::StorageFull));
        broker.place(2, 100).unwrap();
        broker.flush();
        let heard = broker.events.take();
        assert!(matches!(heard.as_slice(), [Heard::Failed(_)]), "{heard:?}");
        if flips {
            disk.flip_bit(&machine.log_file(0), 64 + 5 * batches[0].length() as u64 + 40, 1).unwrap();
        }
        broker.submit(LogWork::Close);
        broker.flush();
        assert!(matches!(broker.events.take().as_slice(), [Heard::Closed(Ok(()))]));
        let (mut log, report) = Log::open(&broker.home, partition()).unwrap();
        log.replace(&view);
        assert_eq!(view.durable_end(), Offset(12), "{report:?}");
        let last = view.read(Offset(10), 999, Offset(12));
        assert_eq!(matches!(last, Err(ReadError::DataLoss { .. })), flips, "{report:?}");
        (broker.next, broker.room, broker.epoch) = (Offset(12), log.room_bytes(), 2);
        broker.flusher.attach(log, Arc::clone(&broker.events) as _);
        batches.push(broker.append(2, 100));
        let read = view.read(Offset(12), 999, Offset(14)).unwrap();
        assert_eq!(read.batches, bytes_of(&batches[6..]), "whoever held a view reads on");
    }
}
