//! Bits that flip, blocks that vanish: told, never served, never cut below S.

use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::sim::{SimClock, SimDisk};
use fidelog_log::{ReadError, RecoveryCase};
use fidelog_record::PlacedBatch;
use fidelog_record::types::Offset;

use crate::harness::{Broker, Machine, bytes_of, read_all};

fn machine(seed: u64) -> (SimDisk, Machine) {
    let disk = SimDisk::new(seed);
    let machine = Machine::on(Arc::new(disk.clone()), Arc::new(SimClock::default()));
    (disk, machine)
}

/// Everything a reader gets around damage, and the damaged ranges it is told.
fn read_around(broker: &Broker) -> (Vec<u8>, Vec<std::ops::Range<Offset>>) {
    let view = broker.view();
    let (mut bytes, mut damage, mut next) = (Vec::new(), Vec::new(), view.start());
    loop {
        match view.read(next, 300, Offset(u64::MAX)) {
            Ok(outcome) if outcome.next_offset == next => return (bytes, damage),
            Ok(outcome) => {
                bytes.extend_from_slice(&outcome.batches);
                next = outcome.next_offset;
            }
            Err(ReadError::DataLoss { range, .. }) => {
                assert!(range.start <= next && next < range.end);
                next = range.end;
                damage.push(range);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn without(batches: &[PlacedBatch], damage: &[std::ops::Range<Offset>]) -> Vec<u8> {
    let lost = |batch: &&PlacedBatch| damage.iter().any(|range| range.contains(&batch.base_offset()));
    batches.iter().filter(|batch| !lost(batch)).flat_map(|batch| batch.to_bytes()).collect()
}

#[test]
fn a_flipped_bit_anywhere_costs_one_batch_at_most_two() {
    for seed in 0..120 {
        let (disk, machine) = machine(seed);
        let mut broker = machine.create();
        let batches: Vec<_> = (0..30).map(|_| broker.append(2, 100)).collect();
        broker.commit(broker.next);
        let clean = seed % 2 == 0;
        let segments = broker.view().segments().unwrap();
        broker.stop();
        let segment = &segments[seed as usize % segments.len()];
        let stored: u64 = batches
            .iter()
            .filter(|batch| batch.base_offset() >= segment.base && batch.end_offset() <= segment.end)
            .map(|batch| batch.length() as u64)
            .sum();
        let at = 64 + seed * 7919 % stored;
        disk.flip_bit(&machine.log_file(segment.base.0), at, (seed % 8) as u8).unwrap();
        if !clean {
            drop(machine.home()); // takes the clean-stop marker away
            disk.kill();
        }
        let (broker, report) = machine.open();
        let (bytes, damage) = read_around(&broker);
        assert_eq!(damage.len(), 1, "seed {seed}: {damage:?} {report:?}");
        assert!(damage[0].end.since(damage[0].start) <= 4, "seed {seed}: {damage:?}");
        assert_eq!(bytes, without(&batches, &damage), "seed {seed}");
        assert_eq!(broker.view().written_end(), Offset(60), "seed {seed}: {report:?}");
        assert_eq!(broker.view().damage(), damage, "seed {seed}");
    }
}

#[test]
fn damage_below_what_was_committed_is_not_taken_for_a_torn_tail() {
    let (disk, mut machine) = machine(1);
    machine.config.recovery_point_bytes = 1 << 30; // no recovery point: only `committed_below` tells
    let mut broker = machine.create();
    let mut batches = vec![broker.append(2, 100), broker.append(2, 100)];
    broker.commit(broker.next);
    batches.push(broker.append(2, 100));
    drop(broker);
    disk.flip_bit(&machine.log_file(0), 64 + 120, 3).unwrap();
    disk.kill();
    let (mut broker, report) = machine.open();
    assert!(report.met(RecoveryCase::Damage), "{report:?}");
    assert_eq!(report.damage, [Offset(0)..Offset(2)]);
    assert_eq!(read_around(&broker).0, bytes_of(&batches[1..]));
    batches.push(broker.append(2, 100));
    broker.stop();
    let (broker, report) = machine.open();
    assert_eq!(report.damage, [Offset(0)..Offset(2)], "remembered: {report:?}");
    assert_eq!(read_around(&broker).0, bytes_of(&batches[1..]));
}

#[test]
fn a_misfit_above_s_ends_the_log_and_what_follows_is_kept_aside() {
    let (disk, mut machine) = machine(2);
    machine.config.recovery_point_bytes = 1 << 30;
    let mut broker = machine.create();
    let mut batches: Vec<_> = (0..4).map(|_| broker.append(2, 100)).collect();
    let at = 64 + batches[0].length() as u64 + 60;
    drop(broker);
    disk.flip_bit(&machine.log_file(0), at, 0).unwrap();
    disk.kill();
    let (mut broker, report) = machine.open();
    assert!(report.met(RecoveryCase::TornTail) && report.damage.is_empty(), "{report:?}");
    assert_eq!(report.end, Offset(2));
    assert_eq!(broker.home.aside_usage().1, 1);
    batches.truncate(1);
    batches.push(broker.append(2, 100));
    drop(broker);
    disk.kill();
    let (broker, _) = machine.open();
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
}

#[test]
fn a_missing_segment_is_damage() {
    for (which, clean) in [(0, true), (1, true), (1, false), (usize::MAX, true), (usize::MAX, false)] {
        let (disk, machine) = machine(3);
        let mut broker = machine.create();
        let batches: Vec<_> = (0..30).map(|_| broker.append(2, 100)).collect();
        let segments = broker.view().segments().unwrap();
        let gone = segments.get(which).unwrap_or(segments.last().unwrap());
        broker.stop();
        if !clean {
            drop(machine.home());
            disk.kill();
        }
        remove(&machine, &machine.log_file(gone.base.0));
        let (mut broker, report) = machine.open();
        let (bytes, damage) = read_around(&broker);
        assert_eq!(damage, [gone.base..gone.end], "{which}: {report:?}");
        assert_eq!(bytes, without(&batches, &damage), "{which}");
        let next = broker.append(1, 1);
        assert_eq!(next.base_offset(), Offset(60));
    }
}

fn remove(machine: &Machine, path: &Path) {
    machine.disk.remove_file(path).unwrap();
    machine.disk.sync_dir(path.parent().unwrap()).unwrap();
}

#[test]
fn a_lost_recovery_point_file_costs_a_scan_and_nothing_else() {
    let (disk, machine) = machine(4);
    let mut broker = machine.create();
    let batches: Vec<_> = (0..30).map(|_| broker.append(2, 100)).collect();
    broker.stop();
    disk.flip_bit(&machine.root.join("recovery-points"), 60, 1).unwrap();
    let (broker, report) = machine.open();
    assert!(broker.home.found().points_lost.is_some());
    assert!(report.met(RecoveryCase::PointMissing), "{report:?}");
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
}

#[test]
fn a_last_segment_with_a_bad_header_is_never_appended_to() {
    for kind in ["zeroed", "flipped"] {
        let (disk, mut machine) = machine(5);
        machine.config.recovery_point_bytes = 1 << 30;
        let mut broker = machine.create();
        let mut batches: Vec<_> = (0..3).map(|_| broker.append(2, 100)).collect();
        drop(broker);
        match kind {
            "zeroed" => disk.zero(&machine.log_file(0), 0..64).unwrap(),
            _ => disk.flip_bit(&machine.log_file(0), 20, 0).unwrap(),
        }
        disk.kill();
        let (mut broker, report) = machine.open();
        let expected =
            if kind == "zeroed" { RecoveryCase::SegmentUnused } else { RecoveryCase::HeaderDamaged };
        assert!(report.met(expected), "{report:?}");
        batches.push(broker.append(2, 100));
        assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches), "its batches speak for themselves");
        assert_eq!(broker.view().segments().unwrap().len(), 2);
    }
}

#[test]
fn an_empty_last_segment_is_legal_and_replaced() {
    let (disk, machine) = machine(6);
    let mut broker = machine.create();
    let mut batches: Vec<_> = (0..3).map(|_| broker.append(2, 100)).collect();
    drop(broker);
    let path = machine.log_file(6);
    machine.disk.open(&path, fidelog_log::env::OpenMode::CreateNew).unwrap();
    machine.disk.sync_dir(path.parent().unwrap()).unwrap();
    disk.kill();
    let (mut broker, report) = machine.open();
    assert!(report.met(RecoveryCase::SegmentUnused) && report.damage.is_empty(), "{report:?}");
    batches.push(broker.append(2, 100));
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
}

/// Rounded down to where the damage begins, such a cut went below what is committed and was refused for ever.
#[test]
fn a_cut_into_damage_that_spans_the_committed_end_is_made_right_there() {
    let (disk, machine) = machine(7);
    let mut broker = machine.create();
    let mut batches: Vec<_> = (0..12).map(|_| broker.append(2, 100)).collect();
    broker.commit(Offset(9 * 2));
    broker.stop();
    let length = batches[0].length() as u64;
    for index in [8, 9, 10] {
        disk.flip_bit(&machine.log_file(0), 64 + index * length + 30, 3).unwrap();
    }
    let (mut broker, _) = machine.open();
    let lost = match broker.view().read(Offset(16), 100, Offset(24)) {
        Err(ReadError::DataLoss { range, .. }) => range,
        read => panic!("{read:?}"),
    };
    assert_eq!(lost, Offset(16)..Offset(22));
    assert_eq!(broker.cut(Offset(20)).unwrap().end, Offset(20));
    assert_eq!(broker.view().damage(), [Offset(16)..Offset(20)], "what is left of it stays damaged");
    broker.next = Offset(20);
    broker.epoch = 2;
    batches.truncate(10);
    batches.push(broker.append(2, 100));
    drop(broker);
    let (broker, report) = machine.open();
    assert_eq!(report.damage, [Offset(16)..Offset(20)], "{report:?}");
    let read = broker.view().read(Offset(20), 999, Offset(24)).unwrap();
    assert_eq!(read.batches, bytes_of(&batches[10..]));
}
