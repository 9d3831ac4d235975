//! Cases about one file: creating, writing, reading, allocating, syncing.

use std::io::{ErrorKind, IoSlice};
use std::path::Path;

use fidelog_log::env::{Disk, OpenMode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{content, file_with, kind, write};

pub(crate) fn a_created_file_is_empty_and_created_once(disk: &dyn Disk, directory: &Path) {
    let path = directory.join("file");
    assert_eq!(kind(disk.open(&path, OpenMode::Read)), ErrorKind::NotFound);
    assert_eq!(kind(disk.open(&path, OpenMode::ReadWrite)), ErrorKind::NotFound);
    let file = disk.open(&path, OpenMode::CreateNew).unwrap();
    assert_eq!((file.len().unwrap(), file.is_empty().unwrap()), (0, true));
    assert_eq!(kind(disk.open(&path, OpenMode::CreateNew)), ErrorKind::AlreadyExists);
}

pub(crate) fn parts_are_written_one_after_the_other(disk: &dyn Disk, directory: &Path) {
    let file = disk.open(&directory.join("file"), OpenMode::CreateNew).unwrap();
    file.allocate(0..9).unwrap();
    let parts = [b"".as_slice(), b"ab", b"", b"cde", b"f"].map(IoSlice::new);
    file.write_all_at(&parts, 3).unwrap();
    file.write_all_at(&[], 0).unwrap();
    file.write_all_at(&[IoSlice::new(b"")], 0).unwrap();
    assert_eq!(content(&*file), b"\0\0\0abcdef");
}

pub(crate) fn a_write_beyond_the_end_leaves_zeros_between(disk: &dyn Disk, directory: &Path) {
    let file = file_with(disk, &directory.join("file"), b"ab");
    file.write_all_at(&[IoSlice::new(b"c")], 1_000).unwrap();
    let bytes = content(&*file);
    assert_eq!(bytes.len(), 1_001);
    assert_eq!((&bytes[..2], &bytes[1_000..]), (&b"ab"[..], &b"c"[..]));
    assert!(bytes[2..1_000].iter().all(|byte| *byte == 0));
}

pub(crate) fn a_read_beyond_the_end_is_an_error(disk: &dyn Disk, directory: &Path) {
    let file = file_with(disk, &directory.join("file"), b"0123456789");
    file.read_exact_at(&mut [0; 10], 0).unwrap();
    file.read_exact_at(&mut [], 10).unwrap();
    assert_eq!(kind(file.read_exact_at(&mut [0; 11], 0)), ErrorKind::UnexpectedEof);
    assert_eq!(kind(file.read_exact_at(&mut [0; 1], 10)), ErrorKind::UnexpectedEof);
    assert_eq!(kind(file.read_exact_at(&mut [0; 1], 1 << 40)), ErrorKind::UnexpectedEof);
}

pub(crate) fn an_allocation_extends_with_zeros_and_keeps_what_is_there(disk: &dyn Disk, directory: &Path) {
    let file = file_with(disk, &directory.join("file"), b"kept");
    file.allocate(2..10_000).unwrap();
    file.allocate(0..100).unwrap();
    #[expect(clippy::reversed_empty_ranges, reason = "asking for nothing, or less, is no error")]
    file.allocate(5..4).unwrap();
    let bytes = content(&*file);
    assert_eq!(bytes.len(), 10_000);
    assert_eq!(&bytes[..4], b"kept");
    assert!(bytes[4..].iter().all(|byte| *byte == 0));
}

pub(crate) fn a_file_opened_to_read_refuses_writes_and_sees_them(disk: &dyn Disk, directory: &Path) {
    let path = directory.join("file");
    let writer = file_with(disk, &path, b"before");
    let reader = disk.open(&path, OpenMode::Read).unwrap();
    assert!(reader.write_all_at(&[IoSlice::new(b"no")], 0).is_err());
    assert!(reader.allocate(0..1 << 20).is_err());
    write(&*writer, b"after", 6);
    assert_eq!(content(&*reader), b"beforeafter");
    write(&*disk.open(&path, OpenMode::ReadWrite).unwrap(), b"B", 0);
    assert_eq!(content(&*reader), b"Beforeafter");
}

pub(crate) fn syncs_of_what_is_there_succeed(disk: &dyn Disk, directory: &Path) {
    let file = file_with(disk, &directory.join("file"), b"bytes");
    file.sync_data().unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(directory).unwrap();
    assert_eq!(content(&*file), b"bytes");
    assert_eq!(kind(disk.sync_dir(&directory.join("missing"))), ErrorKind::NotFound);
}

/// Random writes, allocations, reads, views and syncs, against a plain vector.
pub(crate) fn a_file_does_what_a_vector_does(disk: &dyn Disk, directory: &Path) {
    for seed in 0..8 {
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let file = disk.open(&directory.join(format!("file-{seed}")), OpenMode::CreateNew).unwrap();
        let mut model: Vec<u8> = Vec::new();
        for _ in 0..200 {
            let at = random.random_range(0..=model.len().min(50_000));
            let count = random.random_range(0..6_000);
            match random.random_range(0..6) {
                0 | 1 => {
                    let byte: u8 = random.random();
                    model.resize(model.len().max(at + count), 0);
                    model[at..at + count].fill(byte);
                    write(&*file, &vec![byte; count], at as u64);
                }
                2 if count > 0 => {
                    model.resize(model.len().max(at + count), 0);
                    file.allocate(at as u64..(at + count) as u64).unwrap();
                }
                3 => {
                    let end = (at + count).min(model.len());
                    assert_eq!(file.view(at as u64..end as u64).unwrap(), model[at..end]);
                }
                4 => {
                    let mut bytes = vec![0; model.len() - at];
                    file.read_exact_at(&mut bytes, at as u64).unwrap();
                    assert_eq!(bytes, model[at..]);
                }
                _ => file.sync_data().unwrap(),
            }
            assert_eq!(file.len().unwrap(), model.len() as u64);
        }
        assert_eq!(content(&*file), model);
    }
}
