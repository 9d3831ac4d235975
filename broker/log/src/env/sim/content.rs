//! A file's bytes, twice: as written and as durable.
//!
//! ```text
//!  written  |AAAA|BBBB|CCCC|DD            what reads see
//!  behind        |bbbb|    |00|           for sectors that differ: what the disk holds
//!  durable  |AAAA|bbbb|CCCC|              what a crash can fall back to
//! ```
//!
//! Sectors are atomic and independent of each other. A sector that is dirty may reach the disk at any time; one left
//! behind by a failed sync is clean, so nothing ever brings it there, unless it is written again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rand::Rng;
use rand::rngs::StdRng;

/// Bytes a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// Room is given out in blocks of this many bytes.
const BLOCK_BYTES: u64 = 4096;

type Sector = [u8; SECTOR_BYTES];

/// The content of one simulated file.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    written: Vec<u8>,
    durable_bytes: u64,
    room_bytes: u64,
    behind: BTreeMap<usize, Behind>,
    unreadable: BTreeSet<usize>,
}

/// A sector of which the disk holds something older than what reads see.
#[derive(Clone, Debug)]
struct Behind {
    durable: Sector,
    dirty: bool,
}

/// What happens to everything unsynced in one crash.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// Nothing of it had reached the disk.
    Lost,
    /// All of it had.
    Kept,
    /// Each piece is drawn.
    Drawn,
}

impl Fate {
    /// Draws one; the two extremes come up often enough to be tested, too.
    pub(super) fn draw(random: &mut StdRng) -> Self {
        match random.random_range(0..4) {
            0 => Self::Lost,
            1 => Self::Kept,
            _ => Self::Drawn,
        }
    }

    /// Whether one piece is kept.
    pub(super) fn keeps(self, random: &mut StdRng) -> bool {
        match self {
            Self::Lost => false,
            Self::Kept => true,
            Self::Drawn => random.random(),
        }
    }
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.written.len() as u64
    }

    /// Bytes of room taken.
    pub(super) fn room_bytes(&self) -> u64 {
        self.room_bytes
    }

    /// Bytes of room missing for the file to reach to `end`.
    pub(super) fn room_missing(&self, end: u64) -> u64 {
        end.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(u64::MAX).saturating_sub(self.room_bytes)
    }

    /// Takes the room up to `end`; everything below counts as allocated, holes included.
    pub(super) fn take_room(&mut self, end: u64) {
        self.room_bytes += self.room_missing(end);
    }

    /// Extends the length to `end` with zeros if it was shorter.
    pub(super) fn extend(&mut self, end: usize) {
        if self.written.len() < end {
            self.written.resize(end, 0);
        }
    }

    /// The bytes of `range`, or `None` when one of its sectors is unreadable. The range lies within the length.
    pub(super) fn read(&self, range: Range<usize>) -> Option<&[u8]> {
        let unreadable = self.unreadable.range(sectors(&range)).next().is_some();
        (!unreadable).then(|| &self.written[range])
    }

    /// Writes `bytes` at `at`. A sector written twice may have reached the disk in between.
    pub(super) fn write(&mut self, bytes: &[u8], at: usize, random: &mut StdRng) {
        let range = at..at + bytes.len();
        for sector in sectors(&range) {
            let now = self.sector(sector);
            let behind = self.behind.entry(sector).or_insert(Behind { durable: now, dirty: false });
            if behind.dirty && random.random_range(0..4) == 0 {
                behind.durable = now;
            }
            behind.dirty = true;
            self.unreadable.remove(&sector); // a disk remaps a bad sector when it is written
        }
        self.extend(range.end);
        self.written[range].copy_from_slice(bytes);
    }

    /// Everything dirty becomes durable, the length with it.
    pub(super) fn sync(&mut self) {
        self.behind.retain(|_, behind| !behind.dirty);
        self.durable_bytes = self.len();
    }

    /// The kernel gave up on everything dirty, and calls it clean. The length is the journal's and stays unsynced.
    pub(super) fn fail_sync(&mut self) {
        for behind in self.behind.values_mut() {
            behind.dirty = false;
        }
    }

    /// What is left after a power cut.
    pub(super) fn crash(&mut self, random: &mut StdRng) {
        let fate = Fate::draw(random);
        for (sector, behind) in std::mem::take(&mut self.behind) {
            if !behind.dirty || !fate.keeps(random) {
                let range = within(sector, self.written.len());
                self.written[range.clone()].copy_from_slice(&behind.durable[..range.len()]);
            }
        }
        let length = match Fate::draw(random) {
            Fate::Lost => self.durable_bytes,
            Fate::Kept => self.len(),
            Fate::Drawn => random.random_range(self.durable_bytes..=self.len()),
        };
        self.written.truncate(usize::try_from(length).expect("a shorter length than that of a vector"));
        self.durable_bytes = length;
        self.room_bytes = length.next_multiple_of(BLOCK_BYTES);
        let sectors_end = self.written.len().div_ceil(SECTOR_BYTES);
        self.unreadable.retain(|sector| *sector < sectors_end);
    }

    /// Damages the disk itself below `range`, so that no crash undoes it.
    pub(super) fn damage(&mut self, range: Range<usize>, change: impl Fn(u8) -> u8) {
        for at in range {
            self.written[at] = change(self.written[at]);
            if let Some(behind) = self.behind.get_mut(&(at / SECTOR_BYTES)) {
                let durable = &mut behind.durable[at % SECTOR_BYTES];
                *durable = change(*durable);
            }
        }
    }

    /// Makes the sectors of `range` unreadable until they are written.
    pub(super) fn make_unreadable(&mut self, range: &Range<usize>) {
        self.unreadable.extend(sectors(range));
    }

    /// A sector as reads see it; zeros beyond the length.
    fn sector(&self, sector: usize) -> Sector {
        let mut bytes = [0; SECTOR_BYTES];
        let range = within(sector, self.written.len());
        bytes[..range.len()].copy_from_slice(&self.written[range]);
        bytes
    }
}

/// The sectors a range of bytes touches.
fn sectors(range: &Range<usize>) -> Range<usize> {
    if range.is_empty() { 0..0 } else { range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES) }
}

/// The bytes of a sector that lie below `length`.
fn within(sector: usize, length: usize) -> Range<usize> {
    let start = (sector * SECTOR_BYTES).min(length);
    start..(start + SECTOR_BYTES).min(length)
}
