//! An open file of the simulated disk. Dead once its process has ended, by a crash or otherwise. Views are copies.

use std::fmt;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::Rng;
use rustix::io::Errno;

use super::content::Content;
use super::tree::NodeId;
use super::world::{World, crashed};
use crate::env::{DiskFile, Operation};

/// A file of `SimDisk`.
pub(super) struct SimFile {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) path: PathBuf,
    pub(super) node: NodeId,
    pub(super) process: u64,
    pub(super) writable: bool,
}

impl SimFile {
    /// Runs `act` if the process that opened this file still runs.
    fn with<T>(&self, act: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let mut world = self.world.lock();
        world.check_power()?;
        if world.process != self.process {
            return Err(crashed());
        }
        act(&mut world)
    }

    fn change(
        &self,
        operation: Operation,
        change: impl FnOnce(&mut World) -> io::Result<()>,
        struck: impl FnOnce(&mut World),
    ) -> io::Result<()> {
        if !self.writable {
            return Err(Errno::BADF.into());
        }
        self.with(|world| world.change(operation, &self.path, change, struck))
    }

    fn read<T>(&self, range: &Range<u64>, take: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        self.with(|world| {
            world.look(Operation::Read, &self.path, |world| {
                let content = world.tree.content(self.node);
                let range = within(range, content)?;
                content.read(range).map(take).ok_or_else(|| Errno::IO.into())
            })
        })
    }
}

/// `range` as indexes, when it lies within the file.
pub(super) fn within(range: &Range<u64>, content: &Content) -> io::Result<Range<usize>> {
    if range.start > range.end || range.end > content.len() {
        return Err(crate::env::mapping::beyond_end(range, content.len()));
    }
    Ok(index(range.start)?..index(range.end)?)
}

fn index(at: u64) -> io::Result<usize> {
    usize::try_from(at).map_err(|_| Errno::FBIG.into())
}

impl fmt::Debug for SimFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the world: it is every file's.
        formatter.debug_struct("SimFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|world| Ok(world.tree.content(self.node).len()))
    }

    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let end = at.checked_add(buffer.len() as u64).ok_or(Errno::INVAL)?;
        self.read(&(at..end), |bytes| buffer.copy_from_slice(bytes))
    }

    fn write_all_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        if bytes.is_empty() {
            return Ok(());
        }
        let end = at.checked_add(bytes.len() as u64).ok_or(Errno::FBIG)?;
        let start = index(at)?;
        let (node, bytes) = (self.node, &bytes);
        let write = |world: &mut World| {
            world.take_room(node, end)?;
            let World { tree, random, .. } = world;
            tree.content(node).write(bytes, start, random);
            Ok(())
        };
        let write_some = |world: &mut World| {
            let World { tree, random, .. } = world;
            let some = random.random_range(0..=bytes.len()).min(room_left(tree.content(node), at));
            if some > 0 {
                tree.content(node).write(&bytes[..some], start, random);
            }
        };
        self.change(Operation::Write, write, write_some)
    }

    fn allocate(&self, range: Range<u64>) -> io::Result<()> {
        if range.start >= range.end {
            return Ok(());
        }
        let end = index(range.end)?;
        let allocate = |world: &mut World| {
            world.take_room(self.node, range.end)?;
            world.tree.content(self.node).extend(end);
            Ok(())
        };
        self.change(Operation::Allocate, allocate, |_| {})
    }

    fn sync_data(&self) -> io::Result<()> {
        let sync = |world: &mut World| {
            if !world.lying {
                world.tree.content(self.node).sync();
            }
            Ok(())
        };
        // A file opened to read may be synced, too.
        let fail = |world: &mut World| world.tree.content(self.node).fail_sync();
        self.with(|world| world.change(Operation::Sync, &self.path, sync, fail))
    }

    fn view(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.read(&range, Bytes::copy_from_slice)
    }
}

/// Bytes from `at` on that the file has room for already; a write that fails takes no new room.
fn room_left(content: &Content, at: u64) -> usize {
    usize::try_from(content.room_bytes().saturating_sub(at)).unwrap_or(usize::MAX)
}
