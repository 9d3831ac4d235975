//! Stopping and starting again, cleanly and not.

use fidelog_log::{DataDir, DataDirError, Expected, Log, LogWork, OpenError, RecoveryCase};
use fidelog_record::types::{BrokerId, ClusterId, Generation, LeaderEpoch, Offset};

use crate::harness::{Machine, bytes_of, partition, read_all};

#[test]
fn after_a_clean_stop_nothing_is_scanned() {
    let machine = Machine::real();
    let mut broker = machine.create();
    let mut batches: Vec<_> = (0..30).map(|_| broker.append(2, 100)).collect();
    broker.commit(Offset(50));
    broker.stop();
    let (mut broker, report) = machine.open();
    assert!(report.met(RecoveryCase::Clean), "{report:?}");
    assert_eq!((report.scanned_bytes, report.rewritten_bytes), (0, 0));
    assert_eq!(
        (report.end, report.committed_end, report.last_epoch),
        (Offset(60), Offset(50), LeaderEpoch(1))
    );
    batches.extend((0..30).map(|_| broker.append(2, 100)));
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
    assert_eq!(broker.view().offset_for_time(555, broker.next).unwrap(), Some(Offset(54)));
}

#[test]
fn after_a_kill_the_tail_is_written_again() {
    let machine = Machine::real();
    let mut batches = Vec::new();
    for round in 0..6 {
        let (mut broker, report) =
            if round == 0 { (machine.create(), Default::default()) } else { machine.open() };
        assert!(report.damage.is_empty(), "{report:?}");
        assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches), "round {round}: {report:?}");
        if round == 0 {
            broker.append(1, 10);
            broker.cut(Offset(0));
        }
        batches.extend((0..7).map(|_| broker.append(2, 100)));
    }
}

#[test]
fn a_stop_in_an_empty_log_leaves_an_empty_log() {
    let machine = Machine::real();
    machine.create().stop();
    let (broker, report) = machine.open();
    assert!(report.met(RecoveryCase::Empty));
    assert_eq!(broker.next, Offset(0));
}

#[test]
fn a_missing_directory_is_lost_not_empty() {
    let machine = Machine::real();
    machine.create().stop();
    std::fs::remove_dir_all(machine.file("epochs").parent().unwrap()).unwrap();
    let home = machine.home();
    assert!(matches!(Log::open(&home, partition()), Err(OpenError::Missing { .. })));
    assert_eq!(home.partitions_with_points(), [partition()]);
}

#[test]
fn hints_epochs_and_snapshots_may_all_be_missing() {
    let machine = Machine::real();
    let mut broker = machine.create();
    let mut batches: Vec<_> = (0..30).map(|_| broker.append(2, 100)).collect();
    broker.epoch = 2;
    batches.extend((0..30).map(|_| broker.append(2, 100)));
    let epochs = broker.view().epochs();
    broker.stop();
    for entry in std::fs::read_dir(machine.file("epochs").parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "log") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let (broker, report) = machine.open();
    assert!(report.met(RecoveryCase::EpochsRebuilt), "{report:?}");
    assert_eq!(broker.view().epochs(), epochs);
    assert_eq!(read_all(&broker.view(), 999), bytes_of(&batches));
    assert_eq!(broker.view().offset_for_time(555, broker.next).unwrap(), Some(Offset(54)));
}

#[test]
fn a_stray_file_is_reported_and_left() {
    let machine = Machine::real();
    let mut broker = machine.create();
    broker.append(1, 10);
    broker.stop();
    std::fs::write(machine.file("notes.txt"), "mine").unwrap();
    std::fs::write(machine.root.join("README"), "mine").unwrap();
    let (broker, report) = machine.open();
    assert!(report.met(RecoveryCase::Stray));
    assert_eq!(broker.home.found().strays, [machine.root.join("README")]);
    assert!(machine.file("notes.txt").exists());
}

#[test]
fn a_deleted_log_is_gone_and_a_closed_one_can_be_opened() {
    let machine = Machine::real();
    let mut broker = machine.create();
    let batch = broker.append(1, 10);
    broker.submit(LogWork::Close);
    broker.flush();
    let (log, report) = Log::open(&broker.home, partition()).unwrap();
    assert_eq!(report.end, batch.end_offset());
    let events = std::sync::Arc::clone(&broker.events);
    broker.handle = broker.flusher.attach(log, events);
    broker.submit(LogWork::Delete);
    broker.flush();
    assert!(matches!(Log::open(&broker.home, partition()), Err(OpenError::Missing { .. })));
    assert!(broker.home.partitions_with_points().is_empty());
}

#[test]
fn a_directory_is_refused_for_a_reason() {
    let machine = Machine::real();
    let open = |expected: Expected| {
        DataDir::open(
            machine.latched(),
            machine.clock.clone(),
            &machine.root,
            expected,
            machine.config.clone(),
        )
    };
    let foreign = ClusterId::from_random([77; 16]);
    let foreign = open(Expected { cluster_id: Some(foreign), broker_id: None }).unwrap_err();
    assert!(matches!(foreign, DataDirError::ForeignCluster { .. }));
    let other = open(Expected { cluster_id: None, broker_id: Some(BrokerId(2)) }).unwrap_err();
    assert!(matches!(other, DataDirError::ForeignBroker { found: BrokerId(1), .. }));
    let home = open(Expected::default()).unwrap();
    assert!(matches!(open(Expected::default()), Err(DataDirError::Locked { .. })));
    drop(home);
    std::fs::remove_file(machine.root.join("identity")).unwrap();
    assert!(matches!(open(Expected::default()), Err(DataDirError::NotFormatted { .. })));
    let again = DataDir::format(
        machine.latched(),
        &machine.root,
        ClusterId::from_random([1; 16]),
        BrokerId(1),
        fidelog_record::types::DirectoryId::from_random([2; 16]),
    );
    assert!(matches!(again, Err(DataDirError::NotEmpty { .. })));
}

#[test]
fn each_start_finds_the_generation_the_last_one_raised() {
    let machine = Machine::real();
    for expected in 0..4 {
        let home = machine.home();
        assert_eq!(home.found().generation, Generation(expected));
        assert_eq!(home.identity().generation, Generation(expected + 1));
    }
}
