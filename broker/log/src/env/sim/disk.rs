//! The simulated disk: one file tree in memory, with everything a real disk may do to it.
//!
//! Written and durable are told apart per sector of 512 bytes, per file length and per directory entry. A crash
//! draws from the seed what of the unsynced is kept, lost or torn. It models no time, no permissions and no links.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::Fault;
use super::content::Content;
use super::file::SimFile;
use super::world::{Power, World};
use crate::env::{DirEntry, Disk, DiskFile, FilesystemKind, OpenMode, Operation, SyncFailed};

/// A simulated disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

impl SimDisk {
    /// An empty disk with a root directory. The same seed and calls give the same outcomes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { world: Arc::new(Mutex::new(World::new(seed))) }
    }

    /// Another disk that holds the same, from this moment on its own: to be put back later, or to be cloned. What was
    /// opened and locked stays with the first.
    #[must_use]
    pub fn copy(&self) -> Self {
        let mut world = World::clone(&self.world());
        world.end_process();
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// Plans a fault.
    pub fn inject(&self, fault: Fault) {
        self.world().faults.inject(fault);
    }

    /// Forgets all planned faults.
    pub fn clear_faults(&self) {
        self.world().faults.clear();
    }

    /// Limits the room of all files together, bytes; files take it in blocks of 4 KiB.
    pub fn set_capacity_bytes(&self, capacity_bytes: u64) {
        self.world().capacity_bytes = capacity_bytes;
    }

    /// From now on syncs of files and directories succeed without making anything durable, or do their work again.
    pub fn set_lying(&self, lying: bool) {
        self.world().lying = lying;
    }

    /// How many changes were asked for so far: writes, allocations, syncs, creations, renames, removals and locks,
    /// failed ones included.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.world().changes
    }

    /// Lets `changes` more changes through; the one after them is cut off in the middle, and nothing is answered
    /// until [`Self::restart`].
    pub fn crash_after(&self, changes: u64) {
        let mut world = self.world();
        world.power = Power::Until(world.changes + changes + 1);
    }

    /// Cuts the power: nothing is answered until [`Self::restart`].
    pub fn cut_power(&self) {
        self.world().power = Power::Off;
    }

    /// Whether the power is gone.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.world().power == Power::Off
    }

    /// Brings the machine back after a power cut, with what the seed left of everything unsynced. Files and locks
    /// from before are dead. A machine that still has power loses it first. Faults, capacity and lying stay as set.
    pub fn restart(&self) {
        self.world().crash();
    }

    /// Cuts the power and restarts.
    pub fn crash(&self) {
        self.cut_power();
        self.restart();
    }

    /// Ends the process but not the machine: what was written stays readable and may still be lost; files and locks
    /// from before are dead.
    pub fn kill(&self) {
        self.world().end_process();
    }

    /// Flips one bit (0 to 7) of the byte at `at`, on the medium itself.
    ///
    /// # Errors
    /// `NotFound`; `UnexpectedEof` beyond the file's length.
    ///
    /// # Panics
    /// When `bit` is above 7.
    pub fn flip_bit(&self, path: &Path, at: u64, bit: u8) -> io::Result<()> {
        assert!(bit < 8, "bit {bit} of a byte; it has 0 to 7");
        self.damage(path, &(at..at + 1), |content, range| content.damage(range, |byte| byte ^ (1 << bit)))
    }

    /// Zeroes `range`, on the medium itself.
    ///
    /// # Errors
    /// `NotFound`; `UnexpectedEof` beyond the file's length.
    pub fn zero(&self, path: &Path, range: Range<u64>) -> io::Result<()> {
        self.damage(path, &range, |content, range| content.damage(range, |_| 0))
    }

    /// Makes reads of the sectors of `range` fail with EIO until they are written again.
    ///
    /// # Errors
    /// `NotFound`; `UnexpectedEof` beyond the file's length.
    pub fn make_unreadable(&self, path: &Path, range: Range<u64>) -> io::Result<()> {
        self.damage(path, &range, |content, range| content.make_unreadable(&range))
    }

    fn damage(
        &self,
        path: &Path,
        range: &Range<u64>,
        damage: impl FnOnce(&mut Content, Range<usize>),
    ) -> io::Result<()> {
        let mut world = self.world();
        let node = world.tree.find_file(path)?;
        let content = world.tree.content(node);
        damage(content, super::file::within(range, content)?);
        Ok(())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock()
    }

    /// Makes a directory durable, unless the disk lies or a fault strikes.
    fn sync(&self, path: &Path) -> io::Result<()> {
        let sync = |world: &mut World| {
            if world.lying { world.tree.find(path).map(drop) } else { world.tree.sync(path) }
        };
        self.world().change(Operation::SyncDir, path, sync, |world| world.tree.fail_sync(path))
    }
}

/// What a fault leaves behind that strikes before anything was done.
fn nothing(_: &mut World) {}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        let node = match mode {
            OpenMode::Read | OpenMode::ReadWrite => {
                world.look(Operation::Open, path, |world| world.tree.find_file(path))?
            }
            OpenMode::CreateNew => {
                world.change(Operation::Create, path, |world| world.tree.create_file(path), nothing)?
            }
        };
        let file = SimFile {
            world: Arc::clone(&self.world),
            path: path.into(),
            node,
            process: world.process,
            writable: mode != OpenMode::Read,
        };
        Ok(Arc::new(file))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let missing = {
            let world = self.world();
            world.check_power()?;
            let missing =
                |path: &&Path| world.tree.find(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
            path.ancestors().take_while(missing).collect::<Vec<_>>()
        };
        if missing.is_empty() {
            return self.world().tree.list(path).map(drop); // an error when a file is in the way
        }
        for directory in missing.into_iter().rev() {
            let create = |world: &mut World| world.tree.create_directory(directory);
            self.world().change(Operation::CreateDir, directory, create, nothing)?;
            let parent =
                directory.parent().expect("the root is never missing, and everything else has a parent");
            self.sync(parent).map_err(|source| SyncFailed { path: parent.into(), source })?;
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.sync(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let rename = |world: &mut World| {
            let replaced = world.tree.rename(from, to)?;
            replaced.into_iter().for_each(|node| world.give_room_back(node));
            Ok(())
        };
        self.world().change(Operation::Rename, from, rename, nothing)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.world().change(Operation::Rename, one, |world| world.tree.exchange(one, other), nothing)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let remove = |world: &mut World| {
            let removed = world.tree.remove_file(path)?;
            world.give_room_back(removed);
            Ok(())
        };
        self.world().change(Operation::Remove, path, remove, nothing)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let remove = |world: &mut World| {
            let removed = world.tree.remove_directory(path)?;
            removed.into_iter().for_each(|node| world.give_room_back(node));
            Ok(())
        };
        self.world().change(Operation::Remove, path, remove, nothing)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let entries = self.world().look(Operation::List, path, |world| world.tree.list(path))?;
        Ok(entries.into_iter().map(|(name, kind)| DirEntry { name, kind }).collect())
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let world = self.world();
        world.check_power()?;
        world.tree.find(path)?;
        Ok(world.capacity_bytes.saturating_sub(world.used_bytes))
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        let world = self.world();
        world.check_power()?;
        world.tree.find(path)?;
        Ok(world.capacity_bytes)
    }

    fn filesystem(&self, path: &Path) -> io::Result<FilesystemKind> {
        let world = self.world();
        world.check_power()?;
        world.tree.find(path)?;
        Ok(FilesystemKind::Disk)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let take = |world: &mut World| {
            match world.tree.create_file(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            if !world.locks.insert(path.into()) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(world.process)
        };
        let process = self.world().change(Operation::Lock, path, take, nothing)?;
        Ok(Box::new(SimLock { world: Arc::clone(&self.world), path: path.into(), process }))
    }
}

/// A lock, until it is dropped or its process ends.
struct SimLock {
    world: Arc<Mutex<World>>,
    path: PathBuf,
    process: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut world = self.world.lock();
        if world.process == self.process {
            world.locks.remove(&self.path);
        }
    }
}
