//! Logs that are let go of or removed: every ask is answered, truthfully, whatever the disk says.

use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::sim::{Fault, FaultError, SimClock, SimDisk};
use fidelog_log::env::{Disk, Operation};
use fidelog_log::{FlushOutcome, Log, LogEvents, LogHandle, LogWork, OpenError};
use fidelog_record::types::{PartitionIndex, TopicPartition};

use crate::harness::{Broker, Heard, Machine, Recorder, partition};

fn machine(seed: u64) -> (SimDisk, Machine) {
    let disk = SimDisk::new(seed);
    let machine = Machine::on(Arc::new(disk.clone()), Arc::new(SimClock::default()));
    (disk, machine)
}

fn used_bytes(disk: &SimDisk) -> u64 {
    disk.total_bytes(Path::new("/")).unwrap() - disk.free_bytes(Path::new("/")).unwrap()
}

/// Submits, flushes, and answers what `closed` said.
fn end(broker: &Broker, work: LogWork) -> Result<(), String> {
    broker.submit(work);
    broker.flush();
    let mut ends = Vec::new();
    for heard in broker.events.take() {
        if let Heard::Closed(ended) = heard {
            ends.push(ended);
        }
    }
    assert_eq!(ends.len(), 1, "asked once, answered {ends:?}");
    ends.remove(0)
}

fn assert_gone(broker: &Broker) {
    assert!(matches!(Log::open(&broker.home, partition()), Err(OpenError::Missing { .. })));
    assert!(broker.home.partitions_with_points().is_empty());
}

/// It used to be told as a failure of the log and never answered again, not even with room: whoever waited for the
/// end of the log waited for ever.
#[test]
fn a_refused_delete_is_answered_and_done_once_there_is_room() {
    let (disk, machine) = machine(11);
    let mut broker = machine.create();
    (0..3).for_each(|_| drop(broker.append(2, 100)));
    disk.set_capacity_bytes(0);
    for _ in 0..2 {
        let refused = end(&broker, LogWork::Delete).unwrap_err();
        assert!(refused.contains("recovery-points"), "{refused}");
    }
    disk.set_capacity_bytes(1 << 30);
    end(&broker, LogWork::Delete).unwrap();
    assert_gone(&broker);
}

#[test]
fn a_log_is_deleted_from_a_disk_without_a_free_byte() {
    for ballast_bytes in [0, 64 << 10] {
        let (disk, mut machine) = machine(12);
        machine.config.ballast_bytes = ballast_bytes;
        let mut broker = machine.create();
        (0..30).for_each(|_| drop(broker.append(2, 100)));
        disk.set_capacity_bytes(used_bytes(&disk));
        let before = used_bytes(&disk);
        end(&broker, LogWork::Delete).unwrap();
        assert_gone(&broker);
        assert!(used_bytes(&disk) + ballast_bytes < before, "it took its files along");
    }
}

#[test]
fn the_end_of_a_log_that_is_not_attached_is_answered() {
    let (_, machine) = machine(13);
    let mut broker = machine.create();
    broker.append(1, 10);
    end(&broker, LogWork::Close).unwrap();
    end(&broker, LogWork::Close).unwrap();
    end(&broker, LogWork::Delete).unwrap();
    assert_gone(&broker);
    end(&broker, LogWork::Delete).unwrap();
}

#[test]
fn a_latched_flusher_says_that_nothing_was_deleted() {
    let (disk, machine) = machine(14);
    let mut broker = machine.create();
    broker.append(1, 10);
    broker.secure(600).unwrap();
    disk.inject(Fault::once(Operation::Sync, 1, FaultError::Io));
    broker.place(1, 10).unwrap();
    assert!(matches!(broker.flush(), FlushOutcome::Latched(_)));
    let refused = end(&broker, LogWork::Delete).unwrap_err();
    assert!(refused.contains("sync"), "{refused}");
    assert_eq!(broker.home.partitions().unwrap(), [partition()]);
}

/// Attaches `count` logs, deletes them in one flush, and tells how many changes that asked of the disk.
fn changes_of_deleting(count: u32) -> u64 {
    let (disk, machine) = machine(15);
    let broker = machine.create();
    let topic = partition().topic;
    let events = Arc::new(Recorder::default());
    let handles: Vec<LogHandle> = (10..10 + count)
        .map(|number| {
            let at = TopicPartition { topic, partition: PartitionIndex(number) };
            let log = Log::create(&broker.home, at).unwrap();
            broker.flusher.attach(log, Arc::clone(&events) as Arc<dyn LogEvents>)
        })
        .collect();
    broker.flush();
    let before = disk.changes();
    handles.iter().for_each(|handle| broker.flusher.submit(handle, LogWork::Delete));
    broker.flush();
    let changes = disk.changes() - before;
    let heard = events.take();
    assert!(heard.iter().all(|it| matches!(it, Heard::Closed(Ok(())))), "{heard:?}");
    assert_eq!(heard.len(), count as usize);
    assert_eq!(broker.home.partitions().unwrap(), [partition()]);
    changes
}

#[test]
fn deletes_of_one_flush_share_one_write_and_cost_one_rename_each() {
    assert_eq!(changes_of_deleting(21) - changes_of_deleting(1), 20);
}

#[test]
fn files_of_deleted_logs_are_unlinked_by_the_sweep_or_by_the_next_start() {
    for restart in [false, true] {
        let (disk, machine) = machine(16);
        let mut broker = machine.create();
        (0..30).for_each(|_| drop(broker.append(2, 100)));
        let full = used_bytes(&disk);
        end(&broker, LogWork::Delete).unwrap();
        assert!(used_bytes(&disk) + 4096 >= full, "the flusher does not unlink");
        if restart {
            drop(broker);
            disk.crash();
            machine.home();
        } else {
            broker.home.sweep_deleted().unwrap();
        }
        assert_eq!(disk.list(&machine.root.join("aside")).unwrap(), []);
        assert!(used_bytes(&disk) + 8192 < full, "restart {restart}");
    }
}
