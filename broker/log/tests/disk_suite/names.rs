//! Cases about directories, names and locks.

use std::io::ErrorKind;
use std::path::Path;

use fidelog_log::env::{Disk, EntryKind, FilesystemKind, OpenMode};

use super::{content, file_with, kind, write};

fn names(disk: &dyn Disk, directory: &Path) -> Vec<String> {
    disk.list(directory).unwrap().into_iter().map(|entry| entry.name).collect()
}

pub(crate) fn directories_are_created_with_their_parents(disk: &dyn Disk, directory: &Path) {
    let deep = directory.join("a/b/c");
    disk.create_dir_all(&deep).unwrap();
    disk.create_dir_all(&deep).unwrap();
    assert_eq!(names(disk, &directory.join("a/b")), ["c"]);
    file_with(disk, &deep.join("file"), b"in the way");
    assert!(disk.create_dir_all(&deep.join("file")).is_err());
    assert!(disk.create_dir_all(&deep.join("file/below")).is_err());
}

pub(crate) fn a_listing_is_sorted_and_names_kinds(disk: &dyn Disk, directory: &Path) {
    assert!(disk.list(directory).unwrap().is_empty());
    for name in ["b", "c", "a"] {
        file_with(disk, &directory.join(name), b"");
    }
    disk.create_dir_all(&directory.join("aa")).unwrap();
    let entries = disk.list(directory).unwrap();
    let found: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect();
    let (file, folder) = (EntryKind::File, EntryKind::Directory);
    assert_eq!(found, [("a", file), ("aa", folder), ("b", file), ("c", file)]);
    assert_eq!(kind(disk.list(&directory.join("a"))), ErrorKind::NotADirectory);
}

pub(crate) fn a_rename_replaces_and_open_files_follow(disk: &dyn Disk, directory: &Path) {
    let (from, to) = (directory.join("from"), directory.join("to"));
    let file = file_with(disk, &from, b"new");
    let replaced = file_with(disk, &to, b"old");
    disk.rename(&from, &to).unwrap();
    disk.sync_dir(directory).unwrap();
    assert_eq!(names(disk, directory), ["to"]);
    write(&*file, b"N", 0);
    assert_eq!(content(&*disk.open(&to, OpenMode::Read).unwrap()), b"New");
    assert_eq!(content(&*replaced), b"old");
    let below = directory.join("below");
    disk.create_dir_all(&below).unwrap();
    disk.rename(&to, &below.join("there")).unwrap();
    assert_eq!((names(disk, directory), names(disk, &below)), (vec!["below".into()], vec!["there".into()]));
    disk.rename(&below, &directory.join("renamed")).unwrap();
    assert_eq!(names(disk, &directory.join("renamed")), ["there"]);
}

pub(crate) fn two_files_exchange_names_and_open_ones_follow(disk: &dyn Disk, directory: &Path) {
    let (one, other) = (directory.join("one"), directory.join("other"));
    let file = file_with(disk, &one, b"1");
    file_with(disk, &other, b"2");
    disk.exchange(&one, &other).unwrap();
    disk.sync_dir(directory).unwrap();
    assert_eq!(names(disk, directory), ["one", "other"]);
    write(&*file, b"!", 0);
    assert_eq!(content(&*disk.open(&one, OpenMode::Read).unwrap()), b"2");
    assert_eq!(content(&*disk.open(&other, OpenMode::Read).unwrap()), b"!");
}

pub(crate) fn a_removed_file_is_gone_but_stays_readable_where_open(disk: &dyn Disk, directory: &Path) {
    let path = directory.join("file");
    let file = file_with(disk, &path, b"old");
    disk.remove_file(&path).unwrap();
    assert_eq!(kind(disk.open(&path, OpenMode::Read)), ErrorKind::NotFound);
    assert_eq!(content(&*file), b"old");
    file_with(disk, &path, b"other");
    assert_eq!(content(&*file), b"old");
}

pub(crate) fn a_removed_directory_takes_all_with_it(disk: &dyn Disk, directory: &Path) {
    let gone = directory.join("gone");
    disk.create_dir_all(&gone.join("deep/deeper")).unwrap();
    file_with(disk, &gone.join("deep/file"), b"bytes");
    disk.remove_dir_all(&gone).unwrap();
    assert!(disk.list(directory).unwrap().is_empty());
    assert_eq!(kind(disk.list(&gone)), ErrorKind::NotFound);
}

pub(crate) fn a_lock_is_held_by_one_guard_at_a_time(disk: &dyn Disk, directory: &Path) {
    let path = directory.join("lock");
    let guard = disk.lock(&path).unwrap();
    assert_eq!(kind(disk.lock(&path)), ErrorKind::WouldBlock);
    let _other = disk.lock(&directory.join("another")).unwrap();
    drop(guard);
    let _again = disk.lock(&path).unwrap();
    assert_eq!(kind(disk.lock(&path)), ErrorKind::WouldBlock);
}

pub(crate) fn a_disk_tells_its_size_and_kind(disk: &dyn Disk, directory: &Path) {
    let (free, total) = (disk.free_bytes(directory).unwrap(), disk.total_bytes(directory).unwrap());
    assert!(free <= total, "{free} of {total} bytes free");
    assert!(!matches!(disk.filesystem(directory).unwrap(), FilesystemKind::Network(_)));
    assert_eq!(kind(disk.free_bytes(&directory.join("missing"))), ErrorKind::NotFound);
}

pub(crate) fn what_is_missing_is_not_found(disk: &dyn Disk, directory: &Path) {
    let missing = directory.join("missing");
    assert_eq!(kind(disk.list(&missing)), ErrorKind::NotFound);
    assert_eq!(kind(disk.remove_file(&missing)), ErrorKind::NotFound);
    assert_eq!(kind(disk.remove_dir_all(&missing)), ErrorKind::NotFound);
    assert_eq!(kind(disk.open(&missing.join("file"), OpenMode::CreateNew)), ErrorKind::NotFound);
    assert_eq!(kind(disk.rename(&missing, &directory.join("to"))), ErrorKind::NotFound);
}
