//! The simulated disk as one process sees it: every change is told to the story, and the process can be made to end
//! in the midst of its changes, the machine and its page cache living on.
//!
//! A power cut is the disk's own business; this is what SIGKILL leaves behind.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use fidelog_log::env::{DirEntry, Disk, DiskFile, FilesystemKind, OpenMode, Operation};

use crate::story::Story;

/// One process's disk. Clones are of the same process.
#[derive(Clone, Debug)]
pub struct Process {
    disk: Arc<dyn Disk>,
    life: Arc<Life>,
}

#[derive(Debug)]
struct Life {
    story: Story,
    changes_left: AtomicU64,
    ended: AtomicBool,
    needs_mount: AtomicBool,
}

impl Process {
    /// A process that has just begun.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, story: Story) -> Self {
        let life = Life {
            story,
            changes_left: AtomicU64::new(u64::MAX),
            ended: AtomicBool::new(false),
            needs_mount: AtomicBool::new(false),
        };
        Self { disk, life: Arc::new(life) }
    }

    /// Lets so many more changes through; with the one after them the process ends.
    pub fn end_after(&self, changes: u64) {
        self.life.changes_left.store(changes, Ordering::Relaxed);
    }

    /// Whether a directory could not be synced: an ordinary file system has given up its journal then, and takes no
    /// change, of this process or a later one, until the machine mounts it again.
    #[must_use]
    pub fn needs_mount(&self) -> bool {
        self.life.needs_mount.load(Ordering::Relaxed)
    }

    /// Ends it between two changes.
    pub fn end(&self) {
        self.life.ended.store(true, Ordering::Relaxed);
    }

    /// Whether it has ended: nothing of it reaches the disk any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.life.ended.load(Ordering::Relaxed)
    }
}

/// The last two parts of a path: all that tells files of a run apart.
fn short(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts[parts.len().saturating_sub(2)..].join("/")
}

fn ended() -> io::Error {
    io::Error::other("the simulated process has ended")
}

impl Life {
    fn look(&self) -> io::Result<()> {
        if self.ended.load(Ordering::Relaxed) { Err(ended()) } else { Ok(()) }
    }

    fn change<T>(
        &self,
        operation: Operation,
        path: &Path,
        numbers: [u64; 2],
        change: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.look()?;
        let left = self.changes_left.load(Ordering::Relaxed);
        if left == 0 {
            self.ended.store(true, Ordering::Relaxed);
            self.story.note("ended", &[], || {
                format!("    the process is killed before: {operation} {}", short(path))
            });
            return Err(ended());
        }
        self.changes_left.store(left - 1, Ordering::Relaxed);
        let outcome = change();
        let failed = u64::from(outcome.is_err());
        if failed == 1 && [Operation::SyncDir, Operation::CreateDir].contains(&operation) {
            self.needs_mount.store(true, Ordering::Relaxed);
        }
        self.story.note(
            path.to_str().unwrap_or_default(),
            &[operation as u64, numbers[0], numbers[1], failed],
            || {
                let error = outcome.as_ref().err().map_or(String::new(), |error| format!(" FAILED: {error}"));
                format!("    disk: {operation} {} {numbers:?}{error}", short(path))
            },
        );
        outcome
    }
}

impl Disk for Process {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let open = || self.disk.open(path, mode);
        let file = match mode {
            OpenMode::Read | OpenMode::ReadWrite => self.life.look().and_then(|()| open())?,
            OpenMode::CreateNew => self.life.change(Operation::Create, path, [0; 2], open)?,
        };
        Ok(Arc::new(ProcessFile { file, path: path.into(), life: Arc::clone(&self.life) }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.life.change(Operation::CreateDir, path, [0; 2], || self.disk.create_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.life.change(Operation::SyncDir, path, [0; 2], || self.disk.sync_dir(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.life.change(Operation::Rename, from, [0; 2], || self.disk.rename(from, to))
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.life.change(Operation::Rename, one, [0; 2], || self.disk.exchange(one, other))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.life.change(Operation::Remove, path, [0; 2], || self.disk.remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.life.change(Operation::Remove, path, [1; 2], || self.disk.remove_dir_all(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.life.look().and_then(|()| self.disk.list(path))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.life.look().and_then(|()| self.disk.free_bytes(path))
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        self.life.look().and_then(|()| self.disk.total_bytes(path))
    }

    fn filesystem(&self, path: &Path) -> io::Result<FilesystemKind> {
        self.life.look().and_then(|()| self.disk.filesystem(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.life.change(Operation::Lock, path, [0; 2], || self.disk.lock(path))
    }
}

#[derive(Debug)]
struct ProcessFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    life: Arc<Life>,
}

impl DiskFile for ProcessFile {
    fn len(&self) -> io::Result<u64> {
        self.life.look().and_then(|()| self.file.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.life.look().and_then(|()| self.file.read_exact_at(buffer, at))
    }

    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        self.life
            .change(Operation::Write, &self.path, [at, bytes as u64], || self.file.write_all_at(parts, at))
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        let numbers = [range.start, range.end];
        self.life.change(Operation::Allocate, &self.path, numbers, || self.file.allocate(range))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.life.change(Operation::Sync, &self.path, [0; 2], || self.file.sync_data())
    }

    fn view(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.life.look().and_then(|()| self.file.view(range))
    }
}
