//! The simulated disk's faults: planned errors, a full disk, damage, and that a seed repeats them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test by panicking")]

use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fidelog_log::env::sim::{Fault, FaultError, SimDisk};
use fidelog_log::env::{Disk, DiskFile, OpenMode, Operation};

fn disk(seed: u64) -> (SimDisk, PathBuf) {
    println!("seed {seed}");
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new("/data")).unwrap();
    (disk, PathBuf::from("/data/file"))
}

fn write(file: &dyn DiskFile, bytes: &[u8], at: u64) -> std::io::Result<()> {
    file.write_all_at(&[IoSlice::new(bytes)], at)
}

#[test]
fn only_the_nth_call_fails_and_only_below_its_path() {
    let (disk, path) = disk(1);
    disk.inject(Fault::once(Operation::Allocate, 2, FaultError::Io).under(&path));
    let file = disk.open(&path, OpenMode::CreateNew).unwrap();
    let other = disk.open(Path::new("/data/other"), OpenMode::CreateNew).unwrap();
    let outcomes: Vec<_> =
        (1..5_u64).map(|step| (file.allocate(0..step).is_ok(), other.allocate(0..step).is_ok())).collect();
    assert_eq!(outcomes, [(true, true), (false, true), (true, true), (true, true)]);
}

#[test]
fn a_lasting_fault_ends_when_it_is_cleared() {
    let (disk, path) = disk(1);
    let _ = disk.open(&path, OpenMode::CreateNew).unwrap();
    disk.inject(Fault::from(Operation::Open, 2, FaultError::TooManyFiles));
    let outcomes: Vec<_> = (0..4).map(|_| disk.open(&path, OpenMode::Read).is_ok()).collect();
    assert_eq!(outcomes, [true, false, false, false]);
    disk.clear_faults();
    disk.open(&path, OpenMode::Read).unwrap();
}

#[test]
fn a_failed_write_may_leave_any_first_part() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let (disk, path) = disk(seed);
        let file = disk.open(&path, OpenMode::CreateNew).unwrap();
        file.allocate(0..20).unwrap();
        disk.inject(Fault::once(Operation::Write, 1, FaultError::Io));
        write(&*file, &[1; 20], 0).unwrap_err();
        let bytes = file.view(0..20).unwrap();
        let written = bytes.iter().take_while(|byte| **byte == 1).count();
        assert!(bytes[written..].iter().all(|byte| *byte == 0), "{bytes:?}");
        lengths.insert(written);
    }
    assert!(lengths.contains(&0) && lengths.contains(&20) && lengths.len() > 10, "{lengths:?}");
}

#[test]
fn a_full_disk_refuses_room_and_removing_gives_it_back() {
    let (disk, path) = disk(1);
    disk.set_capacity_bytes(3 * 4096);
    let file = disk.open(&path, OpenMode::CreateNew).unwrap();
    file.allocate(0..8192).unwrap();
    assert_eq!((disk.free_bytes(&path).unwrap(), disk.total_bytes(&path).unwrap()), (4096, 12_288));
    assert_eq!(file.allocate(0..12_289).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(write(&*file, &[1; 5000], 8192).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 8192, "a refusal changes nothing");
    write(&*file, &[1; 8192], 0).unwrap();
    let other = disk.open(Path::new("/data/other"), OpenMode::CreateNew).unwrap();
    assert_eq!(other.allocate(0..4097).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.remove_file(&path).unwrap();
    other.allocate(0..4097).unwrap();
    disk.rename(Path::new("/data/other"), &path).unwrap();
    assert_eq!(disk.free_bytes(&path).unwrap(), 4096);
}

#[test]
fn damage_is_on_the_medium_and_outlives_a_crash() {
    for seed in 0..20 {
        let (disk, path) = disk(seed);
        let file = disk.open(&path, OpenMode::CreateNew).unwrap();
        write(&*file, &[0xff; 2000], 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/data")).unwrap();
        write(&*file, &[0xff; 600], 0).unwrap();
        disk.flip_bit(&path, 3, 7).unwrap();
        disk.zero(&path, 1000..1100).unwrap();
        disk.crash();
        let bytes = disk.open(&path, OpenMode::Read).unwrap().view(0..2000).unwrap();
        assert_eq!((bytes[2], bytes[3], bytes[4]), (0xff, 0x7f, 0xff));
        assert!(bytes[1000..1100].iter().all(|byte| *byte == 0));
        assert_eq!((bytes[999], bytes[1100]), (0xff, 0xff));
        assert_eq!(disk.flip_bit(&path, 2000, 0).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}

#[test]
fn an_unreadable_sector_is_an_error_until_it_is_written() {
    let (disk, path) = disk(1);
    let file = disk.open(&path, OpenMode::CreateNew).unwrap();
    write(&*file, &[1; 2048], 0).unwrap();
    disk.make_unreadable(&path, 700..701).unwrap();
    assert_eq!(file.view(0..512).unwrap(), [1; 512].as_slice());
    assert_eq!(file.view(1000..1100).unwrap_err().raw_os_error(), FaultError::Io.to_error().raw_os_error());
    assert!(file.read_exact_at(&mut [0; 2048], 0).is_err());
    write(&*file, &[2; 512], 512).unwrap();
    assert_eq!(file.view(512..1024).unwrap(), [2; 512].as_slice());
}

/// Everything a run leaves behind: the outcomes of its calls, and the files after its crashes.
fn run(seed: u64) -> Vec<String> {
    let (disk, path) = disk(seed);
    disk.inject(Fault::chance(Operation::Write, 200_000, FaultError::Io));
    disk.inject(Fault::chance(Operation::Sync, 100_000, FaultError::Io));
    let mut told = Vec::new();
    for round in 0..5_u8 {
        let mode =
            if disk.open(&path, OpenMode::Read).is_ok() { OpenMode::ReadWrite } else { OpenMode::CreateNew };
        let file: Arc<dyn DiskFile> = disk.open(&path, mode).unwrap();
        for step in 0..20_u8 {
            let outcome = write(&*file, &vec![round * 20 + step; 700], u64::from(step) * 300);
            told.push(format!("{outcome:?}"));
            if step % 5 == 4 {
                told.push(format!("{:?}", file.sync_data()));
            }
        }
        disk.crash();
        told.push(format!("{:?}", disk.list(Path::new("/data")).unwrap()));
        if let Ok(file) = disk.open(&path, OpenMode::Read) {
            told.push(format!("{:?}", file.view(0..file.len().unwrap()).unwrap()));
        }
    }
    told
}

#[test]
fn a_seed_repeats_everything_and_another_does_not() {
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed));
        assert_ne!(run(seed), run(seed + 100));
    }
}
