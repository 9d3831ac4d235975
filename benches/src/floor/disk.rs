//! The disk floor: one thread appends and syncs, one append at a time.
//!
//! It shows what an acknowledgement that can be believed costs before there is a network. No group commit: each
//! append has a sync of its own.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use super::append_file::{AppendFile, Cache};
use super::payload::Payloads;
use crate::contender::{Contender, Running, warm_up};
use crate::sample::Sample;
use crate::shape::Shape;

/// Bytes of a file written with zeros beforehand; written round and round.
const PREWRITTEN_BYTES: usize = 256 << 20;

/// In what state an append finds the file's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFloor {
    /// Allocated and never written, as in a log that grows by `fallocate`.
    Allocated,
    /// Written with zeros and synced beforehand: the sync changes no block's state, only its bytes.
    Prewritten,
}

impl Contender for DiskFloor {
    fn start(&self, shape: &Shape, dir: &Path) -> Result<Box<dyn Running>> {
        ensure!(*shape == Shape::single(shape.record_bytes), "the disk floor has no shape {shape}");
        let path = dir.join("log");
        let file = match self {
            Self::Allocated => Blocks::Allocated(AppendFile::create(&path, Cache::Dropped)?),
            Self::Prewritten => Blocks::Prewritten(Ring::create(&path)?),
        };
        let payloads = Payloads::new(1, shape.record_bytes);
        Ok(Box::new(Appender { file, payloads }))
    }
}

enum Blocks {
    Allocated(AppendFile),
    Prewritten(Ring),
}

struct Appender {
    file: Blocks,
    payloads: Payloads,
}

impl Appender {
    /// Appends and syncs one payload; says how long that took.
    fn append_and_sync(&mut self, payload: Bytes) -> Result<Duration> {
        let before = Instant::now();
        match &mut self.file {
            Blocks::Allocated(file) => {
                file.append(&[payload])?;
                file.sync()?;
                let took = before.elapsed();
                // Outside the time taken: this floor is about the disk, not about memory.
                file.drop_cache()?;
                Ok(took)
            }
            Blocks::Prewritten(ring) => {
                ring.append_and_sync(&payload)?;
                Ok(before.elapsed())
            }
        }
    }
}

impl Running for Appender {
    fn drive(&mut self, time: Duration) -> Result<Sample> {
        let counted_from = Instant::now() + warm_up(time);
        let mut sample = Sample::default();
        let mut busy = Duration::ZERO;
        loop {
            let payload = self.payloads.take();
            let (bytes, before) = (payload.len(), Instant::now());
            let took = self.append_and_sync(payload)?;
            if before >= counted_from {
                sample.record(took, 1, bytes);
                busy += took;
            }
            if before >= counted_from + time {
                return Ok(sample.over(busy));
            }
        }
    }
}

/// A file whose every block was written before, written over from its start again and again.
struct Ring {
    file: File,
    next: usize,
}

impl Ring {
    fn create(path: &Path) -> Result<Self> {
        let file = File::options().write(true).create_new(true).open(path);
        let file = file.with_context(|| format!("cannot create {}", path.display()))?;
        let zeros = vec![0; 1 << 20];
        for at in (0..PREWRITTEN_BYTES).step_by(zeros.len()) {
            write_all_at(&file, &zeros, at)?;
        }
        file.sync_all().context("sync of the zeros")?;
        Ok(Self { file, next: 0 })
    }

    fn append_and_sync(&mut self, payload: &[u8]) -> Result<()> {
        if self.next + payload.len() > PREWRITTEN_BYTES {
            self.next = 0;
        }
        write_all_at(&self.file, payload, self.next)?;
        self.next += payload.len();
        rustix::fs::fdatasync(&self.file).context("fdatasync")
    }
}

fn write_all_at(file: &File, bytes: &[u8], at: usize) -> Result<()> {
    use std::os::unix::fs::FileExt;
    file.write_all_at(bytes, at as u64).with_context(|| format!("write of {} bytes at {at}", bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_states_of_blocks_append_what_they_count() {
        for floor in [DiskFloor::Allocated, DiskFloor::Prewritten] {
            let dir = tempfile::tempdir().unwrap();
            let mut running = floor.start(&Shape::single(4096), dir.path()).unwrap();
            let figures = running.drive(Duration::from_millis(20)).unwrap().figures();
            assert!(figures.records_per_s > 0.0, "{floor:?} {figures:?}");
            let file = std::fs::read(dir.path().join("log")).unwrap();
            assert_eq!(file[..4096], Payloads::new(1, 4096).take());
        }
    }

    #[test]
    fn work_it_cannot_do_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(DiskFloor::Allocated.start(&Shape::single(1024).replicas(2), dir.path()).is_err());
    }
}
