//! What every implementation of `Disk` must do, case by case. Each case gets a disk and an empty directory on it.

pub(crate) mod files;
pub(crate) mod names;
pub(crate) mod views;

use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use fidelog_log::env::{Disk, DiskFile, OpenMode};

/// A new file that holds `bytes`.
pub(crate) fn file_with(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.open(path, OpenMode::CreateNew).unwrap();
    write(&*file, bytes, 0);
    file
}

/// Writes `bytes` at `at`, its room allocated first, as the contract asks.
pub(crate) fn write(file: &dyn DiskFile, bytes: &[u8], at: u64) {
    file.allocate(at..at + bytes.len() as u64).unwrap();
    file.write_all_at(&[IoSlice::new(bytes)], at).unwrap();
}

/// All bytes of a file.
pub(crate) fn content(file: &dyn DiskFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// The kind of an error that must be one.
pub(crate) fn kind<T>(result: io::Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(error) => error.kind(),
    }
}
