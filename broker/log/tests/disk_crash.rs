//! What a power cut leaves of a simulated disk. Each test walks through many seeds, so that it sees every outcome
//! that is allowed, and none that is not.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test by panicking")]

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::sim::{Fault, FaultError, SimDisk};
use fidelog_log::env::{Disk, DiskFile, OpenMode, Operation};

const SEEDS: u64 = 200;

/// A disk for each seed, with `/data` on it.
fn disks() -> impl Iterator<Item = SimDisk> {
    (0..SEEDS).map(|seed| {
        println!("seed {seed}");
        let disk = SimDisk::new(seed);
        disk.create_dir_all(data()).unwrap();
        disk
    })
}

fn data() -> &'static Path {
    Path::new("/data")
}

fn file() -> &'static Path {
    Path::new("/data/file")
}

fn write(file: &dyn DiskFile, bytes: &[u8], at: u64) {
    file.write_all_at(&[IoSlice::new(bytes)], at).unwrap();
}

/// Creates `path` with `bytes`, all of it durable.
fn durable(disk: &SimDisk, path: &Path, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.open(path, OpenMode::CreateNew).unwrap();
    write(&*file, bytes, 0);
    file.sync_data().unwrap();
    disk.sync_dir(path.parent().unwrap()).unwrap();
    file
}

/// What `path` holds, if there is such a file.
fn read(disk: &SimDisk, path: &Path) -> Option<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read).ok()?;
    Some(file.view(0..file.len().unwrap()).unwrap().to_vec())
}

#[test]
fn what_was_synced_with_its_name_is_always_kept() {
    for disk in disks() {
        durable(&disk, file(), &[7; 3000]);
        disk.crash();
        assert_eq!(read(&disk, file()).unwrap(), [7; 3000]);
        disk.crash();
        assert_eq!(read(&disk, file()).unwrap(), [7; 3000]);
    }
}

#[test]
fn a_file_whose_directory_was_not_synced_may_vanish_but_is_never_half_there() {
    let mut outcomes = BTreeSet::new();
    for disk in disks() {
        let created = disk.open(file(), OpenMode::CreateNew).unwrap();
        write(&*created, &[7; 3000], 0);
        created.sync_data().unwrap();
        disk.crash();
        let found = read(&disk, file());
        assert!(found.as_ref().is_none_or(|bytes| bytes == &[7; 3000]), "{found:?}");
        outcomes.insert(found.is_some());
    }
    assert_eq!(outcomes.len(), 2, "both outcomes come up: {outcomes:?}");
}

#[test]
fn a_directory_that_was_not_synced_takes_its_synced_files_with_it() {
    // `create_dir_all` syncs the parents, so the way to an unsynced directory is a rename.
    let mut outcomes = BTreeSet::new();
    for disk in disks() {
        let (before, after) = (Path::new("/data/before"), Path::new("/data/after"));
        disk.create_dir_all(before).unwrap();
        disk.rename(before, after).unwrap();
        durable(&disk, &after.join("file"), b"bytes");
        disk.crash();
        let places = [before, after].map(|place| read(&disk, &place.join("file")).is_some());
        assert_eq!(places.iter().filter(|found| **found).count(), 1, "{places:?}");
        outcomes.insert(places);
    }
    assert_eq!(outcomes.len(), 2, "both outcomes come up: {outcomes:?}");
}

#[test]
fn unsynced_sectors_are_kept_lost_and_torn_in_any_order_and_each_is_whole() {
    let mut outcomes = BTreeSet::new();
    for disk in disks() {
        let file_now = durable(&disk, file(), &[1; 4 * 512]);
        write(&*file_now, &[2; 4 * 512], 0);
        disk.crash();
        let bytes = read(&disk, file()).unwrap();
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])), "{sectors:?}");
        outcomes.insert(sectors);
    }
    for expected in [[1, 1, 1, 1], [2, 2, 2, 2], [1, 2, 1, 2], [1, 1, 1, 2], [2, 1, 1, 1]] {
        assert!(outcomes.contains(expected.as_slice()), "{expected:?} never came up: {outcomes:?}");
    }
}

#[test]
fn a_sector_written_twice_may_hold_what_it_held_in_between() {
    let mut outcomes = BTreeSet::new();
    for disk in disks() {
        let file_now = durable(&disk, file(), b"aaa");
        write(&*file_now, b"b", 0);
        write(&*file_now, b"c", 1);
        disk.crash();
        outcomes.insert(String::from_utf8(read(&disk, file()).unwrap()).unwrap());
    }
    assert_eq!(outcomes.iter().collect::<Vec<_>>(), ["aaa", "baa", "bca"]);
}

#[test]
fn an_unsynced_allocation_may_be_lost_and_never_shortens_what_was_synced() {
    let mut lengths = BTreeSet::new();
    for disk in disks() {
        let file_now = durable(&disk, file(), &[1; 1000]);
        file_now.allocate(0..9000).unwrap();
        disk.crash();
        let bytes = read(&disk, file()).unwrap();
        assert_eq!(bytes[..1000], [1; 1000]);
        assert!(bytes[1000..].iter().all(|byte| *byte == 0));
        lengths.insert(bytes.len());
        disk.set_capacity_bytes(1 << 20);
        let used = (1 << 20) - disk.free_bytes(data()).unwrap();
        assert_eq!(used, (bytes.len() as u64).next_multiple_of(4096));
    }
    assert!(lengths.contains(&1000) && lengths.contains(&9000) && lengths.len() > 2, "{lengths:?}");
}

#[test]
fn a_rename_is_kept_or_lost_whole() {
    let mut outcomes = BTreeSet::new();
    for disk in disks() {
        let aside = Path::new("/data/aside");
        durable(&disk, file(), b"old");
        durable(&disk, aside, b"new");
        disk.rename(aside, file()).unwrap();
        disk.crash();
        outcomes.insert((read(&disk, file()), read(&disk, aside)));
    }
    let kept = (Some(b"new".to_vec()), None);
    let lost = (Some(b"old".to_vec()), Some(b"new".to_vec()));
    assert_eq!(outcomes, BTreeSet::from([kept, lost]));
}

#[test]
fn a_rename_is_durable_once_its_directory_is_synced() {
    for disk in disks() {
        let aside = Path::new("/data/aside");
        durable(&disk, file(), b"old");
        let new = disk.open(aside, OpenMode::CreateNew).unwrap();
        write(&*new, b"new", 0);
        new.sync_data().unwrap();
        disk.rename(aside, file()).unwrap();
        disk.sync_dir(data()).unwrap();
        disk.crash();
        assert_eq!((read(&disk, file()), read(&disk, aside)), (Some(b"new".to_vec()), None));
    }
}

/// Where a file is found after it was renamed to another directory, `synced` were synced, and the power was cut.
fn places_after_a_move(disk: &SimDisk, synced: &[&Path]) -> (bool, bool) {
    let elsewhere = Path::new("/elsewhere");
    disk.create_dir_all(elsewhere).unwrap();
    durable(disk, file(), b"bytes");
    disk.rename(file(), &elsewhere.join("file")).unwrap();
    for directory in synced {
        disk.sync_dir(directory).unwrap();
    }
    disk.crash();
    (read(disk, file()).is_some(), read(disk, &elsewhere.join("file")).is_some())
}

#[test]
fn a_rename_between_directories_is_durable_once_both_are_synced() {
    for one in [data(), Path::new("/elsewhere")] {
        let outcomes: BTreeSet<_> = disks().map(|disk| places_after_a_move(&disk, &[one])).collect();
        assert_eq!(outcomes, BTreeSet::from([(true, false), (false, true)]), "only {} synced", one.display());
    }
    let both = [Path::new("/elsewhere"), data()];
    let outcomes: BTreeSet<_> = disks().map(|disk| places_after_a_move(&disk, &both)).collect();
    assert_eq!(outcomes, BTreeSet::from([(false, true)]));
}

#[test]
fn names_reach_the_disk_in_any_order() {
    let mut outcomes = BTreeSet::new();
    for disk in disks() {
        for name in ["a", "b"] {
            disk.open(&data().join(name), OpenMode::CreateNew).unwrap();
        }
        disk.crash();
        let names: Vec<_> = disk.list(data()).unwrap().into_iter().map(|entry| entry.name).collect();
        outcomes.insert(names.join(""));
    }
    assert_eq!(outcomes.iter().collect::<Vec<_>>(), ["", "a", "ab", "b"]);
}

#[test]
fn a_change_of_a_name_brings_the_earlier_changes_of_that_name_with_it() {
    let aside = Path::new("/data/aside");
    let mut outcomes = BTreeSet::new();
    for disk in disks() {
        durable(&disk, file(), b"old");
        disk.rename(file(), aside).unwrap();
        let new = disk.open(file(), OpenMode::CreateNew).unwrap();
        write(&*new, b"new", 0);
        new.sync_data().unwrap();
        disk.crash();
        outcomes.insert((read(&disk, aside), read(&disk, file())));
    }
    let (old, new) = (Some(b"old".to_vec()), Some(b"new".to_vec()));
    // The new file without the old one aside would lose the old one, which no journal does.
    assert_eq!(outcomes, BTreeSet::from([(None, old.clone()), (old.clone(), None), (old, new)]));
}

#[test]
fn a_removal_that_was_not_synced_may_come_back() {
    let mut outcomes = BTreeSet::new();
    for disk in disks() {
        durable(&disk, file(), b"bytes");
        disk.remove_file(file()).unwrap();
        disk.crash();
        outcomes.insert(read(&disk, file()));
    }
    assert_eq!(outcomes, BTreeSet::from([None, Some(b"bytes".to_vec())]));
}

/// The measured trap: the first sync says EIO, the second says success, a restarted process still reads the data,
/// and a reboot loses it.
#[test]
fn after_a_failed_sync_the_next_one_lies_and_a_crash_loses_the_data() {
    for disk in disks() {
        let file_now = durable(&disk, file(), &[1; 2000]);
        write(&*file_now, &[2; 2000], 0);
        disk.inject(Fault::once(Operation::Sync, 1, FaultError::Io));
        file_now.sync_data().unwrap_err();
        file_now.sync_data().unwrap();
        assert_eq!(read(&disk, file()).unwrap(), [2; 2000]);
        disk.kill();
        assert!(file_now.sync_data().is_err(), "the old process's files are dead");
        assert_eq!(read(&disk, file()).unwrap(), [2; 2000]);
        disk.crash();
        assert_eq!(read(&disk, file()).unwrap(), [1; 2000]);
    }
}

#[test]
fn writing_the_same_bytes_again_makes_them_dirty_and_the_next_sync_true() {
    for disk in disks() {
        let file_now = disk.open(file(), OpenMode::CreateNew).unwrap();
        disk.sync_dir(data()).unwrap();
        write(&*file_now, &[2; 2000], 0);
        disk.inject(Fault::once(Operation::Sync, 1, FaultError::Io));
        file_now.sync_data().unwrap_err();
        write(&*file_now, &[2; 2000], 0);
        file_now.sync_data().unwrap();
        disk.crash();
        assert_eq!(read(&disk, file()).unwrap(), [2; 2000]);
    }
}

#[test]
fn after_a_failed_directory_sync_the_next_one_lies_too() {
    for disk in disks() {
        disk.open(file(), OpenMode::CreateNew).unwrap();
        disk.inject(Fault::once(Operation::SyncDir, 1, FaultError::Io));
        disk.sync_dir(data()).unwrap_err();
        disk.sync_dir(data()).unwrap();
        disk.crash();
        assert_eq!(read(&disk, file()), None);
    }
}

#[test]
fn a_lying_disk_says_yes_and_may_lose_everything() {
    let mut outcomes = BTreeSet::new();
    for disk in disks() {
        disk.set_lying(true);
        durable(&disk, file(), b"bytes");
        assert_eq!(read(&disk, file()).unwrap(), b"bytes");
        disk.crash();
        outcomes.insert(read(&disk, file()).is_some_and(|bytes| bytes == b"bytes"));
    }
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
}

#[test]
fn a_lying_sync_of_a_file_may_lose_its_bytes() {
    let mut outcomes = BTreeSet::new();
    for disk in disks() {
        let file_now = durable(&disk, file(), &[1; 512]);
        disk.set_lying(true);
        write(&*file_now, &[2; 512], 0);
        file_now.sync_data().unwrap();
        disk.crash();
        outcomes.insert(read(&disk, file()).unwrap()[0]);
    }
    assert_eq!(outcomes, BTreeSet::from([1, 2]));
}

#[test]
fn a_disk_that_stopped_lying_makes_durable_what_it_lied_about() {
    for disk in disks() {
        disk.set_lying(true);
        let file_now = durable(&disk, file(), b"bytes");
        disk.set_lying(false);
        file_now.sync_data().unwrap();
        disk.sync_dir(data()).unwrap();
        disk.crash();
        assert_eq!(read(&disk, file()).unwrap(), b"bytes");
    }
}

#[test]
fn nothing_is_answered_between_a_power_cut_and_the_restart() {
    let disk = SimDisk::new(1);
    disk.create_dir_all(data()).unwrap();
    let file_now = durable(&disk, file(), b"bytes");
    let lock = disk.lock(&data().join("lock")).unwrap();
    disk.crash_after(1);
    write(&*file_now, b"B", 0);
    assert!(!disk.is_crashed());
    file_now.sync_data().unwrap_err();
    assert!(disk.is_crashed());
    let changes = disk.changes();
    assert!(file_now.len().is_err() && file_now.view(0..1).is_err() && file_now.sync_data().is_err());
    assert!(disk.list(data()).is_err() && disk.open(file(), OpenMode::Read).is_err());
    assert!(disk.create_dir_all(data()).is_err() && disk.free_bytes(data()).is_err());
    assert_eq!(disk.changes(), changes);

    disk.restart();
    assert!(!disk.is_crashed());
    assert!(file_now.len().is_err(), "files from before the crash are dead");
    let _taken = disk.lock(&data().join("lock")).unwrap();
    drop(lock);
    assert!(disk.lock(&data().join("lock")).is_err(), "an old guard does not free a new lock");
}

/// Appends blocks and syncs each; returns how many were acknowledged before the disk stopped answering.
fn append_and_sync(disk: &SimDisk) -> usize {
    let attempt = |acknowledged: &mut usize| -> std::io::Result<()> {
        disk.create_dir_all(data())?;
        let file_now = disk.open(file(), OpenMode::CreateNew)?;
        file_now.allocate(0..20 * 700)?;
        disk.sync_dir(data())?;
        for block in 0..20_u8 {
            file_now.write_all_at(&[IoSlice::new(&[block + 1; 700])], u64::from(block) * 700)?;
            file_now.sync_data()?;
            *acknowledged += 1;
        }
        Ok(())
    };
    let mut acknowledged = 0;
    let _ = attempt(&mut acknowledged);
    acknowledged
}

#[test]
fn a_crash_at_any_change_keeps_what_was_acknowledged() {
    let all = SimDisk::new(0);
    assert_eq!(append_and_sync(&all), 20);
    for seed in 0..20 {
        for change in 0..all.changes() {
            println!("seed {seed}, crash after {change} changes");
            let disk = SimDisk::new(seed);
            disk.crash_after(change);
            let acknowledged = append_and_sync(&disk);
            assert!(disk.is_crashed());
            disk.restart();
            let bytes = read(&disk, file()).unwrap_or_default();
            for block in 0..acknowledged {
                let expected = u8::try_from(block).unwrap() + 1;
                let found = &bytes[block * 700..(block + 1) * 700];
                assert!(found.iter().all(|byte| *byte == expected), "block {block} of {acknowledged}");
            }
        }
    }
}
