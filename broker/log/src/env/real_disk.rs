//! The real disk: `std::fs`, and rustix where std has no name for a call.
//!
//! Every call goes through libc, so that a preloaded shim can fail it. Errors are handed on as the system gave them,
//! error number included. It does not latch and does not group syncs: `Latched` does.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, FlockOperation, RenameFlags};
use rustix::io::Errno;

use super::filesystem::kind_of;
use super::real_file::RealFile;
use super::{DirEntry, Disk, DiskFile, EntryKind, FilesystemKind, OpenMode, SyncFailed};

/// Addresses reserved for a growing file's mapping, bytes. Addresses are not memory; a file that outgrows them is
/// mapped anew.
const RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        let reserve_bytes = match mode {
            OpenMode::Read => 0, // whoever only reads finds the file as long as it will be
            OpenMode::ReadWrite => {
                options.write(true);
                RESERVE_BYTES
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
                RESERVE_BYTES
            }
        };
        Ok(Arc::new(RealFile::new(options.open(path)?, reserve_bytes)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        let parent = path.parent();
        if let Some(parent) = parent {
            self.create_dir_all(parent)?;
        }
        match fs::create_dir(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(error) => return Err(error),
        }
        let parent = parent.filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.sync_dir(parent).map_err(|source| SyncFailed { path: parent.into(), source }.into())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(|error| match error {
            // What a file system answers that does not know the flag, and a kernel that does not know the call.
            Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => io::ErrorKind::Unsupported.into(),
            error => error.into(),
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries =
            fs::read_dir(path)?.map(|entry| describe(&entry?)).collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        Ok(entries)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let answer = rustix::fs::statvfs(path)?;
        Ok(answer.f_bavail.saturating_mul(answer.f_frsize))
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        let answer = rustix::fs::statvfs(path)?;
        Ok(answer.f_blocks.saturating_mul(answer.f_frsize))
    }

    fn filesystem(&self, path: &Path) -> io::Result<FilesystemKind> {
        let answer = rustix::fs::statfs(path)?;
        // The field's width and sign differ between architectures; the magic numbers have 32 bits.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "only the low 32 bits count"
        )]
        let magic = answer.f_type as u32;
        Ok(kind_of(magic))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // The lock belongs to the open file: it ends when the guard, which is the file, is closed.
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }
}

/// One entry; the type is that of the entry itself, never of what a link points to.
fn describe(entry: &fs::DirEntry) -> io::Result<DirEntry> {
    let file_type = entry.file_type()?;
    let kind = if file_type.is_file() {
        EntryKind::File
    } else if file_type.is_dir() {
        EntryKind::Directory
    } else {
        EntryKind::Other
    };
    Ok(DirEntry { name: entry.file_name().to_string_lossy().into_owned(), kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_listed_as_neither_file_nor_directory() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/", directory.path().join("link")).unwrap();
        let entries = RealDisk.list(directory.path()).unwrap();
        assert_eq!(entries, [DirEntry { name: "link".into(), kind: EntryKind::Other }]);
    }

    #[test]
    fn free_bytes_are_at_most_all_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let free = RealDisk.free_bytes(directory.path()).unwrap();
        let total = RealDisk.total_bytes(directory.path()).unwrap();
        assert!(0 < free && free <= total, "{free} of {total} bytes free");
    }
}
