//! Cases about views: their bounds, and that they hold still while the file changes around them.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;

use fidelog_log::env::{Disk, OpenMode};

use super::{file_with, kind, write};

pub(crate) fn a_view_beyond_the_end_is_an_error_and_no_signal(disk: &dyn Disk, directory: &Path) {
    let file = file_with(disk, &directory.join("file"), &[7; 5_000]);
    assert_eq!(file.view(0..5_000).unwrap(), [7; 5_000].as_slice());
    assert!(file.view(5_000..5_000).unwrap().is_empty());
    for range in
        [0..5_001, 4_999..5_001, 5_001..5_001, 8_192..8_193, 1 << 40..(1 << 40) + 1, u64::MAX - 1..u64::MAX]
    {
        assert_eq!(kind(file.view(range.clone())), ErrorKind::UnexpectedEof, "{range:?}");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "hostile ranges are errors, too")]
    let reversed = 5..4;
    assert_eq!(kind(file.view(reversed)), ErrorKind::UnexpectedEof);
}

pub(crate) fn a_view_shows_what_was_written_before_it(disk: &dyn Disk, directory: &Path) {
    let file = file_with(disk, &directory.join("file"), b"first");
    assert_eq!(file.view(0..5).unwrap(), "first");
    write(&*file, b"again", 0);
    assert_eq!(file.view(0..5).unwrap(), "again");
}

pub(crate) fn views_stay_as_they_were_while_the_file_grows(disk: &dyn Disk, directory: &Path) {
    let path = directory.join("file");
    let writer = file_with(disk, &path, b"");
    // The reader's mapping begins small and has to be replaced as the file doubles.
    let reader = disk.open(&path, OpenMode::Read).unwrap();
    let mut views = Vec::new();
    let mut at = 0;
    for step in 0..14_u8 {
        let bytes = vec![step; 100 << step];
        write(&*writer, &bytes, at);
        let range = at..at + bytes.len() as u64;
        assert_eq!(writer.view(range.clone()).unwrap(), bytes);
        views.push((step, reader.view(range).unwrap()));
        at += bytes.len() as u64;
    }
    drop((writer, reader));
    for (step, view) in views {
        assert_eq!(view.len(), 100 << step);
        assert!(view.iter().all(|byte| *byte == step), "the view of step {step} changed");
    }
}

pub(crate) fn readers_view_while_the_writer_appends(disk: &dyn Disk, directory: &Path) {
    const BLOCK: u64 = 3_000;
    let file = file_with(disk, &directory.join("file"), b"");
    thread::scope(|scope| {
        let mut readers = Vec::new();
        for _ in 0..3 {
            let (publish, published) = channel();
            readers.push(publish);
            let file = &file;
            scope.spawn(move || {
                // Ends with the writer, even when that one fails.
                for block in published {
                    let view = file.view(block * BLOCK..(block + 1) * BLOCK).unwrap();
                    assert!(view.iter().all(|byte| u64::from(*byte) == block % 251), "block {block}");
                }
            });
        }
        for block in 0..200_u64 {
            let byte = u8::try_from(block % 251).unwrap();
            write(&*file, &vec![byte; usize::try_from(BLOCK).unwrap()], block * BLOCK);
            for reader in &readers {
                reader.send(block).unwrap();
            }
        }
        drop(readers);
    });
}
