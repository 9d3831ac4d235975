//! Writes a file again before it is believed.
//!
//! After an unclean or failed stop, what reads well may be gone after the next power cut: the page cache keeps bytes
//! whose write-back failed (RELIABILITY §0.3). Copying them makes them somebody's duty again.

use std::io::{self, IoSlice};
use std::path::Path;

use fidelog_log::env::{Disk, DiskFile, OpenMode};

/// Bytes copied at a time.
const PIECE_BYTES: u64 = 1 << 20;

/// Replaces `path` by a synced copy of itself, made at `aside`. Without room for a copy the same bytes are written
/// in place, which is sound while sectors are atomic.
pub(super) fn rewrite(disk: &dyn Disk, directory: &Path, path: &Path, aside: &Path) -> io::Result<()> {
    remove_if_there(disk, aside)?;
    let source = disk.open(path, OpenMode::Read)?;
    match copy(disk, source.as_ref(), aside) {
        Ok(()) => {
            disk.rename(aside, path)?;
            disk.sync_dir(directory)
        }
        Err(error) if is_full(&error) => {
            remove_if_there(disk, aside)?;
            let file = disk.open(path, OpenMode::ReadWrite)?;
            write_again(file.as_ref())
        }
        Err(error) => Err(error),
    }
}

/// Removes what a stop in the middle left behind.
pub(super) fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Whether the disk refused for want of room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn copy(disk: &dyn Disk, source: &dyn DiskFile, to: &Path) -> io::Result<()> {
    let target = disk.open(to, OpenMode::CreateNew)?;
    let len = source.len()?;
    if len > 0 {
        target.allocate(0..len)?;
    }
    write_pieces(source, target.as_ref(), len)?;
    target.sync_data()
}

fn write_again(file: &dyn DiskFile) -> io::Result<()> {
    write_pieces(file, file, file.len()?)?;
    file.sync_data()
}

fn write_pieces(source: &dyn DiskFile, target: &dyn DiskFile, len: u64) -> io::Result<()> {
    let mut piece = vec![0; usize::try_from(PIECE_BYTES.min(len)).expect("a piece fits memory")];
    let mut at = 0;
    while at < len {
        let count = usize::try_from(PIECE_BYTES.min(len - at)).expect("a piece fits memory");
        source.read_exact_at(&mut piece[..count], at)?;
        target.write_all_at(&[IoSlice::new(&piece[..count])], at)?;
        at += count as u64;
    }
    Ok(())
}
